//! Keys that verify notes: kinds, signatures, and their text form `name+id+base64`
//! (`c2sp.org/signed-note`, "Signature types" and "Verifier keys").

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use data_encoding::BASE64;

use super::name::{NoteKeyId, NoteKeyName};
use super::{NoteError, NoteText, SignatureLine, ecdsa};
use crate::domain::key::{P256PublicKey, PublicKey};
use crate::domain::time::Timestamp;

/// Domain separation of cosignatures (`c2sp.org/tlog-cosignature`, "Ed25519 signed message").
const COSIGNATURE_HEADER: &str = "cosignature/v1";

/// Why a verifier key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts, or parts that cannot be read.
    #[error("a verifier key is name+id+key: a name, 8 lower-case hex digits, base64")]
    Form,
    /// A kind of signature that is not in [`SignatureKind`].
    #[error("the verifier key is of type 0x{0:02x}, which is not supported")]
    Kind(u8),
    /// The public key cannot be one of its kind.
    #[error("the public key of the verifier key is malformed")]
    Public,
    /// The id is not that of this name and public key.
    #[error("the verifier key has the id {found}; name and public key give {expected}")]
    Id {
        /// The id that was given.
        found: NoteKeyId,
        /// The id that was computed.
        expected: NoteKeyId,
    },
}

/// What kind of signature a key makes. The set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x02: ECDSA on P-256 with SHA-256 over the text, DER.
    EcdsaP256,
    /// 0x04: a time, and Ed25519 over the time and the text (`c2sp.org/tlog-cosignature`).
    CosignatureV1,
}

impl SignatureKind {
    const ALL: [Self; 3] = [Self::Ed25519, Self::EcdsaP256, Self::CosignatureV1];

    /// The signature type identifier byte.
    pub const fn identifier(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::EcdsaP256 => 0x02,
            Self::CosignatureV1 => 0x04,
        }
    }
}

/// The public half of a key that signs notes, with its name and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: NoteKeyName,
    id: NoteKeyId,
    public: Public,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Ed25519([u8; 32]),
    EcdsaP256(Box<P256PublicKey>),
    CosignatureV1([u8; 32]),
}

impl VerifierKey {
    /// The key of a log, by its algorithm: Ed25519, or P-256 where its token has no Ed25519.
    pub fn of_log(name: NoteKeyName, public: &PublicKey) -> Self {
        match public {
            PublicKey::Ed25519(key) => Self::ed25519(name, *key.as_bytes()),
            PublicKey::P256(key) => Self::ecdsa_p256(name, key.clone()),
        }
    }

    /// An Ed25519 key, 32 bytes as RFC 8032 encodes them.
    pub fn ed25519(name: NoteKeyName, public: [u8; 32]) -> Self {
        Self::new(name, Public::Ed25519(public))
    }

    /// A P-256 key.
    pub fn ecdsa_p256(name: NoteKeyName, public: P256PublicKey) -> Self {
        Self::new(name, Public::EcdsaP256(Box::new(public)))
    }

    /// The key of a witness that cosigns with Ed25519.
    pub fn cosignature_v1(name: NoteKeyName, public: [u8; 32]) -> Self {
        Self::new(name, Public::CosignatureV1(public))
    }

    fn new(name: NoteKeyName, public: Public) -> Self {
        let kind = [public.kind().identifier()];
        let id = match &public {
            // Type 0x02 is the exception: neither name nor type enter its id.
            Public::EcdsaP256(point) => NoteKeyId::of(&[&ecdsa::spki(point)]),
            Public::Ed25519(key) | Public::CosignatureV1(key) => {
                NoteKeyId::of(&[name.as_str().as_bytes(), b"\n", &kind, key])
            }
        };
        Self { name, id, public }
    }

    /// Name.
    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    /// Id.
    pub fn id(&self) -> NoteKeyId {
        self.id
    }

    /// Kind of the signatures that it verifies.
    pub fn kind(&self) -> SignatureKind {
        self.public.kind()
    }

