//! What a witness answers, as a log reads it.

use crate::domain::text::excerpt;
use crate::log::checkpoint::decimal;
use crate::log::note::{Note, NoteError, SIGNATURES_MAX, SignatureLine, VerifierKey};

use super::WITNESS_BYTES_MAX;

/// Media type of the size in an answer 409.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// Most characters of what a witness says in its own words that are told on.
const DETAIL_CHARS_MAX: usize = 300;

/// Why an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// More than [`WITNESS_BYTES_MAX`].
    #[error("the answer is longer than {WITNESS_BYTES_MAX} bytes")]
    TooLong,
    /// An answer 200 that is not lines of signatures.
    #[error("line {number} of the answer is no signature: {found}")]
    Line {
        /// Which line, counted from 1.
        number: usize,
        /// The line, shortened.
        found: String,
    },
    /// More than [`SIGNATURES_MAX`].
    #[error("the answer has more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// An answer 409 that is not a size.
    #[error("the answer says the size {found}; expected a decimal number and a newline")]
    Size {
        /// What it says, shortened.
        found: String,
    },
    /// None of the signatures is by the key of the configuration.
    #[error("none of the {count} signatures is by the witness's key {key}")]
    NotByKey {
        /// How many there are.
        count: usize,
        /// The key that should have signed.
        key: String,
    },
    /// It does not verify.
    #[error("the cosignature: {0}")]
    Cosignature(NoteError),
    /// A cosignature without a time says nothing about the newest tree.
    #[error("the cosignature has the time 0; expected when it was made")]
    Untimed,
}

/// An answer of the right form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: signatures, by whomever.
    Cosigned(Vec<SignatureLine>),
    /// 409: the last tree that was cosigned has so many leaves.
    Conflict {
        /// Its size.
        seen: u64,
    },
    /// Anything else.
    Refused {
        /// HTTP status.
        status: u16,
        /// What the body says, shortened.
        detail: String,
    },
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`AnswerError`]: it says 200 or 409, and then something else than belongs to that.
    pub fn parse(status: u16, media_type: &str, body: &[u8]) -> Result<Self, AnswerError> {
        if body.len() > WITNESS_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        let text = String::from_utf8_lossy(body);
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match status {
            200 => signatures(&text).map(Self::Cosigned),
            409 if essence.eq_ignore_ascii_case(SIZE_MEDIA_TYPE) => {
                let seen = text.strip_suffix('\n').and_then(decimal);
                let seen = seen.ok_or_else(|| AnswerError::Size { found: excerpt(&text) })?;
                Ok(Self::Conflict { seen })
            }
            _ => Ok(Self::Refused { status, detail: shortened(&text) }),
        }
    }
}

/// What somebody else wrote, in a line that is safe to print.
fn shortened(text: &str) -> String {
    let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(DETAIL_CHARS_MAX).collect()
}

fn signatures(text: &str) -> Result<Vec<SignatureLine>, AnswerError> {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
        return Err(AnswerError::TooMany);
    }
    let line = |(number, line)| {
        let no_signature = || AnswerError::Line { number, found: excerpt(line) };
        SignatureLine::parse(line).ok_or_else(no_signature)
    };
    (1..).zip(lines.split('\n')).map(line).collect()
}

/// The cosignature of a note by this witness, among those of an answer; others are passed over.
///
/// # Errors
/// [`AnswerError`]: there is none, or one that does not verify.
pub fn cosignature(
    note: &Note,
    lines: Vec<SignatureLine>,
    witness: &VerifierKey,
) -> Result<SignatureLine, AnswerError> {
    let count = lines.len();
    let by_key = |line: &SignatureLine| line.name() == witness.name() && line.id() == witness.id();
    let line = lines.into_iter().find(by_key);
    let line = line.ok_or_else(|| AnswerError::NotByKey { count, key: witness.to_string() })?;
    let cosigned = Note::new(note.unverified_text().clone(), line.clone());
    let signed =
        cosigned.verify(std::slice::from_ref(witness)).map_err(AnswerError::Cosignature)?;
    match signed.signatures.iter().any(|signature| signature.time_s == Some(0)) {
        true => Err(AnswerError::Untimed),
        false => Ok(line),
    }
}
