//! Signed notes: a text and the signatures over it, as `c2sp.org/signed-note` defines them.
//!
//! The text of a note means nothing until a known key has signed it, so it is had from
//! [`Note::verify`]. Signing happens elsewhere: [`VerifierKey::prepare`] gives the bytes, and
//! [`Unsigned::signed`] takes the signature back.

use std::fmt;

use data_encoding::BASE64;

mod ecdsa;
mod key;
mod name;

#[cfg(test)]
pub(in crate::log) mod tests;

pub use ecdsa::der_signature;
pub(in crate::log) use key::cosigned;
pub use key::{KeyError, SignatureKind, Unsigned, Verified, VerifierKey};
pub use name::{NoteKeyId, NoteKeyName};

/// Most bytes of a note: room for [`SIGNATURES_MAX`] signatures of 5 kB, which post-quantum ones
/// have, and more text than any checkpoint.
pub const NOTE_BYTES_MAX: usize = 524_288;
/// Most signatures of a note. The specification wants at least 16.
pub const SIGNATURES_MAX: usize = 64;

/// Between text and signatures, together with the newline that ends the text.
const BLANK_LINE: &str = "\n\n";
/// Before every signature: em dash, space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`].
    #[error("the note has {bytes} bytes; at most {NOTE_BYTES_MAX} are read")]
    TooLong {
        /// Length of what was given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// A control character below U+0020 other than newline.
    #[error("the note has the control character U+{code:04X}")]
    Control {
        /// Its code point.
        code: u32,
    },
    /// The text does not end in a newline.
    #[error("the text of the note does not end in a newline")]
    TextEnd,
    /// No blank line, or nothing after the last one.
    #[error("the note has no signatures after a blank line")]
    NoSignatures,
    /// The last signature does not end in a newline.
    #[error("the last signature of the note does not end in a newline")]
    Unterminated,
    /// More than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A line after the last blank line that is no signature.
    #[error("signature {number} is not em dash, space, key name, space, base64")]
    SignatureForm {
        /// Which signature, counted from 1.
        number: usize,
    },
    /// Two known keys of one name and id.
    #[error("two known keys are called {name}+{id}")]
    Ambiguous {
        /// Name of both keys.
        name: NoteKeyName,
        /// Id of both keys.
        id: NoteKeyId,
    },
    /// A signature by a known key that does not verify: the whole note is refused.
    #[error("the signature by {name}+{id} does not verify")]
    BadSignature {
        /// Name of the key.
        name: NoteKeyName,
        /// Id of the key.
        id: NoteKeyId,
    },
    /// No known key has signed.
    #[error("the note is not signed by a known key")]
    Unknown,
}

/// The text of a note: ends in a newline and has no other control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteText(String);

impl NoteText {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Control`] or [`NoteError::TextEnd`], in this order.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        bounded(text.as_bytes())?;
        without_controls(text)?;
        let ends = text.ends_with('\n');
        ends.then(|| Self(text.to_owned())).ok_or(NoteError::TextEnd)
    }

    /// The text, with the newline at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One signature of a note: who says to have made it, and the bytes. Nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    name: NoteKeyName,
    id: NoteKeyId,
    signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads a line, without the newline at its end. `None` if it is no signature.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let name = NoteKeyName::parse(name)?;
        let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
        let (id, signature) = bytes.split_first_chunk()?;
        let signature = (!signature.is_empty()).then(|| signature.to_vec())?;
        Some(Self { name, id: NoteKeyId::from_bytes(*id), signature })
    }

    /// Name of the key.
    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    /// Id of the key.
    pub fn id(&self) -> NoteKeyId {
        self.id
    }

    /// What follows the id, as the kind of the key has it.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

impl fmt::Display for SignatureLine {
    /// The line, without the newline at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_bytes().as_slice(), &self.signature].concat();
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, BASE64.encode(&bytes))
    }
}

/// A note of the right form, with one signature at least. Who signed it is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: NoteText,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// A note with its first signature.
    pub fn new(text: NoteText, signature: SignatureLine) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// Reads a note. Every note has one spelling: what is read prints as the same bytes.
    ///
    /// # Errors
    /// [`NoteError`]: the first thing that is not as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        bounded(bytes)?;
        let note = str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        without_controls(note)?;
        // The text may contain blank lines; the last one of the note ends it.
        let (text, signatures) = note.rsplit_once(BLANK_LINE).ok_or(NoteError::NoSignatures)?;
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
        if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
            return Err(NoteError::TooManySignatures);
        }
        let line =
            |(number, line)| SignatureLine::parse(line).ok_or(NoteError::SignatureForm { number });
        let signatures = (1..).zip(lines.split('\n')).map(line).collect::<Result<_, _>>()?;
        Ok(Self { text: NoteText(format!("{text}\n")), signatures })
    }

    /// The text, whoever wrote it: only for those who are about to sign it or to look for the key.
    pub fn unverified_text(&self) -> &NoteText {
        &self.text
    }

    /// The signatures, whoever made them.
    pub fn unverified_signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature; it takes the place of an older one of the same key name and id.
    ///
    /// # Errors
    /// [`NoteError::TooManySignatures`] or [`NoteError::TooLong`], with nothing changed: a note
    /// that would not be read is not made.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        let same = |old: &SignatureLine| old.name == line.name && old.id == line.id;
        let at = self.signatures.iter().position(same);
        let mut note = self.clone();
        match at.and_then(|at| note.signatures.get_mut(at)) {
            Some(old) => *old = line,
            None if self.signatures.len() < SIGNATURES_MAX => note.signatures.push(line),
            None => return Err(NoteError::TooManySignatures),
        }
        bounded(note.to_string().as_bytes())?;
        *self = note;
        Ok(())
    }

    /// The text and who of `keys` signed it. Signatures by other keys are passed over; every one
    /// by a known key must verify, and there must be one.
    ///
    /// # Errors
    /// [`NoteError::Ambiguous`], [`NoteError::BadSignature`] or [`NoteError::Unknown`].
    pub fn verify<'a>(&'a self, keys: &'a [VerifierKey]) -> Result<SignedText<'a>, NoteError> {
        let mut signatures = Vec::new();
        for line in &self.signatures {
            let mut known = keys.iter().filter(|key| line.is_by(key));
            let Some(key) = known.next() else { continue };
            let (name, id) = (line.name.clone(), line.id);
            if known.next().is_some() {
                return Err(NoteError::Ambiguous { name, id });
            }
            let verified = key.verify(&self.text, &line.signature);
            signatures.push(verified.ok_or(NoteError::BadSignature { name, id })?);
        }
        match signatures.is_empty() {
            true => Err(NoteError::Unknown),
            false => Ok(SignedText { text: &self.text, signatures }),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A text that known keys have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText<'a> {
    /// The text.
    pub text: &'a NoteText,
    /// The signatures by known keys, one at least, in the order of the note. A key may be here
    /// twice: whoever counts must count keys.
    pub signatures: Vec<Verified<'a>>,
}

fn bounded(bytes: &[u8]) -> Result<(), NoteError> {
    match bytes.len() {
        ..=NOTE_BYTES_MAX => Ok(()),
        bytes => Err(NoteError::TooLong { bytes }),
    }
}

fn without_controls(text: &str) -> Result<(), NoteError> {
    match text.chars().find(|c| *c < ' ' && *c != '\n') {
        Some(found) => Err(NoteError::Control { code: found.into() }),
        None => Ok(()),
    }
}
