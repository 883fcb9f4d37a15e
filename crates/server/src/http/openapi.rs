//! The OpenAPI document, from the code that answers.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi};

use super::{problems, router, verbs};

/// The document is the same for the whole life of a program.
static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);

/// The OpenAPI document of this server, as JSON with two spaces of indentation and a newline at its end.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = document().to_pretty_json().expect("a document of strings and numbers becomes JSON");
    text.push('\n');
    text
}

/// `GET /openapi.json`
pub(super) async fn answer() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn document() -> OpenApi {
    let mut document = router::api().into_openapi();
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (verbs::to_public(&path), item)).collect();
    document.components.get_or_insert_with(Components::new).schemas.extend(problems::schemas());
    let licence = LicenseBuilder::new().name("MIT OR Apache-2.0").build();
    document.info = InfoBuilder::new()
        .title("Cadenas")
        .version("1")
        .description(Some("Encrypts virtual machines on QEMU/KVM hosts with native key providers."))
        .license(Some(licence))
        .build();
    document
}
