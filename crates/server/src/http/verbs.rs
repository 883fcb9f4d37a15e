//! Actions as `POST /things/{thing}:verb`, which the router cannot match.
//!
//! Inside, the verb comes first: `/verb/rotate/providers/{provider}`. Requests are rewritten to that before they are routed,
//! and the OpenAPI document is written back. Names come percent-encoded, so a colon in a name is `%3A` and no verb. No
//! request reaches the inner paths as such: they do not begin as the API's paths do.

use axum::{
    extract::Request,
    http::{Method, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use cadenas_api::API_PREFIX;

use super::problems;

const INNER: &str = "/verb/";

/// Rewrites a request for an action; refuses what is not under the API's prefix.
pub(super) async fn rewrite(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(below) = path.strip_prefix(API_PREFIX).filter(|below| below.starts_with('/')) else {
        return problems::not_found(request.uri().clone()).await.into_response();
    };
    if *request.method() == Method::POST
        && let Some(inner) = to_inner(below)
    {
        match with_path(request.uri(), &inner) {
            Some(uri) => *request.uri_mut() = uri,
            None => return problems::not_found(request.uri().clone()).await.into_response(),
        }
    }
    next.run(request).await
}

/// `/verb/rotate/providers/nkp` for `/providers/nkp:rotate`.
fn to_inner(below: &str) -> Option<String> {
    let last = below.rfind('/')?;
    let colon = last + below[last..].rfind(':')?;
    let (thing, verb) = (&below[..colon], &below[colon + 1..]);
    let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_verb.then(|| format!("{INNER}{verb}{thing}"))
}

/// `/api/v1/providers/{provider}:rotate` for `/verb/rotate/providers/{provider}`; other paths as they are.
pub(super) fn to_public(path: &str) -> String {
    match path.strip_prefix(INNER).and_then(|rest| rest.split_once('/')) {
        Some((verb, thing)) => format!("{API_PREFIX}/{thing}:{verb}"),
        None => path.to_owned(),
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_verb_goes_to_the_front() {
        assert_eq!(to_inner("/providers/nkp:rotate").as_deref(), Some("/verb/rotate/providers/nkp"));
        assert_eq!(to_inner("/providers:verify-backup").as_deref(), Some("/verb/verify-backup/providers"));
        assert_eq!(to_inner("/vms/a:b:start").as_deref(), Some("/verb/start/vms/a:b"));
    }

    #[test]
    fn what_is_no_verb_stays() {
        for path in ["/providers", "/vms/web%3Astart", "/vms/a:b/c", "/vms/web:", "/vms/web:St", "/vms/web:a%2Fb", "/"]
        {
            assert_eq!(to_inner(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_document_shows_the_path_that_is_called(thing in "/[a-z]{1,8}(/[A-Za-z0-9%._~:-]{1,20})?", verb in "[a-z-]{1,12}") {
            let inner = to_inner(&format!("{thing}:{verb}")).expect("a verb");
            prop_assert_eq!(to_public(&inner), format!("{API_PREFIX}{thing}:{verb}"));
        }
    }
}
