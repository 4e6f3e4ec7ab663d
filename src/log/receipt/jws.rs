//! The signed payment of a receipt: a compact JWS (RFC 7515) whose payload is the order.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::domain::key::{Algorithm, PublicKey};
use crate::domain::order::{ORDER_SCHEMA, PAYMENT_TYP};
use crate::domain::text::excerpt;

/// Why a JWS is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three parts of base64url.
    #[error("it is not a compact JWS: three parts of base64url with points between them")]
    Form,
    /// The header has other members than payments have, or lacks one.
    #[error("its header is not that of a payment: {0}")]
    Header(String),
    /// A header that says something else.
    #[error("its header says {member} {found}; expected {expected}")]
    Says {
        /// Name of the member.
        member: &'static str,
        /// An excerpt of what it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The payload is no order.
    #[error("its payload is not an order: {0}")]
    Order(String),
    /// None of the keys that were given.
    #[error("its key {kid} is not in the key set; fetch the set again, or it was made elsewhere")]
    KeyUnknown {
        /// What the header names.
        kid: String,
    },
    /// The signature does not verify.
    #[error("its signature does not verify with the key {kid}: not one byte of it can be trusted")]
    Signature {
        /// The key.
        kid: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: String,
    pub(super) typ: String,
    #[serde(rename = "signed_at")]
    _signed_at: String,
    #[serde(rename = "approvals")]
    _approvals: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderFields {
    pub(super) schema: String,
    pub(super) payment_id: String,
    pub(super) issuer: String,
    pub(super) accepted_at: String,
    pub(super) expires_at: String,
    pub(super) payment: OrderedPayment,
    #[serde(rename = "policy")]
    _policy: serde::de::IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderedPayment {
    pub(super) key: String,
    pub(super) amount: String,
    pub(super) currency: String,
    pub(super) creditor: OrderedCreditor,
    pub(super) debtor: Option<OrderedDebtor>,
    pub(super) end_to_end_id: String,
    pub(super) remittance_information: Option<String>,
    #[serde(rename = "expires_at")]
    _expires_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderedCreditor {
    pub(super) name: String,
    pub(super) account: OrderedAccount,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderedAccount {
    iban: Option<String>,
    other: Option<OrderedOther>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderedOther {
    scheme: String,
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderedDebtor {
    pub(super) id: String,
}

impl OrderedAccount {
    /// The form in which limits, lists and leaves have it; empty if it is none.
    pub(super) fn canonical(&self) -> String {
        match (&self.iban, &self.other) {
            (Some(iban), None) => format!("iban:{iban}"),
            (None, Some(OrderedOther { scheme, id })) => format!("{scheme}:{id}"),
            _ => String::new(),
        }
    }
}

/// A JWS whose signature has been verified.
#[derive(Debug)]
pub(super) struct SignedOrder {
    pub(super) header: Header,
    /// The payload, byte for byte.
    pub(super) bytes: Vec<u8>,
    pub(super) order: OrderFields,
}

/// Takes a JWS apart and verifies it with the key that it names.
pub(super) fn verify(jws: &str, keys: &[PublicKey]) -> Result<SignedOrder, JwsError> {
    let (input, signature) = jws.rsplit_once('.').ok_or(JwsError::Form)?;
    let (header, payload) = input.split_once('.').ok_or(JwsError::Form)?;
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| JwsError::Form);
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header: Header =
        serde_json::from_slice(&header).map_err(|refused| JwsError::Header(refused.to_string()))?;
    let kid = &header.kid;
    let key = keys.iter().find(|key| key.kid().as_str() == kid);
    let key = key.ok_or_else(|| JwsError::KeyUnknown { kid: excerpt(kid) })?;
    // The key has one algorithm; a header does not choose (RFC 8725 section 3.1).
    says("alg", &header.alg, key.algorithm().name())?;
    says("typ", &header.typ, PAYMENT_TYP)?;
    if !verifies(key, input.as_bytes(), &signature) {
        return Err(JwsError::Signature { kid: kid.clone() });
    }
    let order: OrderFields =
        serde_json::from_slice(&payload).map_err(|refused| JwsError::Order(refused.to_string()))?;
    match order.schema == ORDER_SCHEMA {
        true => Ok(SignedOrder { header, bytes: payload, order }),
        false => {
            let detail =
                format!("its schema is {}; expected {ORDER_SCHEMA}", excerpt(&order.schema));
            Err(JwsError::Order(detail))
        }
    }
}

fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let verified = match key.algorithm() {
        Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_bytes())
            .verify(message, signature),
        Algorithm::EdDsa => {
            UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature)
        }
    };
    verified.is_ok()
}

fn says(member: &'static str, found: &str, expected: &str) -> Result<(), JwsError> {
    match found == expected {
        true => Ok(()),
        false => {
            let (found, expected) = (excerpt(found), excerpt(expected));
            Err(JwsError::Says { member, found, expected })
        }
    }
}
