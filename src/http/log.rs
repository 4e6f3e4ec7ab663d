//! The log, for everybody: its newest checkpoint, its tiles, and the key that verifies it
//! (`c2sp.org/tlog-tiles`).

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};

use crate::log::tile::Tile;
use crate::pipeline::Pipeline;

use super::problem::{Problem, ProblemDocument};

/// A complete tile never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// A partial tile is superseded, a checkpoint lives for a second.
const FOR_NOW: &str = "no-cache";

/// Texts and bytes with how long they may be kept.
type Kept<T> = ([(HeaderName, HeaderValue); 2], T);

fn kept<T>(media_type: &'static str, cache: &'static str, body: T) -> Kept<T> {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, body)
}

/// The newest checkpoint: a signed note (`c2sp.org/tlog-checkpoint`).
#[utoipa::path(
    get, path = "/log/checkpoint", tag = "public",
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "a signed note"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "none was made yet"),
    )
)]
pub(super) async fn checkpoint(State(pipeline): State<Pipeline>) -> Result<Kept<String>, Problem> {
    let published = pipeline.published();
    if published.note.is_empty() {
        return Err(Problem::not_found("checkpoint yet; the first comes within a second"));
    }
    Ok(kept("text/plain; charset=utf-8", FOR_NOW, published.note.to_string()))
}

/// The newest checkpoint that a witness has cosigned (`c2sp.org/tlog-cosignature`), for those who
/// believe no other.
#[utoipa::path(
    get, path = "/log/cosigned", tag = "public",
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "a signed note"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "none was cosigned yet"),
    )
)]
pub(super) async fn cosigned(State(pipeline): State<Pipeline>) -> Result<Kept<String>, Problem> {
    let cosigned = pipeline.cosigned();
    if cosigned.size == 0 {
        return Err(Problem::not_found("checkpoint that a witness has cosigned"));
    }
    Ok(kept("text/plain; charset=utf-8", FOR_NOW, cosigned.note.to_string()))
}

/// The key that verifies checkpoints, as `c2sp.org/signed-note` writes it. Take it from somebody
/// whom you trust: what is published here can only be compared with it.
#[utoipa::path(
    get, path = "/log/key", tag = "public",
    responses((status = 200, body = String, content_type = "text/plain",
        description = "a verifier key"))
)]
pub(super) async fn key(State(pipeline): State<Pipeline>) -> Kept<String> {
    kept("text/plain; charset=utf-8", FOR_NOW, format!("{}\n", pipeline.log_key()))
}

/// A tile of hashes, or a bundle of leaves under `entries/`.
#[utoipa::path(
    get, path = "/log/tile/{*path}", tag = "public",
    params(("path" = String, Path, description = "level and number, or entries and number")),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "the tile"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json",
            description = "the newest checkpoint does not cover it"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn tile(
    State(pipeline): State<Pipeline>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Kept<Vec<u8>>, Problem> {
    let not_found = || Problem::not_found("such tile in the log as it was last signed");
    let Path(path) = path.map_err(|_| not_found())?;
    let tile: Tile = format!("tile/{path}").parse().map_err(|_| not_found())?;
    let cache = if tile.is_partial() { FOR_NOW } else { FOR_GOOD };
    let bytes = pipeline.tile(tile).await?.ok_or_else(not_found)?;
    Ok(kept("application/octet-stream", cache, bytes))
}
