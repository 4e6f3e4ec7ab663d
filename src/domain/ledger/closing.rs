//! Closing: a payment on which nothing will change any more gives up its row. What stays are its
//! leaves, what keeps its identifiers unique, and what it adds to sums.

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::counter::{Axis, CounterId, Scope, Spend};
use crate::domain::key::KeyId;
use crate::domain::leaf::{Event, Leaf};
use crate::domain::payment::PaymentId;
use crate::domain::time::{Slot, SlotWidth, Timestamp};

use super::record::{PaymentRecord, State};
use super::working_set::Claim;

/// Seconds of a day in UTC.
const DAY_S: i64 = 86_400;

/// What makes an idempotency key unique, without telling it: 128 bits of SHA-256 over caller and
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestDigest([u8; 16]);

impl RequestDigest {
    /// The digest of a caller's name for a payment.
    pub fn of(caller: &CallerId, key: &IdempotencyKey) -> Self {
        let mut hash = Sha256::new();
        for part in [caller.as_str(), key.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let mut short = [0; 16];
        short.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(short)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What is left of a payment whose row is gone. Its leaves tell the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPayment {
    /// Identifier.
    pub id: PaymentId,
    /// The leaf of the decision on it.
    pub decision: Leaf,
    /// The leaf of its outcome, if it was accepted.
    pub outcome: Option<Leaf>,
    /// The leaf that says what became of its row: `erased` or `archived`.
    pub closing: Leaf,
}

/// A payment that gives up its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Identifier.
    pub id: PaymentId,
    /// What keeps its idempotency key from being used again.
    pub request: RequestDigest,
    /// Position of the decision on it.
    pub leaf: u64,
    /// Position of its outcome.
    pub outcome_leaf: Option<u64>,
    /// The claim on its end-to-end id, which goes with it once it has lapsed.
    pub claim: Claim,
    /// When the claim was taken.
    pub accepted_at: Timestamp,
    /// What it adds to the sums of axes that are counted later; nothing unless it was posted.
    pub shares: Vec<PastShare>,
}

/// What a payment adds to one axis of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastShare {
    /// The key.
    pub key: KeyId,
    /// Over what.
    pub axis: Axis,
    /// Of whom, as [`CounterId`] names it.
    pub subject: String,
    /// Under which slot of 15 minutes it is counted: the last of its day, so that a limit that is
    /// introduced later counts it for longer and never for less long.
    pub slot: Slot,
    /// What it adds.
    pub spend: Spend,
}

impl Closing {
    /// How a payment closes that was final, and had been since before an instant; `None` for
    /// others.
    pub fn of(record: &PaymentRecord, before: Timestamp) -> Option<Self> {
        let final_at = match &record.state {
            State::Denied(_) => record.accepted_at,
            State::Posted { posted_at, .. } => *posted_at,
            State::Voided { voided_at, .. } => *voided_at,
            State::Waiting { .. } | State::Authorised { .. } => return None,
        };
        let payment = &record.payment;
        let (account, end_to_end_id) = (payment.creditor().account(), payment.end_to_end_id());
        (final_at <= before).then(|| Self {
            id: record.id,
            request: RequestDigest::of(&record.caller, &record.idempotency_key),
            leaf: record.leaf,
            outcome_leaf: record.outcome_leaf,
            claim: Claim::of(payment.key(), account, end_to_end_id),
            accepted_at: record.accepted_at,
            shares: shares(record),
        })
    }
}

fn shares(record: &PaymentRecord) -> Vec<PastShare> {
    let State::Posted { posted_at, .. } = &record.state else { return Vec::new() };
    let (key, spend) = (record.payment.key(), record.spend());
    let (scope, parties) = (Scope::Key(key.clone()), record.parties());
    let next_day = posted_at.unix_s().div_euclid(DAY_S).saturating_add(1).saturating_mul(DAY_S);
    let slot = Slot::from_start_s(next_day).before(SlotWidth::Quarter);
    let of = |axis| {
        let id = CounterId::of(&scope, axis, &parties)?;
        Some(PastShare { key: key.clone(), axis, subject: id.subject, slot, spend })
    };
    Axis::ALL.into_iter().filter_map(of).collect()
}

/// Payments that are erased in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// They were final since before this instant.
    pub before: Timestamp,
    /// The payments; none only to forget what earlier erasures left in the files.
    pub payments: Vec<Closing>,
    /// Whether nothing more is due, so that it is time to see to the files.
    pub is_last: bool,
}

impl Erasure {
    /// What the log says about it; `None` if it erases nothing.
    pub fn event(&self) -> Option<Event> {
        let (first, last) = range(&self.payments)?;
        let payments = u64::try_from(self.payments.len()).unwrap_or(u64::MAX);
        Some(Event::Erased { payments, before: self.before, first, last })
    }
}

/// Positions of the first and the last decision on them.
fn range(payments: &[Closing]) -> Option<(u64, u64)> {
    let leaves = || payments.iter().map(|payment| payment.leaf);
    leaves().min().zip(leaves().max())
}
