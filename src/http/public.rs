//! The public listener: what anybody needs to verify, and nothing that anybody could change.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::key::{Jwk, Purpose};
use crate::pipeline::Pipeline;

/// How long verifiers may keep the key set. One that meets a `kid` which it does not know asks
/// again.
const KEY_SET_CACHE: &str = "public, max-age=300";

/// A JSON Web Key Set (RFC 7517 section 5).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    /// Every key version that has ever signed what the set is for or may sign it now, and no other:
    /// who trusts the set of payments must not take a signature of the log's key for a payment's.
    pub keys: Vec<KeyOfSet>,
}

/// A public key (RFC 7517; RFC 7518 section 6.2, RFC 8037 section 2).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyOfSet {
    /// `EC`, or `OKP` for Ed25519.
    pub kty: String,
    /// `P-256` or `Ed25519`.
    pub crv: String,
    /// X coordinate, or the whole Ed25519 key; base64url.
    pub x: String,
    /// Y coordinate, base64url; Ed25519 has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub y: Option<String>,
    /// `ES256` or `EdDSA`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// RFC 7638 thumbprint: the `kid` of payments, the `keyid` of webhooks.
    pub kid: String,
}

/// Publishes the keys that verify payments.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "public",
    responses((status = 200, body = KeySet, content_type = "application/jwk-set+json",
        description = "the key set"))
)]
pub(super) async fn key_set(
    State(pipeline): State<Pipeline>,
) -> ([(HeaderName, HeaderValue); 2], Json<KeySet>) {
    published(&pipeline, Purpose::Settlement)
}

/// Publishes the keys that verify webhooks (RFC 9421). They are no keys of payments.
#[utoipa::path(
    get, path = "/.well-known/notification-jwks.json", tag = "public",
    responses((status = 200, body = KeySet, content_type = "application/jwk-set+json",
        description = "the key set; its kid is the keyid of signatures"))
)]
pub(super) async fn notification_keys(
    State(pipeline): State<Pipeline>,
) -> ([(HeaderName, HeaderValue); 2], Json<KeySet>) {
    published(&pipeline, Purpose::Notification)
}

/// The keys of one purpose, and no other: who trusts a set must not take the signature of another
/// key for one of it.
fn published(
    pipeline: &Pipeline,
    purpose: Purpose,
) -> ([(HeaderName, HeaderValue); 2], Json<KeySet>) {
    let versions = pipeline.key_versions().iter();
    let keys = versions.filter(|version| version.purpose == purpose).map(|version| {
        let Jwk { kty, crv, x, y } = version.public.jwk();
        KeyOfSet {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x,
            y,
            alg: version.public.algorithm().name().to_owned(),
            usage: "sig".to_owned(),
            kid: version.public.kid().to_string(),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(KEY_SET_CACHE)),
    ];
    (headers, Json(KeySet { keys: keys.collect() }))
}

/// Tells what this interface is (OpenAPI 3.1).
#[utoipa::path(
    get, path = "/openapi.json", tag = "public",
    responses((status = 200, description = "this document", content_type = "application/json"))
)]
pub(super) async fn document() -> Json<&'static utoipa::openapi::OpenApi> {
    /// Made once: anybody may ask for it, as often as they like.
    static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(super::document::document);
    Json(&*DOCUMENT)
}
