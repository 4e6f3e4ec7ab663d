//! A denial with its numbers, as texts.

use crate::domain::canonical::Value;
use crate::domain::denial::Denial;
use crate::domain::limits::Breach;

/// The member `denial`.
pub(super) fn denial(denial: &Denial) -> (&'static str, Value) {
    let rule = ("rule", Value::text(denial.rule()));
    let numbers = match denial {
        Denial::KeyUnknown
        | Denial::CallerNotAllowed
        | Denial::DebtorMissing
        | Denial::CreditorDenied
        | Denial::CreditorNotAllowed => Vec::new(),
        Denial::KeyPurpose { purpose } => vec![("purpose", Value::text(purpose))],
        Denial::KeyCurrency { expected } => vec![("expected", Value::text(expected))],
        Denial::CreditorCoolingOff { until } => vec![("until", Value::text(until))],
        Denial::Expired { decided_at } => vec![("decided_at", Value::text(decided_at))],
        Denial::ExpiryTooFar { latest } => vec![("latest", Value::text(latest))],
        Denial::DuplicateEndToEndId { earlier_payment, accepted_at } => vec![
            ("earlier_payment", Value::text(earlier_payment)),
            ("accepted_at", Value::text(accepted_at)),
        ],
        Denial::LimitExceeded(breach) => breached(breach),
    };
    ("denial", Value::Object(numbers.into_iter().chain([rule]).collect()))
}

fn breached(breach: &Breach) -> Vec<(&'static str, Value)> {
    vec![
        ("limit", Value::text(&breach.limit)),
        ("per", Value::text(&breach.per)),
        ("measure", Value::text(breach.measure.name())),
        ("cap", Value::text(breach.cap)),
        ("posted", Value::text(breach.posted)),
        ("pending", Value::text(breach.pending)),
        ("asked", Value::text(breach.asked)),
    ]
}
