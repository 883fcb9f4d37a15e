//! Problems as HTTP answers (RFC 9457).

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use cadenas_api::{API_PREFIX, PROBLEM_JSON, Problem, ProblemCode};
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr,
        response::{self, ResponseBuilder},
    },
};

use crate::text::quoted;

/// An answer that refuses.
#[derive(Debug)]
pub(super) struct Refusal(Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = *self.0;
        tracing::debug!(code = %problem.code, detail = problem.detail, "refused");
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, axum::Json(problem)).into_response();
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        answer
    }
}

impl IntoResponses for Refusal {
    /// One `default` answer for every operation: the code tells the kinds apart.
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let answer =
            ResponseBuilder::new().description("Refused: problem details").content(PROBLEM_JSON, content).build();
        BTreeMap::from([("default".to_owned(), answer.into())])
    }
}

/// A form error with another HTTP status than 400.
pub(super) fn bad_request(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem { status: status.as_u16(), ..Problem::new(ProblemCode::BadRequest, detail) }
}

/// Nothing is there by that path.
pub(super) async fn not_found(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", quoted(uri.path()));
    Problem::new(ProblemCode::NotFound, detail).next(format!("See {API_PREFIX}/openapi.json.")).into()
}

/// Something is there, but does not take that method.
pub(super) async fn method_not_allowed(method: Method) -> Refusal {
    let detail = format!("the method {} is not for this path", quoted(method.as_str()));
    bad_request(StatusCode::METHOD_NOT_ALLOWED, detail).next(format!("See {API_PREFIX}/openapi.json.")).into()
}

/// The schemas that only answers of every operation refer to.
pub(super) fn schemas() -> Vec<(String, RefOr<utoipa::openapi::Schema>)> {
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    schemas
}
