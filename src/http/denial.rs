//! Denials as callers read them: what was found, what was expected, what to do.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::denial::Denial;
use crate::domain::limits::{Breach, Measure};
use crate::domain::money::Currency;

/// The numbers of a limit. Amounts are decimal strings of the key's currency, counts are digits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LimitNumbers {
    /// Name of the limit in the policy.
    pub name: String,
    /// Over what it adds up: `key`, `caller`, `debtor`, `unknown_debtor` or `creditor`.
    pub per: String,
    /// `amount` or `count`.
    pub measure: String,
    /// The cap in force.
    pub cap: String,
    /// Posted within the window.
    pub posted: String,
    /// Held by payments that are open or in doubt.
    pub pending: String,
    /// What is left under the cap.
    pub free: String,
    /// What this payment asked for.
    pub asked: String,
    /// When time alone would make room, RFC 3339; absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub frees_at: Option<String>,
}

/// Why a payment was denied.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DenialAnswer {
    /// Stable name of the violated rule.
    #[schema(example = "limit_exceeded")]
    pub rule: String,
    /// What was found, what was expected, what to do.
    pub detail: String,
    /// The numbers of the limit that would be exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<LimitNumbers>,
}

/// A number of a measure, as texts show it: `12.34` or `7`.
pub(super) fn shown(measure: Measure, currency: Currency, number: u64) -> String {
    match measure {
        Measure::Amount => currency.decimal(number),
        Measure::Count => number.to_string(),
    }
}

impl LimitNumbers {
    fn new(breach: &Breach, currency: Currency) -> Self {
        let shown = |number| shown(breach.measure, currency, number);
        Self {
            name: breach.limit.clone(),
            per: breach.per.clone(),
            measure: breach.measure.name().to_owned(),
            cap: shown(breach.cap),
            posted: shown(breach.posted),
            pending: shown(breach.pending),
            free: shown(breach.free()),
            asked: shown(breach.asked),
            frees_at: breach.frees_at().map(|at| at.to_string()),
        }
    }
}

impl DenialAnswer {
    pub(crate) fn new(denial: &Denial, currency: Currency) -> Self {
        let limit = match denial {
            Denial::LimitExceeded(breach) => Some(LimitNumbers::new(breach, currency)),
            _ => None,
        };
        Self { rule: denial.rule().to_owned(), detail: explained(denial, currency), limit }
    }
}

fn explained(denial: &Denial, currency: Currency) -> String {
    match denial {
        Denial::LimitExceeded(breach) => exceeded(breach, currency),
        Denial::TierDenies { .. }
        | Denial::PayerNotEnrolled { .. }
        | Denial::PayerCoolingOff { .. }
        | Denial::TooFewPeople { .. }
        | Denial::TooManyWaiting { .. }
        | Denial::WaitingShare { .. } => unapprovable(denial, currency),
        Denial::DebtorFrozen => {
            "somebody said that an earlier payment was not theirs; nothing is paid in the name of \
             this debtor until officers say so"
                .to_owned()
        }
        Denial::KeyUnknown | Denial::CallerNotAllowed => {
            "there is no such key, or it is not open to this caller; GET /v1/keys lists those that \
             are"
            .to_owned()
        }
        Denial::KeyPurpose { purpose } => {
            format!("the key is for {purpose}; expected a settlement key")
        }
        Denial::KeyCurrency { expected } => {
            format!("the key signs {expected}; found {currency}; use the key of that currency")
        }
        Denial::DebtorMissing => {
            "the key has limits or tiers that are about debtors; say who pays in debtor.id"
                .to_owned()
        }
        Denial::CreditorDenied => "the policy forbids payments to this creditor account".to_owned(),
        Denial::CreditorNotAllowed => {
            "the key pays listed creditor accounts only, and this is none of them; an officer can \
             list it"
                .to_owned()
        }
        Denial::CreditorCoolingOff { until } if until.is_empty() => {
            "the creditor account is not listed in the policy in force yet".to_owned()
        }
        Denial::CreditorCoolingOff { until } => {
            format!("the creditor account was listed too recently; it may be paid from {until} on")
        }
        Denial::Expired { decided_at } => {
            format!("expires_at had passed at {decided_at}; expected an instant in the future")
        }
        Denial::ExpiryTooFar { latest } => {
            format!("expires_at is too far away; the key allows {latest} at the latest")
        }
        Denial::DuplicateEndToEndId { earlier_payment, accepted_at } => format!(
            "payment {earlier_payment} of {accepted_at} carries the same end_to_end_id to the same \
             creditor account; if this is another payment, give it another end_to_end_id"
        ),
    }
}

