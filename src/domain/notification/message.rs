//! What a notification key may be asked to sign: requests that tell an event, and nothing else
//! (P6). The form is that of HTTP message signatures (RFC 9421).
//!
//! This is the third typed thing that a token signs. Nobody outside gets from bytes to a
//! signature: a message is made of an [`Event`], the configured [`Target`] and an instant, and its
//! bytes follow from those.

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::target::Target;
use super::{Event, EventId};
use crate::domain::key::{Algorithm, Kid, PublicKey, Signature};
use crate::domain::time::Timestamp;

/// The media type of an event's body.
pub const CONTENT_TYPE: &str = "application/json";
/// The `tag` of our signatures (RFC 9421 section 2.3): no other use of HTTP signatures by the same
/// key could be taken for one.
pub const TAG: &str = "countersign-notification";
/// Label of the signature in its two header fields.
const LABEL: &str = "sig1";
/// What the signature covers, in this order.
const COVERED: &str = r#"("@method" "@target-uri" "content-type" "content-digest")"#;

/// A POST request that tells one event to one target.
///
/// It cannot be taken for anything else that we sign: it starts with `"@method"`, has several lines
/// unlike the signing input of a payment, and no number in its second one unlike a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationMessage {
    event: EventId,
    body: String,
    target: Target,
    created: Timestamp,
    algorithm: Algorithm,
    kid: Kid,
}

impl NotificationMessage {
    /// The request that tells `event` to `target` at `created`, to be signed by the key `public`.
    pub fn new(event: &Event, target: &Target, created: Timestamp, public: &PublicKey) -> Self {
        Self {
            event: event.id(),
            body: event.to_body(),
            target: target.clone(),
            created,
            algorithm: public.algorithm(),
            kid: public.kid().clone(),
        }
    }

    /// The body of the request.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether this key is the one that the message names.
    pub fn is_for(&self, public: &PublicKey) -> bool {
        self.kid == *public.kid()
    }

    /// The value of `Content-Digest` (RFC 9530 section 2).
    pub fn content_digest(&self) -> String {
        content_digest(self.body.as_bytes())
    }

    /// The value of `Signature-Input` (RFC 9421 section 4.1).
    pub fn signature_input(&self) -> String {
        format!("{LABEL}={}", self.params())
    }

    /// The value of `Signature` (RFC 9421 section 4.2).
    pub fn signature_field(signature: &Signature) -> String {
        format!("{LABEL}=:{}:", BASE64.encode(signature.as_bytes()))
    }

    /// The signature parameters (RFC 9421 section 2.3). Every value is of a set without quotes and
    /// backslashes, so that none needs an escape.
    fn params(&self) -> String {
        // RFC 9421 sections 3.3.4 and 3.3.6.
        let alg = match self.algorithm {
            Algorithm::Es256 => "ecdsa-p256-sha256",
            Algorithm::EdDsa => "ed25519",
        };
        let (created, kid, event) = (self.created.unix_s(), &self.kid, self.event);
        format!(
            "{COVERED};created={created};keyid=\"{kid}\";alg=\"{alg}\";nonce=\"{event}\";\
             tag=\"{TAG}\""
        )
    }

    /// The bytes that the signature is over, the signature base (RFC 9421 section 2.5); for the HSM
    /// workers.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let digest = self.content_digest();
        let lines = [
            ("@method", "POST"),
            ("@target-uri", self.target.as_str()),
            ("content-type", CONTENT_TYPE),
            ("content-digest", &digest),
            ("@signature-params", &self.params()),
        ];
        signature_base(&lines).into_bytes()
    }
}

/// `sha-256` of a body as a structured dictionary (RFC 9530 section 2, RFC 8941 section 3.3.5).
fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

/// One line per component, without a newline at the end (RFC 9421 section 2.5).
fn signature_base(lines: &[(&str, &str)]) -> String {
    let lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
