//! The public listener: what anybody needs to verify, and nothing that anybody could change.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::Pipeline;

/// How long verifiers may keep the key set. One that meets a `kid` which it does not know asks
/// again.
const KEY_SET_CACHE: &str = "public, max-age=300";

/// A JSON Web Key Set (RFC 7517 section 5).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    /// Every key version that has ever signed or may sign now.
    pub keys: Vec<KeyOfSet>,
}

/// A public P-256 key (RFC 7517, RFC 7518 section 6.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyOfSet {
    /// Always `EC`.
    pub kty: String,
    /// Always `P-256`.
    pub crv: String,
    /// X coordinate, base64url.
    pub x: String,
    /// Y coordinate, base64url.
    pub y: String,
    /// Always `ES256`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// RFC 7638 thumbprint: the `kid` of payments.
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
    let keys = pipeline.key_versions().iter().map(|version| {
        let (x, y) = version.public.coordinates();
        KeyOfSet {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
            alg: "ES256".to_owned(),
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