fn exceeded(breach: &Breach, currency: Currency) -> String {
    let numbers = LimitNumbers::new(breach, currency);
    let unit = match breach.measure {
        Measure::Amount => format!(" {currency}"),
        Measure::Count => " payments".to_owned(),
    };
    let later = match &numbers.frees_at {
        Some(at) => format!("time makes room at {at}"),
        None => "time alone does not make room".to_owned(),
    };
    let LimitNumbers { name, cap, posted, pending, free, asked, .. } = numbers;
    if breach.asked > breach.cap {
        return format!(
            "limit \"{name}\" allows at most {cap}{unit}; {asked} asked, which never fits"
        );
    }
    format!(
        "limit \"{name}\" allows {cap}{unit}: {posted} posted, {pending} pending, {free} \
         free, {asked} asked; {later}"
    )
}

/// Denials of tiers, and of what would wait for people.
fn unapprovable(denial: &Denial, currency: Currency) -> String {
    match denial {
        Denial::PayerNotEnrolled { tier } => format!(
            "tier \"{tier}\" asks for the debtor in person, and no token is enrolled for this \
             debtor; enrol one with a ticket (POST /v1/tickets), then pay under a new idempotency \
             key"
        ),
        Denial::PayerCoolingOff { tier, until } => format!(
            "tier \"{tier}\" asks for the debtor in person, whose token was enrolled too recently; \
             it counts from {until} on"
        ),
        Denial::TooFewPeople { tier, group, missing } => format!(
            "tier \"{tier}\" asks for {missing} more of group \"{group}\" than it has people who \
             could approve; whoever runs the caller does not count"
        ),
        Denial::TooManyWaiting { per, waiting, most } => format!(
            "{waiting} payments of this {per} wait for people already; the key allows {most}: wait \
             until one is decided, or cancel one"
        ),
        Denial::WaitingShare { per, limit, measure, waiting, asked, most } => {
            let shown = |number| shown(*measure, currency, number);
            format!(
                "payments of this {per} that wait for people may hold {} of limit \"{limit}\" \
                 together: {} wait, {} asked; wait until one is decided, or cancel one",
                shown(*most),
                shown(*waiting),
                shown(*asked)
            )
        }
        Denial::TierDenies { tier } => format!(
            "the payment falls into tier \"{tier}\", which is closed to everybody; pay less at a \
             time, or have officers change the policy"
        ),
        other => other.rule().to_owned(),
    }
}

/// What all denials of a rule are called.
pub(super) fn title(denial: &Denial) -> &'static str {
    match denial {
        Denial::KeyUnknown | Denial::CallerNotAllowed => "The key is not open to this caller",
        Denial::KeyPurpose { .. } => "The key signs no payments",
        Denial::KeyCurrency { .. } => "The key signs another currency",
        Denial::DebtorMissing => "The payment names no debtor",
        Denial::CreditorDenied | Denial::CreditorNotAllowed => "The creditor may not be paid",
        Denial::CreditorCoolingOff { .. } => "The creditor may not be paid yet",
        Denial::Expired { .. } => "The payment has expired",
        Denial::ExpiryTooFar { .. } => "The payment would expire too late",
        Denial::DuplicateEndToEndId { .. } => "The end-to-end id is taken",
        Denial::LimitExceeded(_) => "A limit would be exceeded",
        Denial::DebtorFrozen => "The debtor is frozen",
        Denial::TierDenies { .. } => "Nobody may approve such a payment",
        Denial::PayerNotEnrolled { .. } => "The debtor has no token",
        Denial::PayerCoolingOff { .. } => "The debtor's token is too new",
        Denial::TooFewPeople { .. } => "Too few people could approve",
        Denial::TooManyWaiting { .. } | Denial::WaitingShare { .. } => {
            "Too much waits for people already"
        }
    }
}
