//! The OpenAPI document, generated from the routes and wire types themselves.

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pipeline::Pipeline;

use super::operations::Operations;
use super::{Gateway, dry_run, events, keys, log, notifications, operations, payments, public};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "countersign",
        description = "Signs typed payments with keys that never leave an HSM, within limits that \
            hold. Amounts are decimal strings. Refusals are RFC 9457 problem documents whose \
            `rule` is stable."
    ),
    tags(
        (name = "gateway", description = "TLS 1.3 with a client certificate that shows a caller"),
        (name = "public", description = "TLS; read-only, for everybody"),
        (name = "operations", description = "plain HTTP on loopback"),
    )
)]
struct Frame;

/// Routes of the gateway listener.
pub(super) fn gateway_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(payments::submit))
        .routes(routes!(dry_run::dry_run))
        .routes(routes!(payments::look_up))
        .routes(routes!(payments::receipt))
        .routes(routes!(payments::cancel))
        .routes(routes!(events::stream))
        .routes(routes!(keys::list))
        .routes(routes!(keys::limits))
}

/// Routes of the public listener.
pub(super) fn public_routes() -> OpenApiRouter<Pipeline> {
    OpenApiRouter::new()
        .routes(routes!(public::key_set))
        .routes(routes!(public::notification_keys))
        .routes(routes!(public::document))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::cosigned))
        .routes(routes!(log::key))
        .routes(routes!(log::tile))
}

/// Routes of the operations listener.
pub(super) fn operations_routes() -> OpenApiRouter<Operations> {
    OpenApiRouter::new()
        .routes(routes!(operations::live))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::retry))
        .routes(routes!(notifications::drop_letters))
}

/// The document of all three listeners.
pub fn document() -> OpenApi {
    let mut document = Frame::openapi();
    document.merge(gateway_routes().into_openapi());
    document.merge(public_routes().into_openapi());
    document.merge(operations_routes().into_openapi());
    document
}
