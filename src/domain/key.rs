//! Keys as the domain sees them: names, purposes, public halves, signatures.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};

use super::canonical::Value;
use super::text::{Malformed, excerpt, identifier};

/// Longest name of a key, in characters.
pub const KEY_ID_CHARS_MAX: usize = 64;

/// The name of a key, as callers and policies use it: `settlement-eur`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// A name of 1 to 64 lower-case letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
        let expected = "lower-case letters, digits, - and _";
        identifier(field, text, KEY_ID_CHARS_MAX, allowed, expected).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key is for. One key has one purpose (P6); the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Signs payments.
    Settlement,
    /// Signs authentication assertions about users.
    UserAuthentication,
    /// Signs checkpoints of the log.
    Audit,
    /// Signs notifications to callers.
    Notification,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 4] =
        [Self::Settlement, Self::UserAuthentication, Self::Audit, Self::Notification];

    /// The name used in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settlement => "settlement",
            Self::UserAuthentication => "user-authentication",
            Self::Audit => "audit",
            Self::Notification => "notification",
        }
    }

    /// Reads the name used in policies.
    ///
    /// # Errors
    /// [`Malformed`] with rule `purpose`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "purpose", detail)
        })
    }
}

/// A public P-256 key and its RFC 7638 thumbprint. Always a point on the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: p256::PublicKey,
    uncompressed: [u8; 65],
    kid: Kid,
}

impl PublicKey {
    /// Reads an uncompressed SEC 1 point (`0x04`, x, y: 65 bytes), checking the curve equation.
    ///
    /// # Errors
    /// [`Malformed`] with rule `point`.
    pub fn from_uncompressed(bytes: &[u8]) -> Result<Self, Malformed> {
        let refuse = || {
            let detail = format!(
                "found {} bytes that are no point; expected 65 bytes on the curve P-256",
                bytes.len()
            );
            Malformed::new("public_key", "point", detail)
        };
        let uncompressed: [u8; 65] = bytes.try_into().map_err(|_| refuse())?;
        let point = p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| refuse())?;
        let kid = Kid::of(&point);
        Ok(Self { point, uncompressed, kid })
    }

    /// The uncompressed SEC 1 point: `0x04`, x, y.
    pub fn uncompressed(&self) -> &[u8; 65] {
        &self.uncompressed
    }

    /// The RFC 7638 thumbprint.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The affine coordinates, base64url without padding, as a JWK has them.
    pub fn coordinates(&self) -> (String, String) {
        coordinates(&self.point)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

fn coordinates(point: &p256::PublicKey) -> (String, String) {
    let point = point.to_sec1_point(false);
    let half = |bytes: Option<&p256::FieldBytes>| {
        bytes.map(|b| BASE64URL_NOPAD.encode(b)).unwrap_or_default()
    };
    (half(point.x()), half(point.y()))
}

/// The identifier of a key version: its RFC 7638 SHA-256 thumbprint, base64url.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Kid {
    /// Reads a thumbprint: 43 characters of base64url that decode to 32 bytes.
    ///
    /// # Errors
    /// [`Malformed`] with rule `thumbprint`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        match BASE64URL_NOPAD.decode(text.as_bytes()) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(text.to_owned())),
            _ => {
                let detail = format!(
                    "found {}; expected an RFC 7638 thumbprint of 43 base64url characters",
                    excerpt(text)
                );
                Err(Malformed::new(field, "thumbprint", detail))
            }
        }
    }

    /// The thumbprint.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(point: &p256::PublicKey) -> Self {
        let (x, y) = coordinates(point);
        let member = |text: String| Some(Value::Text(text));
        let jwk = Value::object([
            ("crv", member("P-256".to_owned())),
            ("kty", member("EC".to_owned())),
            ("x", member(x)),
            ("y", member(y)),
        ]);
        Self(BASE64URL_NOPAD.encode(&Sha256::digest(jwk.to_canonical())))
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An ECDSA P-256 signature as JOSE writes it: r and s, 32 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature of exactly 64 bytes; whether it verifies is not this type's promise.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// r and s, concatenated.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 7517 appendix A.1.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn rfc_key() -> Vec<u8> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        [vec![4], decode(X), decode(Y)].concat()
    }

    #[test]
    fn a_public_key_has_the_thumbprint_that_other_software_computes() {
        let key = PublicKey::from_uncompressed(&rfc_key()).unwrap();
        assert_eq!(key.coordinates(), (X.to_owned(), Y.to_owned()));
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{X}","y":"{Y}"}}"#);
        let expected = BASE64URL_NOPAD.encode(&Sha256::digest(jwk));
        assert_eq!(key.kid().as_str(), expected);
        assert_eq!(Kid::parse("pin", &expected).unwrap(), *key.kid());
    }

    #[test]
    fn bytes_that_are_no_point_are_refused() {
        let mut off_curve = rfc_key();
        off_curve[64] ^= 1;
        for bytes in [vec![], vec![0], off_curve, rfc_key()[..64].to_vec()] {
            assert_eq!(PublicKey::from_uncompressed(&bytes).unwrap_err().rule, "point");
        }
    }

    #[test]
    fn names_and_thumbprints_have_one_form() {
        for text in ["", "Settlement", "a b", "ä", &"a".repeat(65)] {
            assert!(KeyId::parse("key", text).is_err(), "{text}");
        }
        for text in ["", "abc", &"!".repeat(43), &"A".repeat(44)] {
            assert_eq!(Kid::parse("pin", text).unwrap_err().rule, "thumbprint", "{text}");
        }
    }
}