    /// Freezes what is to be signed. `now` enters cosignatures only.
    pub fn prepare(&self, text: &NoteText, now: Timestamp) -> Unsigned<'_> {
        let (stamp, message) = match self.public {
            Public::Ed25519(_) | Public::EcdsaP256(_) => (Vec::new(), text.as_str().to_owned()),
            Public::CosignatureV1(_) => {
                let time_s = now.unix_s().unsigned_abs();
                (time_s.to_be_bytes().to_vec(), cosigned(text, time_s))
            }
        };
        Unsigned { key: self, stamp, message }
    }

    /// What a signature says, if it is one by this key over the text.
    pub(super) fn verify(&self, text: &NoteText, signature: &[u8]) -> Option<Verified<'_>> {
        let (time_s, is_valid) = match self.public {
            Public::Ed25519(_) | Public::EcdsaP256(_) => {
                (None, self.public.verifies(text.as_str(), signature))
            }
            Public::CosignatureV1(_) => {
                let (stamp, signature) = signature.split_first_chunk()?;
                let time_s = u64::from_be_bytes(*stamp);
                // A POSIX time must not exceed 2^63 - 1.
                i64::try_from(time_s).ok()?;
                (Some(time_s), self.public.verifies(&cosigned(text, time_s), signature))
            }
        };
        is_valid.then_some(Verified { key: self, time_s })
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads `name+id+base64`. One key has one spelling.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 may contain a plus, names and ids may not.
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(KeyError::Form);
        let (name, id, encoded) = (part()?, part()?, part()?);
        let name = NoteKeyName::parse(name).ok_or(KeyError::Form)?;
        let found = NoteKeyId::parse(id).ok_or(KeyError::Form)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| KeyError::Form)?;
        let (kind, public) = bytes.split_first().ok_or(KeyError::Form)?;
        let key = Self::new(name, Public::parse(*kind, public)?);
        let expected = key.id;
        if found == expected { Ok(key) } else { Err(KeyError::Id { found, expected }) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = [self.kind().identifier()];
        let key = match &self.public {
            Public::Ed25519(key) | Public::CosignatureV1(key) => key.to_vec(),
            Public::EcdsaP256(point) => ecdsa::spki(point),
        };
        let encoded = BASE64.encode(&[kind.as_slice(), &key].concat());
        write!(f, "{}+{}+{encoded}", self.name, self.id)
    }
}

impl Public {
    fn parse(kind: u8, key: &[u8]) -> Result<Self, KeyError> {
        let known = SignatureKind::ALL.into_iter().find(|known| known.identifier() == kind);
        let ed25519 = || key.try_into().map_err(|_| KeyError::Public);
        match known.ok_or(KeyError::Kind(kind))? {
            SignatureKind::Ed25519 => Ok(Self::Ed25519(ed25519()?)),
            SignatureKind::EcdsaP256 => {
                let point = ecdsa::public_key(key).ok_or(KeyError::Public)?;
                Ok(Self::EcdsaP256(Box::new(point)))
            }
            SignatureKind::CosignatureV1 => Ok(Self::CosignatureV1(ed25519()?)),
        }
    }

    fn verifies(&self, message: &str, signature: &[u8]) -> bool {
        let message = message.as_bytes();
        let verified = match self {
            Self::Ed25519(key) | Self::CosignatureV1(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            Self::EcdsaP256(point) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.uncompressed());
                key.verify(message, signature)
            }
        };
        verified.is_ok()
    }

    fn kind(&self) -> SignatureKind {
        match self {
            Self::Ed25519(_) => SignatureKind::Ed25519,
            Self::EcdsaP256(_) => SignatureKind::EcdsaP256,
            Self::CosignatureV1(_) => SignatureKind::CosignatureV1,
        }
    }
}

/// A signature by a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'a> {
    /// Who signed.
    pub key: &'a VerifierKey,
    /// When a cosignature says that it was made, in seconds since 1970. It may lie ahead.
    pub time_s: Option<u64>,
}

/// What a key is asked to sign, frozen: the signature that comes back is about these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned<'a> {
    key: &'a VerifierKey,
    stamp: Vec<u8>,
    message: String,
}

impl Unsigned<'_> {
    /// The bytes to sign. ECDSA hashes them with SHA-256, Ed25519 takes them as they are.
    pub fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// Puts the signature line together: Ed25519 as 64 bytes, P-256 as [`super::der_signature`]
    /// writes it.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`]: a line that nobody could verify is not made.
    pub fn signed(self, signature: &[u8]) -> Result<SignatureLine, NoteError> {
        let VerifierKey { name, id, public } = self.key;
        let (name, id) = (name.clone(), *id);
        if !public.verifies(&self.message, signature) {
            return Err(NoteError::BadSignature { name, id });
        }
        let signature = [self.stamp.as_slice(), signature].concat();
        Ok(SignatureLine { name, id, signature })
    }
}

/// What a cosignature is over (`c2sp.org/tlog-cosignature`, "Ed25519 signed message").
pub(in crate::log) fn cosigned(text: &NoteText, time_s: u64) -> String {
    format!("{COSIGNATURE_HEADER}\ntime {time_s}\n{text}")
}
