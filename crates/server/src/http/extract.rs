//! Parts of requests, with refusals that never repeat what was sent: a body may hold a password.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use cadenas_api::{Actor, Problem, ProblemCode};
use serde::de::DeserializeOwned;

use super::problems::{Refusal, bad_request};

/// The largest body in bytes: a backup file of 1 MiB in base64 fits.
pub(super) const LARGEST_BODY: usize = 2 << 20;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// A JSON body that may be left out, or be `null`.
pub(super) struct OptionalBody<T>(pub(super) T);

/// A query string.
pub(super) struct Fields<T>(pub(super) T);

/// One path segment, decoded.
pub(super) struct Named(pub(super) String);

/// Who asks.
pub(super) struct By(pub(super) Actor);

/// How long a client that starts a task would like to wait for its end (RFC 7240, `Prefer: wait=N`).
pub(super) struct Patience(pub(super) Duration);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        Ok(Self(parse(&json_bytes(request, state).await?)?))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = json_bytes(request, state).await?;
        let given: Option<T> = if bytes.is_empty() { None } else { parse(&bytes)? };
        Ok(Self(given.unwrap_or_default()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Fields<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(fields)) => Ok(Self(fields)),
            Err(rejection) => Err(Problem::new(ProblemCode::BadRequest, rejection.body_text()).into()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Problem::new(ProblemCode::BadRequest, rejection.body_text()).into()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let actor = parts.extensions.get::<Actor>().cloned();
        Ok(Self(actor.expect("no request passes `peer::admit` without an actor")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Patience {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self(Duration::from_secs(preferred_wait(&parts.headers).unwrap_or(0))))
    }
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    let is_json = has_json(request.headers());
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            bad_request(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {LARGEST_BODY} bytes"))
        }
        status => bad_request(status, "the body could not be read"),
    })?;
    if is_json || bytes.is_empty() {
        return Ok(bytes);
    }
    let detail = "the body's media type is not application/json";
    Err(bad_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).next("Send `Content-Type: application/json`.").into())
}

fn has_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| not_understood(&error).into())
}

/// Where and in what way, but nothing of the body itself: serde's own words quote it.
fn not_understood(error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    let words = error.to_string();
    let what = match error.classify() {
        Category::Eof => "ends too early".to_owned(),
        Category::Syntax | Category::Io => "is not JSON".to_owned(),
        // A missing field's name is ours, not the sender's.
        Category::Data if words.starts_with("missing field `") => {
            format!("has no field {}", words.split('`').nth(1).unwrap_or_default())
        }
        Category::Data => "has a field that is not known or not of the right kind".to_owned(),
    };
    let detail = format!("the body {what} (line {}, column {})", error.line(), error.column());
    Problem::new(ProblemCode::BadRequest, detail).next(format!("See {}/openapi.json.", cadenas_api::API_PREFIX))
}

fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let preferences = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let mut each = preferences.flat_map(|value| value.split([',', ';'])).map(str::trim);
    each.find_map(|preference| preference.strip_prefix("wait=")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        let wait = |value| {
            preferred_wait(&HeaderMap::from_iter([(
                "prefer".parse().expect("a name"),
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(wait("wait=2"), Some(2));
        assert_eq!(wait("respond-async, wait=10"), Some(10));
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(wait("handling=lenient"), None);
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        for body in [
            r#"{"password": 7, "hunter2": 1}"#,
            r#"{"name": {"hunter2": 1}}"#,
            r#"{"name": "x", "hunter2": 1}"#,
            "hunter2",
            "{\"hunter2",
        ] {
            let error = serde_json::from_str::<cadenas_api::CreateProvider>(body).expect_err(body);
            let problem = not_understood(&error);
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
        let error = serde_json::from_str::<cadenas_api::CreateProvider>("{}").expect_err("no name");
        assert!(not_understood(&error).detail.contains("no field name"));
    }
}
