//! A credential that a person enrolled, and the form in which it is stored and hashed.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::domain::canonical::Value;
use crate::domain::credential::{self, CredentialId, CredentialKind, Hardware};
use crate::domain::key::{Algorithm, PublicKey};
use crate::domain::text::{Malformed, excerpt};

use super::attestors::{Aaguid, Fingerprint};
use super::cose;

/// Bytes of a user handle, at most (W3C WebAuthn section 4, "User Handle").
pub(super) const USER_HANDLE_BYTES_MAX: usize = 64;
const SCHEMA: &str = "webauthn-credential/1";

/// What an authenticator calls a person, 1 to 64 bytes that must say nothing about them (section
/// 14.6.1); displayed as base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct UserHandle(Vec<u8>);

impl UserHandle {
    /// Takes 1 to 64 bytes.
    ///
    /// # Errors
    /// [`Malformed`] with rule `length`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        if (1..=USER_HANDLE_BYTES_MAX).contains(&bytes.len()) {
            return Ok(Self(bytes.to_vec()));
        }
        let detail = format!("found {} bytes; expected 1 to 64", bytes.len());
        Err(Malformed::new("user_handle", "length", detail))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for UserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for UserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserHandle({self})")
    }
}

/// How a browser may reach an authenticator (section 5.8.4). A hint, and nothing but a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Bluetooth.
    Ble,
    /// A phone that is near.
    Hybrid,
    /// Built into the device.
    Internal,
    /// Near-field communication.
    Nfc,
    /// A contact card.
    SmartCard,
    /// USB.
    Usb,
}

impl Transport {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 6] =
        [Self::Ble, Self::Hybrid, Self::Internal, Self::Nfc, Self::SmartCard, Self::Usb];

    /// The name that browsers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ble => "ble",
            Self::Hybrid => "hybrid",
            Self::Internal => "internal",
            Self::Nfc => "nfc",
            Self::SmartCard => "smart-card",
            Self::Usb => "usb",
        }
    }

    /// Those that are known among these names, each once and in order; browsers may know more.
    pub(super) fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let names: Vec<&str> = names.into_iter().collect();
        Self::ALL.into_iter().filter(|transport| names.contains(&transport.name())).collect()
    }
}

/// What is proven of the hardware that holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// Nothing.
    None,
    /// A chain from a pinned root, verified at enrolment.
    Attested {
        /// The model.
        aaguid: Aaguid,
        /// The pinned root.
        root: Fingerprint,
    },
}

/// A credential as it was at its enrolment. It never changes: the counter that moves belongs to
/// whoever stores it, and is an argument of [`super::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its name.
    pub id: CredentialId,
    /// What verifies its assertions.
    pub key: PublicKey,
    /// The person that it was enrolled for.
    pub user_handle: UserHandle,
    /// The signature counter at enrolment; 0 if it has none.
    pub counter: u32,
    /// BE: it may leave its hardware. Cannot change (section 6.1.3).
    pub backup_eligible: bool,
    /// UV: its user was verified at enrolment.
    pub user_verified: bool,
    /// What is proven of its hardware.
    pub attestation: Attestation,
    /// How to reach it, in order.
    pub transports: Vec<Transport>,
}

impl Credential {
    /// What is known about where its private key lies.
    pub fn hardware(&self) -> Hardware {
        match (&self.attestation, self.backup_eligible) {
            (_, true) => Hardware::Unproven,
            (Attestation::None, false) => Hardware::DeviceBound,
            (Attestation::Attested { .. }, false) => Hardware::Attested,
        }
    }

    /// What the registry of people says of it.
    pub fn registered(&self) -> credential::Credential {
        let device = match &self.attestation {
            Attestation::None => String::new(),
            Attestation::Attested { aaguid, .. } => aaguid.to_string(),
        };
        let (id, key, hardware) = (self.id.clone(), self.key.clone(), self.hardware());
        credential::Credential { id, kind: CredentialKind::WebAuthn, key, hardware, device }
    }

    /// RFC 8785 canonical JSON: the one form that is stored and hashed.
    pub fn to_canonical(&self) -> String {
        let attestation = match &self.attestation {
            Attestation::None => None,
            Attestation::Attested { aaguid, root } => Some(Value::object([
                ("aaguid", Some(Value::text(aaguid))),
                ("root", Some(Value::text(root))),
            ])),
        };
        let transports = self.transports.iter().map(|transport| Value::text(transport.name()));
        Value::object([
            ("algorithm", Some(Value::text(self.key.algorithm()))),
            ("attestation", attestation),
            ("backup_eligible", Some(Value::text(self.backup_eligible))),
            ("counter", Some(Value::text(self.counter))),
            ("id", Some(Value::text(&self.id))),
            ("public_key", Some(Value::text(BASE64URL_NOPAD.encode(self.key.as_bytes())))),
            ("schema", Some(Value::text(SCHEMA))),
            ("transports", Some(Value::List(transports.collect()))),
            ("user_handle", Some(Value::text(&self.user_handle))),
            ("user_verified", Some(Value::text(self.user_verified))),
        ])
        .to_canonical()
    }

    /// Reads the canonical form, and no other form of the same credential.
    ///
    /// # Errors
    /// [`Malformed`] with rule `form`, `schema`, `algorithm`, `point`, `base64url`, `length`,
    /// `aaguid`, `fingerprint` or `canonical`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let stored: Stored = serde_json::from_str(text).map_err(|refused| {
            let detail = format!("found {refused}; expected a stored credential");
            Malformed::new("credential", "form", detail)
        })?;
        if stored.schema != SCHEMA {
            let found = excerpt(&stored.schema);
            let detail = format!("found {found}; expected \"{SCHEMA}\"");
            return Err(Malformed::new("schema", "schema", detail));
        }
        let algorithm = Algorithm::parse("algorithm", &stored.algorithm)?;
        let key = cose::strong(algorithm, &decoded("public_key", &stored.public_key)?);
        let key = key.map_err(|fault| Malformed::new("public_key", "point", fault.to_string()))?;
        let attestation = match stored.attestation {
            None => Attestation::None,
            Some(StoredAttestation { aaguid, root }) => Attestation::Attested {
                aaguid: Aaguid::parse("attestation.aaguid", &aaguid)?,
                root: Fingerprint::parse("attestation.root", &root)?,
            },
        };
        let credential = Self {
            id: CredentialId::parse("id", &stored.id)?,
            key,
            user_handle: UserHandle::from_bytes(&decoded("user_handle", &stored.user_handle)?)?,
            counter: word("counter", &stored.counter)?,
            backup_eligible: word("backup_eligible", &stored.backup_eligible)?,
            user_verified: word("user_verified", &stored.user_verified)?,
            attestation,
            transports: Transport::known(stored.transports.iter().map(String::as_str)),
        };
        if credential.to_canonical() == text {
            return Ok(credential);
        }
        let detail = "found another form of a credential; expected the bytes that were stored";
        Err(Malformed::new("credential", "canonical", detail))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: String,
    id: String,
    algorithm: String,
    public_key: String,
    user_handle: String,
    counter: String,
    backup_eligible: String,
    user_verified: String,
    attestation: Option<StoredAttestation>,
    transports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAttestation {
    aaguid: String,
    root: String,
}

fn decoded(field: &str, text: &str) -> Result<Vec<u8>, Malformed> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|refused| {
        let detail = format!("found {refused}; expected base64url without padding");
        Malformed::new(field, "form", detail)
    })
}

fn word<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| {
        let detail = format!("found {}; expected what is stored there", excerpt(text));
        Malformed::new(field, "form", detail)
    })
}
