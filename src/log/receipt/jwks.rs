//! The keys of a JSON Web Key Set (RFC 7517), as far as they can sign payments.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::domain::key::{Algorithm, PublicKey};
use crate::domain::text::excerpt;

/// Why a key set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a key set.
    #[error("not a JSON Web Key Set: {0}")]
    Form(String),
    /// A key that is none of its kind.
    #[error("key {number} of the set is not a public key of its curve")]
    Point {
        /// Which key, counted from 1.
        number: usize,
    },
    /// A key under another name than its own.
    #[error("key {number} of the set is called {found}; its RFC 7638 thumbprint is {expected}")]
    Kid {
        /// Which key, counted from 1.
        number: usize,
        /// What the set says.
        found: String,
        /// What was computed.
        expected: String,
    },
    /// No key that can sign payments.
    #[error("the set has no key that can sign payments; expected P-256 or Ed25519 keys")]
    Empty,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// Sets may have members that this reader does not know (RFC 7517 section 4).
#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    kid: Option<String>,
}

/// Reads the keys that can sign payments; others are passed over (RFC 7517 section 5).
///
/// # Errors
/// [`KeySetError`]: a key that is not what it says, or none at all.
pub fn public_keys(json: &[u8]) -> Result<Vec<PublicKey>, KeySetError> {
    let set: KeySet =
        serde_json::from_slice(json).map_err(|refused| KeySetError::Form(refused.to_string()))?;
    let mut keys = Vec::new();
    for (number, key) in (1..).zip(&set.keys) {
        let half = |text: &Option<String>| {
            let decoded = text.as_ref().and_then(|t| BASE64URL_NOPAD.decode(t.as_bytes()).ok());
            decoded.unwrap_or_default()
        };
        let (algorithm, bytes) = match (key.kty.as_str(), key.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                (Algorithm::Es256, [vec![4], half(&key.x), half(&key.y)].concat())
            }
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, half(&key.x)),
            _ => continue,
        };
        let public = PublicKey::from_bytes(algorithm, &bytes);
        let public = public.map_err(|_| KeySetError::Point { number })?;
        let expected = public.kid().as_str();
        if let Some(found) = key.kid.as_deref().filter(|kid| *kid != expected) {
            let (found, expected) = (excerpt(found), expected.to_owned());
            return Err(KeySetError::Kid { number, found, expected });
        }
        keys.push(public);
    }
    if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(keys) }
}
