//! Refusals as RFC 9457 problem documents: the one place that maps them to HTTP.
//!
//! `rule` is the stable name that programs switch on; `detail` is for people and says what was
//! found, what was expected and what to do. Failures tell outsiders no more than that we failed.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::denial::Denial;
use crate::domain::limits::{Breach, Measure};
use crate::domain::money::Currency;
use crate::domain::payment::PaymentId;
use crate::domain::text::Malformed;
use crate::ledger::LedgerFailure;
use crate::pipeline::Refusal;

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub struct Problem(Box<ProblemDocument>);

/// A refusal (RFC 9457, media type `application/problem+json`).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:countersign:problem:` and the rule.
    #[serde(rename = "type")]
    #[schema(example = "urn:countersign:problem:limit_exceeded")]
    pub kind: String,
    /// The rule in a few words; the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was found, what was expected, what to do.
    pub detail: String,
    /// Stable name of the violated rule.
    #[schema(example = "limit_exceeded")]
    pub rule: String,
    /// Path of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "creditor.account.iban")]
    pub field: Option<String>,
    /// The payment that this is about; denials are on the record under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub payment_id: Option<String>,
    /// The numbers of the limit that would be exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<LimitNumbers>,
    /// Seconds after which a retry may help.
    #[serde(skip)]
    pub retry_after_s: Option<u16>,
}

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
            "the key has limits over debtors; say who pays in debtor.id".to_owned()
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
        Denial::LimitExceeded(breach) => {
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
    }
}

impl Problem {
    /// A problem of this status and rule.
    pub(super) fn new(
        status: StatusCode,
        rule: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(ProblemDocument {
            kind: format!("urn:countersign:problem:{rule}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            rule: rule.to_owned(),
            ..ProblemDocument::default()
        }))
    }

    fn about(mut self, payment: PaymentId) -> Self {
        self.0.payment_id = Some(payment.to_string());
        self
    }

    fn at(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    pub(super) fn retry_after(mut self, seconds: u16) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// A decision "no" about a payment.
    pub(super) fn denied(payment: PaymentId, denial: &Denial, currency: Currency) -> Self {
        let DenialAnswer { rule, detail, limit } = DenialAnswer::new(denial, currency);
        let title = match denial {
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
        };
        let mut problem = Self::new(StatusCode::FORBIDDEN, &rule, title, detail).about(payment);
        problem.0.limit = limit;
        problem
    }

    /// A payment that was given up.
    pub(super) fn voided(payment: PaymentId) -> Self {
        let detail = "the payment was given up before it was signed; to pay after all, use a new \
                      idempotency key and a new end_to_end_id";
        Self::new(StatusCode::FORBIDDEN, "voided", "The payment was voided", detail).about(payment)
    }

    /// Nothing here, or nothing that this caller may know of.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", format!("there is no {what}"))
    }

    /// A reader of events has seen what this ledger does not have.
    pub(super) fn set_back(last: &str, size: u64) -> Self {
        let detail = format!(
            "the log has {size} leaves and {last} is not the name of an event among them: the \
             ledger was set back since; look up what is open, then start without Last-Event-ID"
        );
        Self::new(StatusCode::CONFLICT, "set_back", "The event is not on record", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Not available at the moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail).retry_after(2)
    }
}

impl From<Malformed> for Problem {
    fn from(refused: Malformed) -> Self {
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "The request is malformed");
        Self::new(status, refused.rule, title, refused.detail).at(refused.field)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict { payment, field } => {
                let title = "The idempotency key belongs to another payment";
                let detail = format!(
                    "payment {payment} was submitted under this idempotency key with another \
                     {field}; a new payment needs a new key"
                );
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "idempotency_key_conflict", title, detail)
                    .about(payment)
                    .at(field)
            }
            overload if overload.is_overload() => {
                let detail = "nothing was decided; retry under the same idempotency key";
                let title = "Too many payments wait";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "overload", title, detail).retry_after(1)
            }
            failure => {
                tracing::error!(%failure, "a request was refused because we failed");
                let reason = match failure {
                    Refusal::Token(_) => "the token does not answer",
                    Refusal::Halted(_) => "nothing is signed until a person has looked",
                    Refusal::Ledger(LedgerFailure::Clock(_)) => "the clock cannot be believed",
                    Refusal::Ledger(_) | Refusal::Miscount(_) => "the ledger takes no records",
                    Refusal::Read(_) => "the ledger cannot be read",
                    _ => "the request was broken off inside",
                };
                Self::unavailable(format!("{reason}; retry under the same idempotency key"))
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(document) = self;
        let status = StatusCode::from_u16(document.status);
        let retry_after = document.retry_after_s.map(HeaderValue::from);
        let rule = Rule(document.rule.clone());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(rule);
        response
    }
}

/// The rule of a problem, for whoever counts responses.
#[derive(Clone)]
pub(super) struct Rule(pub(super) String);
