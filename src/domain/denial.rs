//! Denials: the answers "no" of policy and limits, each with its numbers.
//!
//! A denial is a decision. It is final for its idempotency key and goes on the record.

use serde::{Deserialize, Serialize};

use super::limits::{Breach, Measure};

/// Why a payment was denied. Stored with the payment, so names and fields are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Denial {
    /// The policy knows no such key. Outwardly the same as [`Denial::CallerNotAllowed`].
    KeyUnknown,
    /// The key is not open to this caller.
    CallerNotAllowed,
    /// The key is not a settlement key.
    KeyPurpose {
        /// Its purpose.
        purpose: String,
    },
    /// The payment is in another currency than the key signs.
    KeyCurrency {
        /// The key's currency.
        expected: String,
    },
    /// The key has limits over debtors, and the payment names none.
    DebtorMissing,
    /// Somebody said "that was not me": nothing is paid in the debtor's name.
    DebtorFrozen,
    /// The creditor's account is on the key's deny list.
    CreditorDenied,
    /// The creditor's account is not on the key's allow list.
    CreditorNotAllowed,
    /// The creditor's account was listed too recently.
    CreditorCoolingOff {
        /// From when on it may be paid, RFC 3339; empty if that is not known yet.
        until: String,
    },
    /// `expires_at` is not in the future.
    Expired {
        /// The clock of the decision, RFC 3339.
        decided_at: String,
    },
    /// `expires_at` is further away than the key allows.
    ExpiryTooFar {
        /// The latest that would have been accepted, RFC 3339.
        latest: String,
    },
    /// The end-to-end id was used for the same key and creditor account before.
    DuplicateEndToEndId {
        /// The earlier payment.
        earlier_payment: String,
        /// When it was accepted, RFC 3339.
        accepted_at: String,
    },
    /// A limit would be exceeded.
    LimitExceeded(Breach),
    /// The payment's tier is closed to everybody.
    TierDenies {
        /// Its name.
        tier: String,
    },
    /// The tier asks for the debtor in person, and nobody enrolled a token.
    PayerNotEnrolled {
        /// Name of the tier.
        tier: String,
    },
    /// The tier asks for the debtor in person, whose token was enrolled too recently.
    PayerCoolingOff {
        /// Name of the tier.
        tier: String,
        /// From when on the token counts, RFC 3339.
        until: String,
    },
    /// The tier asks for more people than could approve.
    TooFewPeople {
        /// Name of the tier.
        tier: String,
        /// The group.
        group: String,
        /// How many it asks for beyond those who could.
        missing: u32,
    },
    /// Too many payments wait for people already.
    TooManyWaiting {
        /// Whose: `caller` or `debtor`.
        per: String,
        /// How many wait.
        waiting: u32,
        /// How many may.
        most: u32,
    },
    /// What waits for people would hold too much of a limit.
    WaitingShare {
        /// Whose: `caller` or `debtor`.
        per: String,
        /// Name of the limit.
        limit: String,
        /// What it counts.
        measure: Measure,
        /// What waits already; amounts are minor units.
        waiting: u64,
        /// What this payment asked for.
        asked: u64,
        /// What may wait.
        most: u64,
    },
}

impl Denial {
    /// The stable name of the rule, as callers see it.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::KeyUnknown | Self::CallerNotAllowed => "key_not_allowed",
            Self::KeyPurpose { .. } => "key_purpose",
            Self::KeyCurrency { .. } => "key_currency",
            Self::DebtorMissing => "debtor_missing",
            Self::DebtorFrozen => "debtor_frozen",
            Self::CreditorDenied => "creditor_denied",
            Self::CreditorNotAllowed => "creditor_not_allowed",
            Self::CreditorCoolingOff { .. } => "creditor_cooling_off",
            Self::Expired { .. } => "expired",
            Self::ExpiryTooFar { .. } => "expiry_too_far",
            Self::DuplicateEndToEndId { .. } => "duplicate_end_to_end_id",
            Self::LimitExceeded(_) => "limit_exceeded",
            Self::TierDenies { .. } => "tier_denies",
            Self::PayerNotEnrolled { .. } => "payer_not_enrolled",
            Self::PayerCoolingOff { .. } => "payer_cooling_off",
            Self::TooFewPeople { .. } => "too_few_people",
            Self::TooManyWaiting { .. } => "too_many_waiting",
            Self::WaitingShare { .. } => "waiting_share",
        }
    }
}
