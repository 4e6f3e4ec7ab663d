//! Checkpoints: the head of a log as the text of a note (`c2sp.org/tlog-checkpoint`).

use super::note::{NoteError, NoteText};
use super::tree::{Hash, TreeHead};

#[cfg(test)]
mod tests;

/// Why a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines, or an empty one.
    #[error("a checkpoint is at least three lines, none of them empty: origin, size, root")]
    Lines,
    /// The size is not a decimal number that a tree can have.
    #[error("the second line is not a tree size: a decimal number without leading zeros")]
    Size,
    /// The root is not 32 bytes in base64.
    #[error("the third line is not a root hash: 32 bytes in base64")]
    Root,
    /// Size 0 with another root than that of the empty tree.
    #[error("the tree has no leaves, but its root is not the hash of nothing")]
    EmptyRoot,
    /// A line that no note can carry.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A log, by its origin, at one size. Whether the log signed it is the note's matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    text: NoteText,
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint of a log. Logs do well without extension lines: monitors cannot audit them.
    ///
    /// # Errors
    /// [`CheckpointError`]: an origin or extension that is not one line, a root that cannot be.
    pub fn new(origin: &str, head: TreeHead, extensions: &[&str]) -> Result<Self, CheckpointError> {
        let TreeHead { size, root } = head;
        let (size, root) = (size.to_string(), root.to_string());
        let lines = [&[origin, &size, &root], extensions].concat();
        if lines.iter().any(|line| line.contains('\n')) {
            return Err(CheckpointError::Lines);
        }
        // Reading back what would be signed finds everything else.
        Self::parse(NoteText::parse(&format!("{}\n", lines.join("\n")))?)
    }

    /// Reads the text of a note. One checkpoint has one spelling.
    ///
    /// # Errors
    /// [`CheckpointError`]: the first line that is not as the specification says.
    pub fn parse(text: NoteText) -> Result<Self, CheckpointError> {
        let lines = text.as_str().strip_suffix('\n').ok_or(NoteError::TextEnd)?;
        if lines.split('\n').any(str::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?.to_owned(), line()?, line()?);
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = Hash::parse_base64(root).ok_or(CheckpointError::Root)?;
        if size == 0 && root != Hash::EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        let extensions = lines.map(str::to_owned).collect();
        Ok(Self { text, origin, head: TreeHead { size, root }, extensions })
    }

    /// The log's name for itself, the first line.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// Lines after the third, opaque.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The text: what is signed.
    pub fn text(&self) -> &NoteText {
        &self.text
    }
}

/// A number in the one decimal spelling it has: no sign, no leading zeros.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
