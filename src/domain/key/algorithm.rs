//! The two algorithms that keys sign with.

use std::fmt;

use super::super::text::{Malformed, excerpt};

/// What a key signs with. The set is closed; a key has one for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    Es256,
    /// Ed25519 (RFC 8032 section 5.1), under the name that RFC 8037 section 3.1 gives it.
    EdDsa,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Es256, Self::EdDsa];

    /// The JOSE name, which deployment files and ledgers use too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the JOSE name.
    ///
    /// # Errors
    /// [`Malformed`] with rule `algorithm`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            let detail = format!("found {}; expected \"ES256\" or \"EdDSA\"", excerpt(name));
            Malformed::new(field, "algorithm", detail)
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
