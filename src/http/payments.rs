//! `/v1/payments`: submit, look up, ask what would happen.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::domain::caller::CallerId;
use crate::domain::ledger::{PaymentRecord, State as Stage};
use crate::domain::payment::PaymentId;
use crate::domain::text::{Malformed, excerpt};
use crate::domain::time;

use super::Gateway;
use super::body::{PaymentBody, idempotency_key};
use super::problem::{DenialAnswer, Problem, ProblemDocument};
use super::wire::{PaymentAnswer, PaymentRequest};

/// Longest that a look-up may wait.
const WAIT_SECONDS_MAX: i64 = 60;
/// Look-ups of one caller that may wait.
pub(super) const WAITS_MAX: usize = 256;
/// Longest that a submission waits until its signature may leave.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Has a payment signed.
///
/// A retry under the same idempotency key gets the same answer, byte for byte; a duplicate that
/// arrives meanwhile waits for it.
#[utoipa::path(
    post, path = "/v1/payments", tag = "gateway", request_body = PaymentRequest,
    params(("Idempotency-Key" = String, Header, description = "the caller's name for the payment")),
    responses(
        (status = 201, body = PaymentAnswer, description = "signed"),
        (status = 202, body = PaymentAnswer, description = "admitted; its signature is to come"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json",
            description = "denied, and on the record"),
        (status = 413, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is too large"),
        (status = 415, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is not JSON"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "malformed, or the idempotency key belongs to another payment"),
        (status = 429, body = ProblemDocument, content_type = "application/problem+json",
            description = "too many payments wait"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "token, ledger or clock not available"),
    )
)]
pub(super) async fn submit(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    headers: HeaderMap,
    PaymentBody(payment): PaymentBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let record = gateway.pipeline.pay(caller, key, payment).await?;
    let location = format!("/v1/payments/{}", record.id);
    let released = gateway.pipeline.released(&record, RELEASE_WAIT_MAX).await;
    let mut response = answer(&record, gateway.pipeline.now(), released)?;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn answer(
    record: &PaymentRecord,
    now: time::Timestamp,
    released: bool,
) -> Result<Response, Problem> {
    let status = match &record.state {
        Stage::Posted { .. } if released => StatusCode::CREATED,
        Stage::Posted { .. } => StatusCode::ACCEPTED,
        Stage::Authorised { .. } => StatusCode::ACCEPTED,
        Stage::Denied(denial) => {
            return Err(Problem::denied(record.id, denial, record.payment.currency()));
        }
        Stage::Voided { .. } => return Err(Problem::voided(record.id)),
    };
    Ok((status, Json(PaymentAnswer::new(record, now, released))).into_response())
}

/// Tells what has become of a payment of this caller.
#[utoipa::path(
    get, path = "/v1/payments/{id}", tag = "gateway",
    params(
        ("id" = String, Path, description = "32 hexadecimal digits"),
        ("wait" = Option<String>, Query, description = "longest wait for the outcome, such as 30s; \
            at most 60s"),
    ),
    responses(
        (status = 200, body = PaymentAnswer, description = "as it stands now"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "unknown, or somebody else's"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "the wait is malformed"),
        (status = 429, body = ProblemDocument, content_type = "application/problem+json",
            description = "as many look-ups as this caller may have are waiting"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn look_up(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<PaymentAnswer>, Problem> {
    let wait = wait(query.as_deref())?;
    let not_found = || Problem::not_found("payment of yours with this id");
    let Path(id) = id.map_err(|_| not_found())?;
    let id = PaymentId::parse("id", &id).map_err(|_| not_found())?;
    let _seat = match wait.is_zero() {
        true => None,
        false => Some(gateway.waits.take(&caller, "waiting look-ups")?),
    };
    let started = clock::monotonic();
    let record = gateway.pipeline.payment(&caller, id, wait).await?.ok_or_else(not_found)?;
    let waited = clock::monotonic().saturating_duration_since(started);
    let released = gateway.pipeline.released(&record, wait.saturating_sub(waited)).await;
    Ok(Json(PaymentAnswer::new(&record, gateway.pipeline.now(), released)))
}

/// Gives the receipt of a signed payment of this caller: one file that anybody can check offline.
#[utoipa::path(
    get, path = "/v1/payments/{id}/receipt", tag = "gateway",
    params(("id" = String, Path, description = "32 hexadecimal digits")),
    responses(
        (status = 200, body = String, content_type = "application/json",
            description = "the receipt; `countersign receipt verify` checks it"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "unknown, somebody else's, or not signed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read, or the log has no checkpoint yet"),
    )
)]
pub(super) async fn receipt(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let not_found = || Problem::not_found("payment of yours with this id that was signed");
    let Path(id) = id.map_err(|_| not_found())?;
    let id = PaymentId::parse("id", &id).map_err(|_| not_found())?;
    let found = gateway.pipeline.payment(&caller, id, Duration::ZERO).await?;
    let record = found.filter(|record| matches!(record.state, Stage::Posted { .. }));
    let record = record.ok_or_else(not_found)?;
    let receipt = gateway.pipeline.receipt(&record).await?.ok_or_else(|| {
        Problem::unavailable("no checkpoint of the log covers the payment yet; ask again")
    })?;
    let media_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, media_type)], receipt.to_json()).into_response())
}

