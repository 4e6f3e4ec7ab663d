//! `/v1/keys`: what a caller may use, and how its limits stand.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::caller::CallerId;
use crate::domain::counter::Scope;
use crate::domain::key::KeyId;
use crate::domain::limits::{Limit, Standing};
use crate::domain::money::Currency;
use crate::domain::party::{Account, DebtorId};
use crate::domain::text::Malformed;

use super::Gateway;
use super::denial::shown;
use super::problem::{Problem, ProblemDocument};

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
    /// Over what it adds up: `key`, `caller`, `debtor`, `unknown_debtor` or `creditor`.
    pub per: String,
    /// The keys that it adds up together, as far as they are open to this caller.
    pub keys: Vec<String>,
    /// `payment`, a duration such as `24h`, `day in Europe/Madrid`, `month in …`, or `lifetime`.
    pub window: String,
    /// `amount` or `count`.
    pub measure: String,
    /// The cap in force.
    pub cap: String,
    /// Held by payments that are open or in doubt. This and the next two are absent if the limit
    /// is about a debtor or creditor whom the query does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pending: Option<String>,
    /// Posted within the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub posted: Option<String>,
    /// What is left under the cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub free: Option<String>,
    /// When time alone makes the next room, RFC 3339; absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_release: Option<String>,
}

impl LimitAnswer {
    fn new(
        limit: &Limit,
        standing: Option<Standing>,
        currency: Currency,
        may_know: impl Fn(&KeyId) -> bool,
    ) -> Self {
        let shown = |number| shown(limit.measure, currency, number);
        let keys = match &limit.scope {
            Scope::Key(key) => vec![key.to_string()],
            // To whom a key is not open it does not exist.
            Scope::Keys(set) => {
                set.keys().iter().filter(|key| may_know(key)).map(ToString::to_string).collect()
            }
        };
        Self {
            name: limit.name.clone(),
            per: limit.axis.name().to_owned(),
            keys,
            window: limit.window.to_string(),
            measure: limit.measure.name().to_owned(),
            cap: shown(limit.cap),
            pending: standing.map(|standing| shown(standing.pending)),
            posted: standing.map(|standing| shown(standing.posted)),
            free: standing.map(|standing| shown(standing.free)),
            next_release: standing
                .and_then(|standing| standing.next_release)
                .map(|at| at.to_string()),
        }
    }
}

/// Whose limits are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsQuery {
    debtor: Option<String>,
    creditor: Option<String>,
}

/// Tells how the limits of a key stand.
#[utoipa::path(
    get, path = "/v1/keys/{id}/limits", tag = "gateway",
    params(
        ("id" = String, Path, description = "name of the key"),
        ("debtor" = Option<String>, Query, description = "a debtor of the caller's, for limits per \
            debtor"),
        ("creditor" = Option<String>, Query, description = "a creditor account such as \
            iban:ES9121000418450200051332, for limits per creditor"),
    ),
    responses(
        (status = 200, body = LimitsAnswer, description = "the limits of the key"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "no settlement key of that name is open to this caller"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "debtor or creditor is malformed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn limits(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<LimitsQuery>, QueryRejection>,
) -> Result<Json<LimitsAnswer>, Problem> {
    let Query(query) =
        query.map_err(|refused| Malformed::new("query", "unknown_field", refused.body_text()))?;
    let debtor = query.debtor.map(|text| DebtorId::parse("debtor", &text)).transpose()?;
    let creditor = query.creditor.map(|text| Account::parse("creditor", &text)).transpose()?;
    let policy = gateway.pipeline.policy();
    let not_found = || Problem::not_found("settlement key of that name that is open to you");
    let Path(id) = id.map_err(|_| not_found())?;
    let id = KeyId::parse("id", &id).map_err(|_| not_found())?;
    let key = policy.keys.get(&id).filter(|key| key.callers.contains(&caller));
    let (key, currency) = key.and_then(|key| Some((key, key.currency?))).ok_or_else(not_found)?;
    let limits = key.limits.clone();
    let (standings, now) = gateway.pipeline.standings(&caller, limits, debtor, creditor).await?;
    let limits = standings.into_iter();
    Ok(Json(LimitsAnswer {
        key: id.to_string(),
        currency: currency.to_string(),
        as_of: now.to_string(),
        unlimited: key.limits.is_empty(),
        limits: limits
            .map(|(limit, standing)| {
                let may_know = |key: &KeyId| {
                    policy.keys.get(key).is_some_and(|key| key.callers.contains(&caller))
                };
                LimitAnswer::new(&limit, standing, currency, may_know)
            })
            .collect(),
    }))
}
