//! Who may speak to the server through a browser: pages of our own, for somebody who is signed in.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use cadenas_api::{API_PREFIX, Problem, ProblemCode};

use super::{cookie::SessionCookie, problems::Refusal};
use crate::core::Core;

/// What the checks need.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) core: Arc<Core>,
    pub(super) cookie: SessionCookie,
    /// Whether only names of loopback are ours.
    pub(super) loopback: bool,
}

/// Lets requests pass that our own pages make for who is signed in, and tells the handlers who that is.
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = check_source(&gate, &request) {
        return Refusal::from(problem).into_response();
    }
    let session = gate.cookie.find(request.headers()).map(|session| gate.core.console.find(session));
    match session {
        Some(Ok(signed)) => {
            request.extensions_mut().insert(signed.actor.clone());
            request.extensions_mut().insert(signed);
        }
        Some(Err(problem)) if !is_about_session(&request) => return Refusal::from(problem).into_response(),
        None if !is_about_session(&request) => return Refusal::from(crate::console::not_signed_in()).into_response(),
        _ => {}
    }
    request.extensions_mut().insert(gate.cookie);
    next.run(request).await
}

/// Beginning and ending a session needs none.
fn is_about_session(request: &Request) -> bool {
    request.uri().path().strip_prefix(API_PREFIX) == Some("/session")
}

/// Refuses what another site's page makes a browser send.
///
/// The cookie already stays away from such requests (`SameSite`); this holds for browsers' bugs, and for pages of other programs on
/// this machine, which count as the same site. Fetch Metadata tells it, or the origin (W3C Fetch Metadata; RFC 6454).
fn check_source(gate: &Gate, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    if gate.loopback && !text(headers, "host").is_some_and(is_loopback) {
        return Err(foreign("asks for a host that is not this one"));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match (text(headers, "sec-fetch-site"), text(headers, "origin")) {
        (Some("same-origin"), _) => Ok(()),
        (Some("none") | None, None) if reads => Ok(()),
        (None, Some(origin)) if is_origin(origin, text(headers, header::HOST.as_str())) => Ok(()),
        _ => Err(foreign("does not come from the console's own page")),
    }
}

fn foreign(what: &str) -> Problem {
    Problem::new(ProblemCode::Forbidden, format!("the request {what}"))
        .next("Open the console by the link that `cadenas console` prints.")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Another name that leads to loopback is somebody's trick to have our answers read by his page (DNS rebinding).
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name == "localhost"
        || name == "[::1]"
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn is_origin(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_ours() {
        for host in ["localhost:7780", "127.0.0.1:7780", "127.0.0.1", "[::1]:7780", "[::1]", "localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["evil.example:7780", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1:7780", "", ":7780"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_ours_only_with_the_same_port() {
        assert!(is_origin("http://127.0.0.1:7780", Some("127.0.0.1:7780")));
        assert!(!is_origin("http://127.0.0.1:8080", Some("127.0.0.1:7780")));
        assert!(!is_origin("null", Some("null")));
        assert!(!is_origin("null", None));
    }
}
