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
        | Denial::DebtorFrozen
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
        Denial::TierDenies { tier } | Denial::PayerNotEnrolled { tier } => {
            vec![("tier", Value::text(tier))]
        }
        Denial::PayerCoolingOff { tier, until } => {
            vec![("tier", Value::text(tier)), ("until", Value::text(until))]
        }
        Denial::TooFewPeople { tier, group, missing } => vec![
            ("tier", Value::text(tier)),
            ("group", Value::text(group)),
            ("missing", Value::text(missing)),
        ],
        Denial::TooManyWaiting { per, waiting, most } => vec![
            ("per", Value::text(per)),
            ("waiting", Value::text(waiting)),
            ("most", Value::text(most)),
        ],
        Denial::WaitingShare { per, limit, measure, waiting, asked, most } => vec![
            ("per", Value::text(per)),
            ("limit", Value::text(limit)),
            ("measure", Value::text(measure.name())),
            ("waiting", Value::text(waiting)),
            ("asked", Value::text(asked)),
            ("most", Value::text(most)),
        ],
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
