//! What a signature calls its key: a name and four bytes (`c2sp.org/signed-note`, "Signatures").

use std::fmt;

use sha2::{Digest, Sha256};

/// The name of a key that signs notes: not empty, no white space, no plus, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKeyName(String);

impl NoteKeyName {
    /// Reads a name. `None` if it is none.
    pub fn parse(name: &str) -> Option<Self> {
        // White space is Unicode's White_Space; control characters no note could carry.
        let is_foreign = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        (!name.is_empty() && !name.contains(is_foreign)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoteKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key ID: 4 bytes that tell keys of one name apart. An identifier, not a commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKeyId([u8; 4]);

impl NoteKeyId {
    /// An id as a signature carries it.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes, big-endian.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The first four bytes of SHA-256 over the parts.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let digest: [u8; 32] = Sha256::digest(parts.concat()).into();
        let [first, second, third, fourth, ..] = digest;
        Self([first, second, third, fourth])
    }

    /// Exactly eight lower-case digits: one id has one spelling.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        let id = Self(u32::from_str_radix(hex, 16).ok()?.to_be_bytes());
        (id.to_string() == hex).then_some(id)
    }
}

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}
