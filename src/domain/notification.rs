//! What callers and people are told: events about payments, each made of a decision on the record
//! and of nothing else.
//!
//! An event is a second reading of a leaf of the log: the commit that decides is the commit that
//! makes the event, so that nobody hears of what is not durable (P1) and nothing durable goes
//! untold. Not here: who is told, over what, and how often it is tried.

use std::fmt;
use std::sync::Arc;

use super::canonical::Value;
use super::ledger::{PaymentRecord, State};
use super::payment::PaymentId;
use super::text::{Malformed, excerpt};
use super::time::Timestamp;

pub mod backoff;
pub mod message;
pub mod target;

/// Schema of the body of an event, its first version.
pub const EVENT_SCHEMA: &str = "countersign/event/1";

/// What happened. The set is closed; a new kind is a variant here and the leaf that tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// The payment is signed, and its signature may be fetched.
    Signed,
    /// The payment waits for people.
    AwaitingApproval,
    /// Policy or a limit said no.
    Denied,
    /// The payment was given up before it was signed.
    Voided,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Signed, Self::AwaitingApproval, Self::Denied, Self::Voided];

    /// The name that gateways switch on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signed => "payment.signed",
            Self::AwaitingApproval => "payment.awaiting_approval",
            Self::Denied => "payment.denied",
            Self::Voided => "payment.voided",
        }
    }

    /// Reads the name.
    ///
    /// # Errors
    /// [`Malformed`] with rule `event`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "event", detail)
        })
    }

    /// The `kind` of the leaf that tells it.
    pub const fn leaf(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::AwaitingApproval => "waiting",
            Self::Denied => "denied",
            Self::Voided => "voided",
        }
    }

    /// The kind that a leaf of this `kind` tells, if anybody is told of it.
    pub fn of_leaf(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.leaf() == kind)
    }
}

/// The name of an event, the same in every delivery and every stream: the position of its leaf, a
/// hyphen, and the payment.
///
/// The position orders, and is where a reader goes on. The payment makes sure that it goes on in
/// the same log: after a ledger was set back, another payment stands at that position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Position of the leaf.
    pub position: u64,
    /// The payment that it is about.
    pub payment: PaymentId,
}

impl EventId {
    /// Reads `4711-0b54b9a0a46c4e2e8a4b1b4a0e5f9c11`.
    ///
    /// # Errors
    /// [`Malformed`] with rule `event_id`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let parts = text.split_once('-').and_then(|(position, payment)| {
            let payment = PaymentId::parse(field, payment).ok()?;
            Some(Self { position: position.parse().ok()?, payment })
        });
        parts.filter(|id| id.to_string() == text).ok_or_else(|| {
            let detail = format!(
                "found {}; expected the id of an event: digits, a hyphen and a payment id",
                excerpt(text)
            );
            Malformed::new(field, "event_id", detail)
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.payment)
    }
}

/// Something that happened to a payment and that somebody may be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    kind: EventKind,
    at: Timestamp,
    record: Arc<PaymentRecord>,
}

impl Event {
    /// The event that the leaf at a position tells about the payment of `record`; `leaf_kind` and
    /// `at` are what the leaf says. `None` if nobody is told of such a leaf.
    pub fn of_leaf(
        position: u64,
        leaf_kind: &str,
        at: Timestamp,
        record: Arc<PaymentRecord>,
    ) -> Option<Self> {
        let kind = EventKind::of_leaf(leaf_kind)?;
        Some(Self { id: EventId { position, payment: record.id }, kind, at, record })
    }

    /// Its name.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The payment, as it stands now: an event is never taken back, so nothing that it tells has
    /// changed since, although more may have happened.
    pub fn payment(&self) -> &PaymentRecord {
        &self.record
    }

    /// What is told, as RFC 8785 canonical JSON of texts: identifiers, amount and rule, which
    /// mean something to the caller and nothing to who overhears them. The creditor, the debtor
    /// and the signature stay where they are and are asked for by id.
    pub fn to_body(&self) -> String {
        let record = &self.record;
        let payment = &record.payment;
        let amount = payment.currency().decimal(payment.amount().minor_units());
        let (rule, reason) = match (self.kind, &record.state) {
            (EventKind::Denied, State::Denied(denial)) => (Some(Value::text(denial.rule())), None),
            (EventKind::Voided, State::Voided { reason, .. }) => {
                (None, Some(Value::text(reason.name())))
            }
            // What the payment is by now is not what this event tells.
            _ => (None, None),
        };
        Value::object([
            ("schema", Some(Value::text(EVENT_SCHEMA))),
            ("id", Some(Value::text(self.id))),
            ("kind", Some(Value::text(self.kind.name()))),
            ("at", Some(Value::text(self.at))),
            ("payment_id", Some(Value::text(record.id))),
            ("idempotency_key", Some(Value::text(record.idempotency_key.as_str()))),
            ("end_to_end_id", Some(Value::text(payment.end_to_end_id()))),
            ("caller", Some(Value::text(&record.caller))),
            ("key", Some(Value::text(payment.key()))),
            ("amount", Some(Value::text(amount))),
            ("currency", Some(Value::text(payment.currency().code()))),
            ("rule", rule),
            ("reason", reason),
        ])
        .to_canonical()
    }
}

#[cfg(test)]
pub(crate) mod tests;
