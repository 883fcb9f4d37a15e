//! The web console's files.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problems;
use crate::console::ConsoleFile;

/// What is below it is no file.
const API: &str = "/api/";
/// The page, whatever of its own addresses was asked for.
const PAGE: &str = "index.html";
/// Files below it have a digest in their name.
const HASHED: &str = "assets/";
/// Nothing but our own files and our own server; nothing inline; in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// What every answer says.
const SAFETY: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The files by path.
#[derive(Debug, Clone)]
pub(super) struct Files(Arc<HashMap<&'static str, ConsoleFile>>);

impl Files {
    pub(super) fn new(files: &[ConsoleFile]) -> Self {
        Self(Arc::new(files.iter().map(|file| (file.path, *file)).collect()))
    }

    /// The file at a path; the page at every path that looks like none of a file, because the page knows its own addresses.
    fn find(&self, path: &str) -> Option<&ConsoleFile> {
        let path = path.trim_start_matches('/');
        let is_address = !path.rsplit('/').next().unwrap_or_default().contains('.');
        self.0.get(path).or_else(|| self.0.get(PAGE).filter(|_| is_address))
    }
}

/// Answers with a file, unless the API is asked.
///
/// No route does it: a route's parameter for what is below `/api/` would be counted as one of the API's own.
pub(super) async fn beside_the_api(State(files): State<Files>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(API) {
        return next.run(request).await;
    }
    answer(&files, request.method().clone(), request.uri().clone(), request.headers()).await
}

async fn answer(files: &Files, method: Method, uri: Uri, headers: &HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return problems::method_not_allowed(method).await.into_response();
    }
    match files.find(uri.path()) {
        Some(file) => (caching(file), send(file, headers)).into_response(),
        None => problems::not_found(uri).await.into_response(),
    }
}

/// Says on every answer what a browser may do with it.
pub(super) async fn protect(mut answer: Response) -> Response {
    for (name, value) in SAFETY {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

fn send(file: &ConsoleFile, headers: &HeaderMap) -> Response {
    let kind = (header::CONTENT_TYPE, media_type(file.path));
    let takes_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|coding| coding.trim().starts_with("gzip")));
    if takes_gzip && file.gzip.len() < file.bytes.len() {
        ([kind, (header::CONTENT_ENCODING, "gzip"), (header::VARY, "accept-encoding")], file.gzip).into_response()
    } else {
        (StatusCode::OK, [kind, (header::VARY, "accept-encoding")], file.bytes).into_response()
    }
}

/// What has a digest in its name never changes; the rest is asked for each time.
fn caching(file: &ConsoleFile) -> [(HeaderName, &'static str); 1] {
    let value = if file.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    [(header::CACHE_CONTROL, value)]
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let file = |path| ConsoleFile { path, bytes: b"plain text", gzip: b"short" };
        Files::new(&[file("index.html"), file("assets/a-1.js"), file("favicon.svg")])
    }

    #[test]
    fn the_page_answers_at_its_own_addresses_and_nothing_at_those_of_missing_files() {
        let path = |asked| files().find(asked).map(|file| file.path);
        assert_eq!(path("/"), Some("index.html"));
        assert_eq!(path("/cluster/key-providers"), Some("index.html"));
        assert_eq!(path("/assets/a-1.js"), Some("assets/a-1.js"));
        assert_eq!(path("/assets/a-2.js"), None);
        assert_eq!(path("/../etc/passwd.txt"), None);
    }

    #[tokio::test]
    async fn every_answer_forbids_what_the_page_does_not_need() {
        let answer = answer(&files(), Method::GET, Uri::from_static("/"), &HeaderMap::new()).await;
        let answer = protect(answer).await;
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"), "{policy}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[tokio::test]
    async fn what_can_be_sent_compressed_is() {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=1"))]);
        let answer = answer(&files(), Method::GET, Uri::from_static("/assets/a-1.js"), &headers).await;
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(answer.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable"));
    }
}
