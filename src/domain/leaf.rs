//! Leaves: what the log says about each decision.
//!
//! A leaf is canonical JSON of texts, at most [`LEAF_BYTES_MAX`] bytes, and never changes. It names
//! identifiers, amounts and rules in the clear. What tells of people (names, accounts, debtors,
//! references, and with them order and signature) enters as a salted digest; the salt lies with the
//! payment and is erased with it, and nobody can guess what the digest was made from any more.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::canonical::Value;
use super::ledger::{Evidence, PaymentRecord, State, Wait};
use super::order::Order;
use super::person::Approver;
use super::statement::{StatementDigest, Verdict};
use super::time::Timestamp;

mod event;
mod refused;

pub use event::{Archived, Event, Unserved};

/// Schema of leaves, its first version.
pub const LEAF_SCHEMA: &str = "countersign/leaf/1";
/// Longest leaf, in bytes. Every field has a maximum of its own that is far smaller.
pub const LEAF_BYTES_MAX: usize = 4096;
/// Longest free text in a leaf, such as what a token answered, in characters.
pub(in crate::domain) const REASON_CHARS_MAX: usize = 500;

/// 128 random bits that hide what the digests of one payment were made from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    /// A salt from random bytes that the caller of this function drew.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// SHA-256 of salt, name, a zero byte and value; base64url without padding.
    pub fn digest(&self, name: &str, value: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(value);
        BASE64URL_NOPAD.encode(&hash.finalize())
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

/// The bytes of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf(String);

impl Leaf {
    /// What is said about the present state of a payment: `denied`, `waiting` (for people),
    /// `accepted` (it may be signed, and nobody was asked), `authorised` (it may be signed after it
    /// waited), `signed` or `voided`.
    pub fn of_payment(record: &PaymentRecord) -> Self {
        let order =
            |order: &Order| ("order", Value::text(record.salt.digest("order", order.as_bytes())));
        match &record.state {
            State::Waiting { .. } => {
                let wait = record.wait.as_deref().map(waiting).unwrap_or_default();
                let order = record.wait.as_deref().map(|wait| order(&wait.order));
                Self::asked("waiting", record, wait.into_iter().chain(order))
            }
            State::Authorised { kid, signing_input, .. } if record.wait.is_none() => {
                let more = [("kid", Value::text(kid)), order(signing_input.order())];
                Self::asked("accepted", record, more)
            }
            State::Authorised { kid, signing_input, .. } => {
                let more = [("kid", Value::text(kid)), order(signing_input.order())];
                Self::outcome("authorised", record, signing_input.signed_at(), more)
            }
            State::Denied(denial) => Self::asked("denied", record, [refused::denial(denial)]),
            State::Posted { kid, signing_input, signature, posted_at, .. } => {
                let jws = signing_input.to_compact_jws(signature);
                let digest = record.salt.digest("jws", jws.as_bytes());
                let more = [("kid", Value::text(kid)), ("jws", Value::text(digest))];
                Self::outcome("signed", record, *posted_at, more)
            }
            State::Voided { reason, voided_at } => {
                let more = [("reason", Value::text(reason.name()))];
                Self::outcome("voided", record, *voided_at, more)
            }
        }
    }

    /// What is said about evidence that was taken for a payment: `approved` or `rejected`. Whose it
    /// is is hidden; statement and evidence are named by their digests.
    pub fn of_evidence(
        record: &PaymentRecord,
        statement: &StatementDigest,
        verdict: Verdict,
        evidence: &Evidence,
        approver: &Approver,
    ) -> Self {
        let kind = match verdict {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
        };
        let hidden = record.salt.digest("approver", approver.to_string().as_bytes());
        let more = [
            ("approver", Value::text(hidden)),
            ("statement", Value::text(statement)),
            ("evidence", Value::text(BASE64URL_NOPAD.encode(&evidence.digest()))),
        ];
        Self::outcome(kind, record, evidence.given_at, more)
    }

    /// What is said about an event that concerns no payment.
    pub fn of_event(at: Timestamp, event: &Event) -> Self {
        Self::new(event.kind(), at, event.members())
    }

    /// A leaf as the ledger kept it.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The canonical JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A decision on what was asked.
    fn asked(
        kind: &'static str,
        record: &PaymentRecord,
        more: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let PaymentRecord { payment, salt, .. } = record;
        let hidden = |name: &str, value: &str| Value::text(salt.digest(name, value.as_bytes()));
        let account = payment.creditor().account().to_string();
        let personal = [
            ("idempotency_key", Some(record.idempotency_key.as_str())),
            ("creditor_name", Some(payment.creditor().name())),
            ("creditor_account", Some(account.as_str())),
            ("debtor", payment.debtor().map(|debtor| debtor.as_str())),
            ("end_to_end_id", Some(payment.end_to_end_id().as_str())),
            ("remittance_information", payment.remittance_information()),
        ];
        let personal =
            personal.into_iter().filter_map(|(name, value)| Some((name, hidden(name, value?))));
        let told = [
            ("namespace", Value::text(&record.namespace)),
            ("expires_at", Value::text(record.expires_at)),
        ];
        let members = told.into_iter().chain(personal).chain(more);
        Self::outcome(kind, record, record.accepted_at, members)
    }

    fn outcome(
        kind: &'static str,
        record: &PaymentRecord,
        at: Timestamp,
        more: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let payment = &record.payment;
        let named = [
            ("payment", Value::text(record.id)),
            ("caller", Value::text(&record.caller)),
            ("key", Value::text(payment.key())),
            ("amount", Value::text(payment.currency().decimal(payment.amount().minor_units()))),
            ("currency", Value::text(payment.currency().code())),
        ];
        Self::new(kind, at, named.into_iter().chain(more))
    }

    fn new(
        kind: &'static str,
        at: Timestamp,
        members: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let head = [
            ("schema", Value::text(LEAF_SCHEMA)),
            ("kind", Value::text(kind)),
            ("at", Value::text(at)),
        ];
        Self(Value::Object(head.into_iter().chain(members).collect()).to_canonical())
    }
}

/// For whom a payment waits.
fn waiting(wait: &Wait) -> Vec<(&'static str, Value)> {
    vec![
        ("policy", Value::text(&wait.policy_version)),
        ("tier", Value::text(&wait.tier)),
        ("demand", wait.demand.to_value()),
        ("deadline", Value::text(wait.deadline)),
    ]
}
