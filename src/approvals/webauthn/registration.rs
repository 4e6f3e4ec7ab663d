//! The answer of a browser to an enrolment, kept as it was received.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::domain::canonical::Value;
use crate::domain::credential::CredentialId;

use super::client_data::CLIENT_DATA_BYTES_MAX;
use super::credential::Transport;
use super::fault::{Fault, Refused};
use super::wire::{Object, bytes, head, object};

/// Bytes of the JSON of a registration, at most; a chain of certificates has two or three thousand.
const JSON_BYTES_MAX: usize = 64 * 1024;
const ATTESTATION_BYTES_MAX: usize = 24 * 1024;
const TRANSPORTS_MAX: usize = 16;

/// What an authenticator answered, byte for byte. Read, not yet judged: see
/// [`super::Enrolment::finish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub(super) credential_id: CredentialId,
    pub(super) client_data: Vec<u8>,
    pub(super) attestation_object: Vec<u8>,
    pub(super) transports: Vec<Transport>,
}

impl Registration {
    /// Reads the JSON that `PublicKeyCredential.toJSON()` makes (W3C WebAuthn section 5.1,
    /// `RegistrationResponseJSON`), at most 64 KiB. What browsers derive from the attestation
    /// object for pages without a CBOR reader is not looked at.
    ///
    /// # Errors
    /// [`Refused`], always with [`Fault::Wire`].
    pub fn parse(json: &[u8]) -> Result<Self, Refused> {
        let wire: Wire = object(json, JSON_BYTES_MAX)?;
        let Object(response) = wire.response;
        let credential_id = head(&wire.id, &wire.raw_id, &wire.r#type)?;
        let member = |name, text: &str, bytes_max| bytes(name, text, 1..=bytes_max);
        let names = response.transports.unwrap_or_default();
        if names.len() > TRANSPORTS_MAX {
            let found = names.len();
            let detail = format!("found {found} transports; expected at most {TRANSPORTS_MAX}");
            return Err(Fault::Wire(detail).into());
        }
        let (name, text) = ("attestationObject", &response.attestation_object);
        Ok(Self {
            credential_id,
            client_data: member("clientDataJSON", &response.client_data, CLIENT_DATA_BYTES_MAX)?,
            attestation_object: member(name, text, ATTESTATION_BYTES_MAX)?,
            transports: Transport::known(names.iter().map(String::as_str)),
        })
    }

    /// RFC 8785 canonical JSON of the same members: the form in which evidence is stored and
    /// hashed; [`Self::parse`] reads it.
    pub fn to_canonical(&self) -> String {
        let encoded = |bytes: &[u8]| Some(Value::text(BASE64URL_NOPAD.encode(bytes)));
        let transports = self.transports.iter().map(|transport| Value::text(transport.name()));
        let response = Value::object([
            ("attestationObject", encoded(&self.attestation_object)),
            ("clientDataJSON", encoded(&self.client_data)),
            ("transports", Some(Value::List(transports.collect()))),
        ]);
        Value::object([
            ("id", Some(Value::text(&self.credential_id))),
            ("rawId", Some(Value::text(&self.credential_id))),
            ("response", Some(response)),
            ("type", Some(Value::text("public-key"))),
        ])
        .to_canonical()
    }

    /// Which credential it claims to be of; nothing is proven yet.
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    id: String,
    #[serde(rename = "rawId")]
    raw_id: String,
    r#type: String,
    response: Object<WireResponse>,
    #[serde(rename = "authenticatorAttachment")]
    _attachment: Option<IgnoredAny>,
    #[serde(rename = "clientExtensionResults")]
    _extensions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "attestationObject")]
    attestation_object: String,
    transports: Option<Vec<String>>,
    #[serde(rename = "authenticatorData")]
    _authenticator_data: Option<IgnoredAny>,
    #[serde(rename = "publicKey")]
    _public_key: Option<IgnoredAny>,
    #[serde(rename = "publicKeyAlgorithm")]
    _public_key_algorithm: Option<IgnoredAny>,
}
