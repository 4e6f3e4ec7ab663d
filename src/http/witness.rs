//! What a witness serves: `add-checkpoint` and the newest checkpoint of each log
//! (`c2sp.org/tlog-witness`). Nobody is authenticated: a request is worth what its signature is.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::log::witness::{Refusal, RequestError, SIZE_MEDIA_TYPE, WITNESS_BYTES_MAX};
use crate::witness::{NotCosigned, Witness};

mod client;

pub use client::{WitnessClient, WitnessClientError};

/// Longest that a body may take to arrive.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest that a request may wait for its turn, the token and the disk.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// The routes of a witness.
pub fn routes(witness: Witness) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{hash}/checkpoint", get(newest))
        .route("/health/ready", get(ready))
        .fallback(|| async { told(StatusCode::NOT_FOUND, "there is no such resource") })
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Witness>, request: Request<Body>) -> Response {
    let body = match bounded(request.into_body()).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    match tokio::time::timeout(ANSWER_WAIT_MAX, witness.add_checkpoint(&body)).await {
        Ok(Ok(line)) => told(StatusCode::OK, &line.to_string()),
        Ok(Err(refused)) => refusal(&refused),
        Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, "the witness took too long; come again"),
    }
}

async fn newest(State(witness): State<Witness>, Path(hash): Path<String>) -> Response {
    match witness.newest(&hash).await {
        Some(note) => text(StatusCode::OK, "text/plain; charset=utf-8", note),
        None => told(StatusCode::NOT_FOUND, "no checkpoint of that log was cosigned"),
    }
}

async fn ready(State(witness): State<Witness>) -> Response {
    match witness.trouble().await {
        None => told(StatusCode::OK, "ready"),
        Some(trouble) => told(StatusCode::SERVICE_UNAVAILABLE, &trouble),
    }
}

fn refusal(refused: &NotCosigned) -> Response {
    let status = match refused {
        NotCosigned::Refused(Refusal::Conflict { seen, .. }) => {
            return text(StatusCode::CONFLICT, SIZE_MEDIA_TYPE, format!("{seen}\n"));
        }
        NotCosigned::Refused(refusal) => {
            StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY)
        }
        NotCosigned::Malformed(RequestError::TooLong { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        NotCosigned::Malformed(_) => StatusCode::BAD_REQUEST,
        NotCosigned::State(_) | NotCosigned::Signing(_) => {
            tracing::error!(%refused, "not cosigned");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    told(status, &refused.to_string())
}

async fn bounded(body: Body) -> Result<Vec<u8>, Response> {
    let collected = Limited::new(body, WITNESS_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT_MAX, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(refused)) if refused.is::<LengthLimitError>() => {
            let detail = format!("the request has more than {WITNESS_BYTES_MAX} bytes");
            Err(told(StatusCode::PAYLOAD_TOO_LARGE, &detail))
        }
        Ok(Err(_)) => Err(told(StatusCode::BAD_REQUEST, "the body did not arrive")),
        Err(_) => Err(told(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// A line of text.
fn told(status: StatusCode, line: &str) -> Response {
    text(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn text(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let media_type = HeaderValue::from_static(media_type);
    let cache = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, cache)];
    (status, headers, body).into_response()
}
