//! The evidence of one touch, kept as it was received, and the options that ask for it.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::domain::canonical::Value;
use crate::domain::credential::CredentialId;

use super::authenticator_data::AUTHENTICATOR_DATA_BYTES_MAX;
use super::client_data::CLIENT_DATA_BYTES_MAX;
use super::credential::{Credential, USER_HANDLE_BYTES_MAX, UserHandle};
use super::fault::{Fault, Refused};
use super::relying_party::RelyingParty;
use super::verify::UserVerification;
use super::wire::{Object, bytes, head, object};

/// Bytes of the JSON of an assertion, at most.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// A P-256 signature in DER has at most 72 bytes, an Ed25519 signature 64. There is room for forms
/// that are too long, so that the log calls them what they are.
const SIGNATURE_BYTES_MAX: usize = 80;
/// How long a browser waits for the touch, in milliseconds. A hint (section 5.5).
pub(super) const TIMEOUT_MS: u32 = 300_000;

/// What an authenticator answered, byte for byte. Read, not yet judged: see [`super::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    pub(super) credential_id: CredentialId,
    pub(super) client_data: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) user_handle: Option<UserHandle>,
}

impl Assertion {
    /// Reads the JSON that `PublicKeyCredential.toJSON()` makes (W3C WebAuthn section 5.1,
    /// `AuthenticationResponseJSON`), at most 16 KiB. Binary members are base64url without padding;
    /// members that the specification does not name are refused; results of extensions, none of
    /// which are asked for, are not kept.
    ///
    /// # Errors
    /// [`Refused`], always with [`Fault::Wire`].
    pub fn parse(json: &[u8]) -> Result<Self, Refused> {
        let wire: Wire = object(json, JSON_BYTES_MAX)?;
        let Object(response) = wire.response;
        let credential_id = head(&wire.id, &wire.raw_id, &wire.r#type)?;
        let member = |name, text: &str, bytes_max| bytes(name, text, 1..=bytes_max);
        let user_handle = response.user_handle.map(|text| {
            let handle = member("userHandle", &text, USER_HANDLE_BYTES_MAX)?;
            UserHandle::from_bytes(&handle).map_err(|refused| Fault::Wire(refused.to_string()))
        });
        let client_data = member("clientDataJSON", &response.client_data, CLIENT_DATA_BYTES_MAX)?;
        let authenticator_data = member(
            "authenticatorData",
            &response.authenticator_data,
            AUTHENTICATOR_DATA_BYTES_MAX,
        )?;
        Ok(Self {
            credential_id,
            client_data,
            authenticator_data,
            signature: member("signature", &response.signature, SIGNATURE_BYTES_MAX)?,
            user_handle: user_handle.transpose()?,
        })
    }

    /// RFC 8785 canonical JSON of the same members: the form in which evidence is stored and
    /// hashed. [`Self::parse`] reads it, and so does other software that verifies assertions.
    pub fn to_canonical(&self) -> String {
        let encoded = |bytes: &[u8]| Some(Value::text(BASE64URL_NOPAD.encode(bytes)));
        let response = Value::object([
            ("authenticatorData", encoded(&self.authenticator_data)),
            ("clientDataJSON", encoded(&self.client_data)),
            ("signature", encoded(&self.signature)),
            ("userHandle", self.user_handle.as_ref().map(Value::text)),
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
    #[serde(rename = "authenticatorData")]
    authenticator_data: String,
    signature: String,
    #[serde(rename = "userHandle")]
    user_handle: Option<String>,
}

/// The options with which a page asks for a touch (`PublicKeyCredentialRequestOptionsJSON`,
/// section 5.1.9): for this challenge, by one of these credentials.
pub fn request_options(
    rp: &RelyingParty,
    challenge: &[u8; 32],
    credentials: &[&Credential],
    user_verification: UserVerification,
) -> String {
    let allowed = credentials.iter().map(|credential| descriptor(credential));
    json!({
        "challenge": BASE64URL_NOPAD.encode(challenge),
        "rpId": rp.id(),
        "allowCredentials": allowed.collect::<Vec<_>>(),
        "userVerification": user_verification.name(),
        "timeout": TIMEOUT_MS,
    })
    .to_string()
}

/// A credential as options name it (section 5.8.3).
pub(super) fn descriptor(credential: &Credential) -> serde_json::Value {
    let transports = credential.transports.iter().map(|transport| transport.name());
    json!({
        "type": "public-key",
        "id": credential.id.to_string(),
        "transports": transports.collect::<Vec<_>>(),
    })
}
