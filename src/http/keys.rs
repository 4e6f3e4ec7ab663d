//! `/v1/keys`: what a caller may use, and how its limits stand.

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::caller::CallerId;
use crate::domain::counter::Counter;
use crate::domain::key::KeyId;
use crate::domain::limits::Limit;
use crate::domain::money::Currency;

use super::Gateway;
use super::problem::{Problem, ProblemDocument, shown};

/// The keys that a caller may use.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeysAnswer {
    /// In alphabetical order.
    pub keys: Vec<KeyAnswer>,
}

/// A key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyAnswer {
    /// Its name, for the `key` of a payment.
    #[schema(example = "settlement-eur")]
    pub id: String,
    /// What it is for.
    #[schema(example = "settlement")]
    pub purpose: String,
    /// The one currency that it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "EUR")]
    pub currency: Option<String>,
    /// JWA name of its algorithm.
    #[schema(example = "ES256")]
    pub algorithm: String,
    /// RFC 7638 thumbprint of the version that signs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
}

/// Lists the keys that are open to this caller.
#[utoipa::path(
    get, path = "/v1/keys", tag = "gateway",
    responses((status = 200, body = KeysAnswer, description = "the caller's keys"))
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
) -> Json<KeysAnswer> {
    let pipeline = &gateway.pipeline;
    let keys = pipeline.policy().keys_of(&caller).map(|(id, key)| KeyAnswer {
        id: id.to_string(),
        purpose: key.purpose.name().to_owned(),
        currency: key.currency.map(|currency| currency.to_string()),
        algorithm: "ES256".to_owned(),
        kid: pipeline.kid(id).map(ToString::to_string),
    });
    Json(KeysAnswer { keys: keys.collect() })
}

/// The limits of a key and how they stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsAnswer {
    /// The key.
    #[schema(example = "settlement-eur")]
    pub key: String,
    /// Its currency.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The instant of these figures, RFC 3339.
    pub as_of: String,
    /// Whether the policy says `unlimited`; then the list is empty.
    pub unlimited: bool,
    /// In the order in which payments are judged.
    pub limits: Vec<LimitAnswer>,
}

/// A limit and how it stands. Amounts are decimal strings of the key's currency, counts digits.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitAnswer {
    /// Its name in the policy.
    pub name: String,
    /// Over what it adds up: `key`.
    pub per: String,
    /// `payment`, a duration such as `24h`, or `lifetime`.
    pub window: String,
    /// `amount` or `count`.
    pub measure: String,
    /// The cap in force.
    pub cap: String,
    /// Held by payments that are open or in doubt.
    pub pending: String,
    /// Posted within the window.
    pub posted: String,
    /// What is left under the cap.
    pub free: String,
    /// When time alone makes the next room, RFC 3339; absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_release: Option<String>,
}

impl LimitAnswer {
    fn new(limit: &Limit, counter: &Counter, currency: Currency) -> Self {
        let standing = limit.standing(counter);
        let shown = |number| shown(limit.measure, currency, number);
        Self {
            name: limit.name.clone(),
            per: limit.axis.name().to_owned(),
            window: limit.window.to_string(),
            measure: limit.measure.name().to_owned(),
            cap: shown(limit.cap),
            pending: shown(standing.pending),
            posted: shown(standing.posted),
            free: shown(standing.free),
            next_release: standing.next_release.map(|at| at.to_string()),
        }
    }
}

/// Tells how the limits of a key stand.
#[utoipa::path(
    get, path = "/v1/keys/{id}/limits", tag = "gateway",
    params(("id" = String, Path, description = "name of the key")),
    responses(
        (status = 200, body = LimitsAnswer, description = "the limits of the key"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "no settlement key of that name is open to this caller"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn limits(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
) -> Result<Json<LimitsAnswer>, Problem> {
    let pipeline = &gateway.pipeline;
    let not_found = || Problem::not_found("settlement key of that name that is open to you");
    let id = KeyId::parse("id", &id).map_err(|_| not_found())?;
    let key = pipeline.policy().keys.get(&id).filter(|key| key.callers.contains(&caller));
    let (key, currency) = key.and_then(|key| Some((key, key.currency?))).ok_or_else(not_found)?;
    let (counter, now) = pipeline.counter(&id).await?;
    let limits = key.limits.iter().map(|limit| LimitAnswer::new(limit, &counter, currency));
    Ok(Json(LimitsAnswer {
        key: id.to_string(),
        currency: currency.to_string(),
        as_of: now.to_string(),
        unlimited: key.limits.is_empty(),
        limits: limits.collect(),
    }))
}
