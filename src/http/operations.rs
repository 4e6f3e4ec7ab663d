//! The operations listener: is it alive, is it ready, what has it done. Loopback only.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::notifications::board::Board;
use crate::pipeline::Pipeline;

use super::callers::CallerVerifier;
use super::metrics::Metrics;

/// Longest that readiness waits for a commit of the ledger.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What this listener works with.
#[derive(Clone)]
pub struct Operations {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Judges callers.
    pub callers: Arc<CallerVerifier>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How the routes of notifications stand.
    pub board: Arc<Board>,
}

/// Whether payments can be signed now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessAnswer {
    /// Whether everything below is well.
    pub ready: bool,
    /// Each part, with what is wrong with it.
    pub parts: Vec<PartAnswer>,
}

/// A part that signing needs.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartAnswer {
    /// `ledger`, `callers`, `anchor`, `log`, `token ` and its name, or `witness ` and the name of
    /// one that signing waits for.
    pub name: String,
    /// Whether it is well.
    pub ready: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

impl PartAnswer {
    fn new(name: impl Into<String>, reason: Option<String>) -> Self {
        Self { name: name.into(), ready: reason.is_none(), reason }
    }
}

/// Tells that the process runs.
#[utoipa::path(
    get, path = "/health/live", tag = "operations",
    responses((status = 204, description = "the process runs"))
)]
pub(super) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Tells whether payments can be signed: the tokens answer and the ledger takes a commit.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations",
    responses(
        (status = 200, body = ReadinessAnswer, description = "payments can be signed"),
        (status = 503, body = ReadinessAnswer, description = "they cannot, and why"),
    )
)]
pub(super) async fn ready(State(operations): State<Operations>) -> Response {
    let pipeline = &operations.pipeline;
    let ledger = match tokio::time::timeout(PROBE_WAIT_MAX, pipeline.ledger().probe()).await {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.to_string()),
        Err(_) => Some(
            pipeline
                .ledger()
                .trouble()
                .unwrap_or_else(|| format!("no commit within {} s", PROBE_WAIT_MAX.as_secs())),
        ),
    };
    let mut parts = vec![
        PartAnswer::new("ledger", ledger),
        PartAnswer::new("callers", operations.callers.trouble()),
    ];
    let halted = pipeline.halted().map(|why| why.to_string());
    parts.push(PartAnswer::new("anchor", halted));
    parts.push(PartAnswer::new("log", pipeline.published().trouble.map(|why| why.to_string())));
    for witness in pipeline.witnesses().into_iter().filter(|witness| witness.signing_waits) {
        let reason = witness.trouble.map(|why| why.to_string());
        parts.push(PartAnswer::new(format!("witness {}", witness.name), reason));
    }
    for token in pipeline.tokens() {
        let reason = (!token.up).then(|| token.reason.unwrap_or_default());
        parts.push(PartAnswer::new(format!("token {}", token.name), reason));
    }
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessAnswer { ready, parts })).into_response()
}

/// Figures in the OpenMetrics text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, description = "OpenMetrics text",
        content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(operations): State<Operations>) -> Response {
    let in_doubt = operations.pipeline.count_in_doubt().await.ok();
    let now = operations.pipeline.now();
    operations.metrics.note_routes(&operations.board.standings(), now);
    let text = operations.metrics.text(&operations.pipeline, in_doubt);
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}