fn wait(query: Option<&str>) -> Result<Duration, Malformed> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(Duration::ZERO) };
    let Some(text) = query.strip_prefix("wait=").filter(|rest| !rest.contains('&')) else {
        let detail = format!("found {}; expected nothing but wait=30s", excerpt(query));
        return Err(Malformed::new("query", "unknown_field", detail));
    };
    let read = time::Duration::parse("wait", text)?;
    if read.seconds() > WAIT_SECONDS_MAX {
        let detail = format!("found {read}; expected at most {WAIT_SECONDS_MAX}s");
        return Err(Malformed::new("wait", "duration", detail));
    }
    Ok(Duration::from_secs(read.seconds().unsigned_abs()))
}

/// What would happen to a payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunAnswer {
    /// Whether it would be signed.
    pub would_sign: bool,
    /// Every check that it would meet, in order, up to the one that fails.
    pub checks: Vec<CheckAnswer>,
    /// The denial that it would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub denial: Option<DenialAnswer>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Name of the check.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
}

/// Tells what would happen to a payment, and spends nothing.
#[utoipa::path(
    post, path = "/v1/payments/dry-run", tag = "gateway", request_body = PaymentRequest,
    responses(
        (status = 200, body = DryRunAnswer, description = "what would happen"),
        (status = 413, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is too large"),
        (status = 415, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is not JSON"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "malformed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn dry_run(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    PaymentBody(payment): PaymentBody,
) -> Result<Json<DryRunAnswer>, Problem> {
    let currency = payment.currency();
    let checks = gateway.pipeline.dry_run(&caller, payment).await?;
    // Why a key is closed to a caller is nothing that the caller may learn.
    let closed = checks
        .iter()
        .any(|check| check.answer.as_ref().is_err_and(|denial| denial.rule() == "key_not_allowed"));
    let denial = checks.iter().find_map(|check| check.answer.as_ref().err());
    let denial = denial.map(|denial| DenialAnswer::new(denial, currency));
    let shown = |name: &str, passed| CheckAnswer { name: name.to_owned(), passed };
    let checks = match closed {
        true => vec![shown("key", false)],
        false => checks.iter().map(|check| shown(check.name, check.answer.is_ok())).collect(),
    };
    Ok(Json(DryRunAnswer { would_sign: denial.is_none(), checks, denial }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_duration_of_at_most_a_minute() {
        for (query, seconds) in
            [(None, 0), (Some(""), 0), (Some("wait=1s"), 1), (Some("wait=1m"), 60)]
        {
            assert_eq!(wait(query).unwrap(), Duration::from_secs(seconds), "{query:?}");
        }
        for (query, field) in [
            ("wait=", "wait"),
            ("wait=0s", "wait"),
            ("wait=61s", "wait"),
            ("wait=30", "wait"),
            ("wait=1s&wait=2s", "query"),
            ("patience=1s", "query"),
        ] {
            assert_eq!(wait(Some(query)).unwrap_err().field, field, "{query}");
        }
    }
}
