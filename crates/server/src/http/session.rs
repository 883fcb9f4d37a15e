//! Getting into the web console, and out of it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use cadenas_api::{Actor, ConsoleLink, OpenSession, Session};

use super::{
    cookie::SessionCookie,
    extract::{Body, By},
    problems::Refusal,
};
use crate::{
    console::{Signed, not_signed_in},
    core::Core,
};

type WithCookie<T> = Result<(StatusCode, [(HeaderName, String); 1], T), Refusal>;

/// Makes a link into the web console, which works once. Only over the socket.
#[utoipa::path(post, path = "/console-links", tag = "console", responses((status = 201, body = ConsoleLink), Refusal))]
pub(super) async fn open_console_link(
    State(core): State<Arc<Core>>,
    By(by): By,
) -> Result<(StatusCode, Json<ConsoleLink>), Refusal> {
    Ok((StatusCode::CREATED, Json(core.console.open_link(&by)?)))
}

/// Begins a session of the web console with a link's token, and sets its cookie.
#[utoipa::path(post, path = "/session", tag = "console", request_body = OpenSession, responses((status = 201, body = Session), Refusal))]
pub(super) async fn open_session(
    State(core): State<Arc<Core>>,
    Extension(cookie): Extension<SessionCookie>,
    Body(request): Body<OpenSession>,
) -> WithCookie<Json<Session>> {
    let (token, signed) = core.console.begin(&request.token)?;
    tracing::info!(by = %signed.actor, "a session of the web console began");
    let set = cookie.set(&token, &signed);
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, set)], Json(view(&core, &signed))))
}

/// Whose session it is.
#[utoipa::path(get, path = "/session", tag = "console", responses((status = 200, body = Session), Refusal))]
pub(super) async fn show_session(
    State(core): State<Arc<Core>>,
    signed: Option<Extension<Signed>>,
) -> Result<Json<Session>, Refusal> {
    let Extension(signed) = signed.ok_or_else(not_signed_in)?;
    Ok(Json(view(&core, &signed)))
}

/// Ends the session.
#[utoipa::path(delete, path = "/session", tag = "console", responses((status = 204), Refusal))]
pub(super) async fn close_session(
    State(core): State<Arc<Core>>,
    Extension(cookie): Extension<SessionCookie>,
    headers: HeaderMap,
) -> WithCookie<()> {
    if let Some(session) = cookie.find(&headers) {
        core.console.end(session);
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie.unset())], ()))
}

fn view(core: &Core, Signed { actor, expires }: &Signed) -> Session {
    Session { user: Actor::to_string(actor), host: core.host.name(), expires: *expires }
}
