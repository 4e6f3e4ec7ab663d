//! The listeners: parse at the edge, ask the pipeline, answer.
//!
//! This is the only room that knows HTTP. Nothing in here decides about a payment; a request is
//! turned into domain types or refused, and a record or refusal into a response.
//!
//! - [`listener`]: sockets, handshakes, bounds, graceful stop. [`tls`]: files and versions.
//! - [`callers`]: which caller a client certificate shows.
//! - [`wire`], `body`: JSON in and out. [`problem`]: refusals as RFC 9457 documents.
//! - [`payments`], [`events`], [`keys`], [`public`], [`log`], [`operations`],
//!   [`notifications`]: one file per resource.
//! - [`seats`]: places for those who wait.
//! - [`document`]: the OpenAPI document. [`metrics`]: figures.
//! - [`witness`]: what a witness serves, and the way to one.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use tokio::sync::watch;

use crate::pipeline::Pipeline;

pub mod approval;
mod body;
pub mod callers;
pub mod denial;
pub mod document;
pub mod dry_run;
pub mod events;
pub mod keys;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod notifications;
pub mod operations;
pub mod payments;
pub mod problem;
pub mod public;
pub mod remains;
pub mod seats;
pub mod tls;
pub mod wire;
pub mod witness;

use problem::Problem;

/// What the gateway listener works with.
#[derive(Clone)]
pub struct Gateway {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Counts.
    pub metrics: Arc<metrics::Metrics>,
    /// Places of streams of events.
    pub streams: seats::Seats,
    /// Places of look-ups that wait.
    pub waits: seats::Seats,
    /// Tells when the daemon stops.
    pub stopping: watch::Receiver<bool>,
}

impl Gateway {
    /// A gateway that ends its streams once `stopping` is true.
    pub fn new(
        pipeline: Pipeline,
        metrics: Arc<metrics::Metrics>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let streams = seats::Seats::new(events::STREAMS_MAX);
        let waits = seats::Seats::new(payments::WAITS_MAX);
        Self { pipeline, metrics, streams, waits, stopping }
    }
}

/// The gateway's routes, counted.
pub fn gateway(gateway: Gateway) -> Router {
    let (routes, _) = document::gateway_routes().split_for_parts();
    let observed = from_fn_with_state(gateway.clone(), metrics::observe);
    closed(routes.with_state(gateway)).layer(observed)
}

/// The public routes.
pub fn public(pipeline: Pipeline) -> Router {
    let (routes, _) = document::public_routes().split_for_parts();
    closed(routes.with_state(pipeline))
}

/// The operations routes.
pub fn operations(operations: operations::Operations) -> Router {
    let (routes, _) = document::operations_routes().split_for_parts();
    closed(routes.with_state(operations))
}

/// Everything else is a problem document too.
fn closed(routes: Router) -> Router {
    routes.fallback(|| async { Problem::not_found("such resource") }).method_not_allowed_fallback(
        || async {
            let (title, detail) = ("Not this method", "see /openapi.json for those that there are");
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", title, detail)
        },
    )
}

/// The answer on a connection whose client certificate has expired or was revoked, or where that
/// cannot be told at the moment.
fn certificate_no_longer_holds(reason: &rustls::Error) -> Response<Body> {
    if let rustls::Error::General(_) = reason {
        let detail = "the revocation list of callers cannot be used; retry later";
        return Problem::unavailable(detail).into_response();
    }
    let mut response = Problem::new(
        StatusCode::UNAUTHORIZED,
        "certificate",
        "The client certificate no longer holds",
        "it has expired or was revoked since the connection was made; connect with a valid one",
    )
    .into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
