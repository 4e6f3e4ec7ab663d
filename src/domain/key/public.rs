//! Public halves: P-256 points and Ed25519 keys, as JWKs, and the thumbprints that name them.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};

use super::super::canonical::Value;
use super::super::text::{Malformed, excerpt};
use super::Algorithm;

/// A public key of either algorithm, and its RFC 7638 thumbprint.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// For [`Algorithm::Es256`].
    P256(P256PublicKey),
    /// For [`Algorithm::EdDsa`].
    Ed25519(Ed25519PublicKey),
}

impl PublicKey {
    /// Reads the bytes that [`Self::as_bytes`] tells.
    ///
    /// # Errors
    /// [`Malformed`] with rule `point`.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Malformed> {
        match algorithm {
            Algorithm::Es256 => P256PublicKey::from_uncompressed(bytes).map(Self::P256),
            Algorithm::EdDsa => Ed25519PublicKey::from_bytes(bytes).map(Self::Ed25519),
        }
    }

    /// What it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The uncompressed SEC 1 point of P-256, 65 bytes; or the 32 bytes of Ed25519.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::P256(key) => key.uncompressed(),
            Self::Ed25519(key) => key.as_bytes(),
        }
    }

    /// The RFC 7638 thumbprint.
    pub fn kid(&self) -> &Kid {
        match self {
            Self::P256(key) => key.kid(),
            Self::Ed25519(key) => key.kid(),
        }
    }

    /// The members of its JWK that say which key it is.
    pub fn jwk(&self) -> Jwk {
        match self {
            Self::P256(key) => Jwk::of_point(&key.point),
            Self::Ed25519(key) => Jwk::of_ed25519(key.as_bytes()),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

/// A public P-256 key. Always a point on the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct P256PublicKey {
    point: p256::PublicKey,
    uncompressed: [u8; 65],
    kid: Kid,
}

impl P256PublicKey {
    /// Reads an uncompressed SEC 1 point (`0x04`, x, y: 65 bytes), checking the curve equation.
    ///
    /// # Errors
    /// [`Malformed`] with rule `point`.
    pub fn from_uncompressed(bytes: &[u8]) -> Result<Self, Malformed> {
        let refuse = || refuse(bytes, "65 bytes on the curve P-256");
        let uncompressed: [u8; 65] = bytes.try_into().map_err(|_| refuse())?;
        let point = p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| refuse())?;
        let kid = Jwk::of_point(&point).thumbprint();
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
}

impl fmt::Debug for P256PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P256PublicKey({})", self.kid)
    }
}

/// A public Ed25519 key: 32 bytes as RFC 8032 section 5.1.2 encodes a point.
///
/// Whether they are one is not looked at: no signature verifies with bytes that are none.
#[derive(Clone, PartialEq, Eq)]
pub struct Ed25519PublicKey {
    bytes: [u8; 32],
    kid: Kid,
}

impl Ed25519PublicKey {
    /// Takes exactly 32 bytes.
    ///
    /// # Errors
    /// [`Malformed`] with rule `point`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: [u8; 32] =
            bytes.try_into().map_err(|_| refuse(bytes, "the 32 bytes of an Ed25519 key"))?;
        Ok(Self { bytes, kid: Jwk::of_ed25519(&bytes).thumbprint() })
    }

    /// The encoded point.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The thumbprint of RFC 7638, over the members that RFC 8037 section 2 names.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519PublicKey({})", self.kid)
    }
}

fn refuse(bytes: &[u8], expected: &str) -> Malformed {
    let found = bytes.len();
    let detail = format!("found {found} bytes that are no public key; expected {expected}");
    Malformed::new("public_key", "point", detail)
}

/// The members of a JWK that its thumbprint covers (RFC 7518 section 6.2, RFC 8037 section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk {
    /// `EC` or `OKP`.
    pub kty: &'static str,
    /// `P-256` or `Ed25519`.
    pub crv: &'static str,
    /// The x coordinate, or the whole Ed25519 key; base64url without padding.
    pub x: String,
    /// The y coordinate; Ed25519 has none.
    pub y: Option<String>,
}

impl Jwk {
    fn of_point(point: &p256::PublicKey) -> Self {
        let point = point.to_sec1_point(false);
        let half = |bytes: Option<&p256::FieldBytes>| {
            bytes.map(|b| BASE64URL_NOPAD.encode(b)).unwrap_or_default()
        };
        Self { kty: "EC", crv: "P-256", x: half(point.x()), y: Some(half(point.y())) }
    }

    fn of_ed25519(bytes: &[u8; 32]) -> Self {
        Self { kty: "OKP", crv: "Ed25519", x: BASE64URL_NOPAD.encode(bytes), y: None }
    }

    fn thumbprint(&self) -> Kid {
        let members = Value::object([
            ("crv", Some(Value::text(self.crv))),
            ("kty", Some(Value::text(self.kty))),
            ("x", Some(Value::text(&self.x))),
            ("y", self.y.as_ref().map(Value::text)),
        ]);
        Kid(BASE64URL_NOPAD.encode(&Sha256::digest(members.to_canonical())))
    }
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
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
