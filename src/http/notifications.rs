//! `/notifications` on the operations listener: how the routes stand, and what becomes of dead
//! letters.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::notification::EventId;
use crate::ledger::{DeadLetter, Letters, Telling};
use crate::notifications::board::{Standing, Stuck};

use super::operations::Operations;
use super::problem::{Problem, ProblemDocument};

/// Most dead letters that are listed.
pub(crate) const LISTED_MAX: u32 = 1_000;

/// How all routes stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotificationsAnswer {
    /// The configured routes.
    pub routes: Vec<RouteAnswer>,
    /// What they gave up, a thousand at most, oldest first within each route.
    pub dead_letters: Vec<DeadLetterAnswer>,
}

/// How a route stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteAnswer {
    /// Its name.
    pub route: String,
    /// `webhook` or `mail`.
    pub channel: String,
    /// Events taken since start.
    pub delivered: u64,
    /// Attempts that failed since start.
    pub failed: u64,
    /// Dead letters.
    pub dead: u64,
    /// The event that is not taken, if there is one; those after it wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stuck: Option<StuckAnswer>,
}

/// An event that was not taken yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct StuckAnswer {
    /// Its id.
    pub event: String,
    /// When it happened, RFC 3339.
    pub since: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried again at the earliest, RFC 3339.
    pub due_at: String,
    /// What the last attempt ended with.
    pub failure: String,
}

/// An event that a route gave up.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterAnswer {
    /// The route.
    pub route: String,
    /// Id of the event.
    pub event: String,
    /// What it tells.
    pub kind: String,
    /// When it was given up, RFC 3339.
    pub died_at: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt ended with.
    pub reason: String,
}

/// Which dead letters.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LettersRequest {
    /// The route.
    pub route: String,
    /// Id of one event; all of the route without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub event: Option<String>,
}

impl From<Standing> for RouteAnswer {
    fn from(standing: Standing) -> Self {
        let Standing { route, channel, delivered, failed, dead, stuck } = standing;
        let stuck = stuck.map(|Stuck { event, since, attempts, due_at, failure }| StuckAnswer {
            event: event.to_string(),
            since: since.to_string(),
            attempts,
            due_at: due_at.to_string(),
            failure,
        });
        Self { route, channel: channel.to_owned(), delivered, failed, dead, stuck }
    }
}

impl From<DeadLetter> for DeadLetterAnswer {
    fn from(letter: DeadLetter) -> Self {
        Self {
            route: letter.route,
            event: letter.event.to_string(),
            kind: letter.kind.name().to_owned(),
            died_at: letter.died_at.to_string(),
            attempts: letter.attempts,
            reason: letter.reason,
        }
    }
}

/// Tells how the routes of notifications stand.
#[utoipa::path(
    get, path = "/notifications", tag = "operations",
    responses(
        (status = 200, body = NotificationsAnswer, description = "routes and dead letters"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn list(
    State(operations): State<Operations>,
) -> Result<Json<NotificationsAnswer>, Problem> {
    let routes = operations.board.standings().into_iter().map(RouteAnswer::from).collect();
    let dead_letters = operations.pipeline.dead_letters(LISTED_MAX).await?;
    let dead_letters = dead_letters.into_iter().map(DeadLetterAnswer::from).collect();
    Ok(Json(NotificationsAnswer { routes, dead_letters }))
}

/// Has dead letters tried once more, and an event that waits for its next attempt at once.
#[utoipa::path(
    post, path = "/notifications/retry", tag = "operations", request_body = LettersRequest,
    responses(
        (status = 202, description = "they are tried now; see how they fare in the list"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "no such route, or no such dead letter"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "malformed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be used"),
    )
)]
pub(super) async fn retry(
    State(operations): State<Operations>,
    asked: Result<Json<LettersRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let letters = letters(&operations, asked).await?;
    let route = letters.route.clone();
    if !operations.board.standings().iter().any(|standing| standing.route == route) {
        return Err(Problem::not_found("such route in the configuration"));
    }
    change(&operations, Telling::TryAgain(letters)).await?;
    operations.board.hurry(&route);
    Ok(StatusCode::ACCEPTED)
}

/// Takes dead letters off the list: nobody is told of these events any more.
#[utoipa::path(
    post, path = "/notifications/drop", tag = "operations", request_body = LettersRequest,
    responses(
        (status = 204, description = "they are gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "no such dead letter"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "malformed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be used"),
    )
)]
pub(super) async fn drop_letters(
    State(operations): State<Operations>,
    asked: Result<Json<LettersRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let letters = letters(&operations, asked).await?;
    let route = letters.route.clone();
    if operations.pipeline.count_dead(&route).await? == 0 {
        return Err(Problem::not_found("dead letter of this route"));
    }
    change(&operations, Telling::Drop(letters)).await?;
    // It counts anew what is left.
    operations.board.hurry(&route);
    Ok(StatusCode::NO_CONTENT)
}

/// Which letters are meant. The body must be JSON and say so, which no page of a browser can send
/// here without being asked.
async fn letters(
    operations: &Operations,
    asked: Result<Json<LettersRequest>, JsonRejection>,
) -> Result<Letters, Problem> {
    let Json(LettersRequest { route, event }) = asked.map_err(|refused| {
        let status = refused.status();
        Problem::new(status, "malformed", "The request is malformed", refused.body_text())
    })?;
    let Some(event) = event else { return Ok(Letters { route, position: None }) };
    let event = EventId::parse("event", &event)?;
    let known = operations.pipeline.dead_letter(&route, event.position).await?;
    if known.is_none_or(|letter| letter.event != event) {
        return Err(Problem::not_found("dead letter of this event on this route"));
    }
    Ok(Letters { route, position: Some(event.position) })
}

async fn change(operations: &Operations, telling: Telling) -> Result<(), Problem> {
    let told = operations.pipeline.ledger().tell(telling).await;
    told.map_err(|failure| Problem::unavailable(failure.to_string()))
}
