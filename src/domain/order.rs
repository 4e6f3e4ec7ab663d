//! The order: the payment's own bytes, made once when it is accepted and never re-serialised.
//!
//! It is the payload of the compact JWS (RFC 7515) byte for byte. What arises later, such as the
//! time of signing, goes into the protected header. Both together are the *signing input*.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::canonical::Value;
use super::key::{Kid, Signature};
use super::payment::{Payment, PaymentId};
use super::statement::StatementDigest;
use super::time::Timestamp;

mod contents;

pub use contents::OrderContents;

/// Schema of the order, its first version.
pub const ORDER_SCHEMA: &str = "countersign/order/1";
/// The `typ` of the protected header.
pub const PAYMENT_TYP: &str = "payment+jws";

/// Everything that an order says beside the payment itself.
#[derive(Debug, Clone, Copy)]
pub struct OrderTerms<'a> {
    /// Identifier of the payment.
    pub id: PaymentId,
    /// Who issues it: the daemon's configured name, a URL.
    pub issuer: &'a str,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Version of the policy that admitted it.
    pub policy_version: &'a str,
    /// Rule of that policy that admitted it.
    pub policy_rule: &'a str,
}

/// The bytes of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Arc<[u8]>);

impl Order {
    /// Writes the order of a payment: RFC 8785 canonical JSON of texts only.
    pub fn new(payment: &Payment, terms: &OrderTerms<'_>) -> Self {
        let policy = Value::object([
            ("version", Some(Value::text(terms.policy_version))),
            ("rule", Some(Value::text(terms.policy_rule))),
        ]);
        let order = Value::object([
            ("schema", Some(Value::text(ORDER_SCHEMA))),
            ("payment_id", Some(Value::text(terms.id))),
            ("issuer", Some(Value::text(terms.issuer))),
            ("accepted_at", Some(Value::text(terms.accepted_at))),
            ("expires_at", Some(Value::text(terms.expires_at))),
            ("payment", Some(payment.to_canonical())),
            ("policy", Some(policy)),
        ]);
        Self(order.to_canonical().into_bytes().into())
    }

    /// An order as the ledger kept it.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes: what statements embed.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// Protected header and order, frozen before the token is asked (P1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningInput {
    protected: Arc<str>,
    order: Order,
    signed_at: Timestamp,
}

impl SigningInput {
    /// Freezes the header for the order of a payment that nobody was asked about. `alg` follows
    /// from the key: ES256.
    pub fn freeze(order: Order, kid: &Kid, signed_at: Timestamp) -> Self {
        Self::freeze_approved(order, kid, signed_at, &BTreeSet::new())
    }

    /// The same for a payment that people approved: `approvals` are the digests of the statements
    /// that they signed, sorted by their bytes.
    pub fn freeze_approved(
        order: Order,
        kid: &Kid,
        signed_at: Timestamp,
        approvals: &BTreeSet<StatementDigest>,
    ) -> Self {
        let protected = Value::object([
            ("alg", Some(Value::text("ES256"))),
            ("kid", Some(Value::text(kid))),
            ("typ", Some(Value::text(PAYMENT_TYP))),
            ("signed_at", Some(Value::text(signed_at))),
            ("approvals", Some(Value::List(approvals.iter().map(Value::text).collect()))),
        ]);
        Self { protected: protected.to_canonical().into(), order, signed_at }
    }

    /// The protected header, JSON text.
    pub fn protected(&self) -> &str {
        &self.protected
    }

    /// When it was frozen.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// The order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// `BASE64URL(header) . BASE64URL(payload)`, RFC 7515 section 5.1 step 5.
    pub fn to_ascii(&self) -> String {
        let header = BASE64URL_NOPAD.encode(self.protected.as_bytes());
        let payload = BASE64URL_NOPAD.encode(self.order.as_bytes());
        format!("{header}.{payload}")
    }

    /// The compact serialisation, RFC 7515 section 7.1.
    pub fn to_compact_jws(&self, signature: &Signature) -> String {
        let signature = BASE64URL_NOPAD.encode(signature.as_bytes());
        format!("{}.{signature}", self.to_ascii())
    }
}
