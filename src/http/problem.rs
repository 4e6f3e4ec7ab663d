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
use crate::domain::ledger::{PaymentRecord, VoidReason};
use crate::domain::money::Currency;
use crate::domain::payment::PaymentId;
use crate::domain::text::Malformed;
use crate::ledger::LedgerFailure;
use crate::pipeline::Refusal;

use super::denial::{self, DenialAnswer, LimitNumbers};

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

    pub(super) fn about(mut self, payment: PaymentId) -> Self {
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
    pub(super) fn denied(payment: PaymentId, denied: &Denial, currency: Currency) -> Self {
        let DenialAnswer { rule, detail, limit } = DenialAnswer::new(denied, currency);
        let title = denial::title(denied);
        let mut problem = Self::new(StatusCode::FORBIDDEN, &rule, title, detail).about(payment);
        problem.0.limit = limit;
        problem
    }

    /// A payment that was given up.
    pub(super) fn voided(payment: PaymentId, reason: VoidReason) -> Self {
        let why = match reason {
            VoidReason::Officer => "an officer gave the payment up before it was signed",
            VoidReason::Cancelled => "the payment was cancelled before it was approved",
            VoidReason::Rejected => "somebody whose approval was asked for rejected the payment",
            VoidReason::Expired => "the approvals that the payment needs did not arrive in time",
            VoidReason::PolicyChanged => {
                "the policy changed while the payment waited, and asks for more than it had"
            }
        };
        let detail =
            format!("{why}; to pay after all, use a new idempotency key and a new end_to_end_id");
        let rule = match reason {
            VoidReason::Officer => "voided",
            other => other.name(),
        };
        Self::new(StatusCode::FORBIDDEN, rule, "The payment was voided", detail).about(payment)
    }

    /// A payment that cannot be taken back any more.
    pub(super) fn not_cancelled(record: &PaymentRecord) -> Self {
        let detail = "only a payment that waits for people can be cancelled; this one is decided, \
                      or may be signed already: GET it to see";
        let title = "The payment cannot be cancelled any more";
        Self::new(StatusCode::CONFLICT, "not_cancellable", title, detail).about(record.id)
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
            Refusal::Closed(remains) => Self::gone(&remains),
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
