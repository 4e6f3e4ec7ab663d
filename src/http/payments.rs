//! `/v1/payments`: submit, look up, ask what would happen.

use std::time::Duration;

use crate::clock;
use crate::domain::caller::CallerId;
use crate::domain::ledger::{PaymentRecord, State as Stage};
use crate::domain::payment::PaymentId;
use crate::domain::text::{Malformed, excerpt};
use crate::domain::time;
use crate::pipeline::Cancelled;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Gateway;
use super::body::{PaymentBody, idempotency_key};
use super::problem::{Problem, ProblemDocument};
use super::remains::LookUpAnswer;
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
        (status = 202, body = PaymentAnswer,
            description = "admitted; it waits for people, or its signature is to come"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json",
            description = "denied, and on the record"),
        (status = 410, body = ProblemDocument, content_type = "application/problem+json",
            description = "the idempotency key was used by a payment that was erased or archived; \
                nothing is signed again"),
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
        Stage::Waiting { .. } | Stage::Authorised { .. } => StatusCode::ACCEPTED,
        Stage::Denied(denial) => {
            return Err(Problem::denied(record.id, denial, record.payment.currency()));
        }
        Stage::Voided { reason, .. } => return Err(Problem::voided(record.id, *reason)),
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
        (status = 200, body = LookUpAnswer, description = "as it stands now, or what is left of it \
            after it was erased or archived"),
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
) -> Result<Json<LookUpAnswer>, Problem> {
    let wait = wait(query.as_deref())?;
    let not_found = || Problem::not_found("payment of yours with this id");
    let Path(id) = id.map_err(|_| not_found())?;
    let id = PaymentId::parse("id", &id).map_err(|_| not_found())?;
    let _seat = match wait.is_zero() {
        true => None,
        false => Some(gateway.waits.take(&caller, "waiting look-ups")?),
    };
    let started = clock::monotonic();
    let Some(record) = gateway.pipeline.payment(&caller, id, wait).await? else {
        let remains = gateway.pipeline.remains(&caller, id).await?.ok_or_else(not_found)?;
        return Ok(Json(LookUpAnswer::Remains(Box::new(remains.into()))));
    };
    let waited = clock::monotonic().saturating_duration_since(started);
    let released = gateway.pipeline.released(&record, wait.saturating_sub(waited)).await;
    let answer = PaymentAnswer::new(&record, gateway.pipeline.now(), released);
    Ok(Json(LookUpAnswer::Whole(answer.into())))
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
        (status = 410, body = ProblemDocument, content_type = "application/problem+json",
            description = "erased or archived; a receipt that was asked for before still holds"),
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
    if found.is_none()
        && let Some(remains) = gateway.pipeline.remains(&caller, id).await?
    {
        return Err(Problem::gone(&remains));
    }
    let record = found.filter(|record| matches!(record.state, Stage::Posted { .. }));
    let record = record.ok_or_else(not_found)?;
    let receipt = gateway.pipeline.receipt(&record).await?.ok_or_else(|| {
        Problem::unavailable("no checkpoint of the log covers the payment yet; ask again")
    })?;
    let media_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, media_type)], receipt.to_json()).into_response())
}

/// Takes back a payment of this caller that waits for people.
#[utoipa::path(
    post, path = "/v1/payments/{id}/cancel", tag = "gateway",
    params(("id" = String, Path, description = "32 hexadecimal digits")),
    responses(
        (status = 200, body = PaymentAnswer, description = "voided"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "unknown, or somebody else's"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
            description = "too late: it is final, or may be signed already"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger does not answer"),
    )
)]
pub(super) async fn cancel(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<PaymentAnswer>, Problem> {
    let not_found = || Problem::not_found("payment of yours with this id");
    let Path(id) = id.map_err(|_| not_found())?;
    let id = PaymentId::parse("id", &id).map_err(|_| not_found())?;
    match gateway.pipeline.cancel(&caller, id).await?.ok_or_else(not_found)? {
        Cancelled::Done(record) => {
            Ok(Json(PaymentAnswer::new(&record, gateway.pipeline.now(), true)))
        }
        Cancelled::TooLate(record) => Err(Problem::not_cancelled(&record)),
    }
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
