//! Ages of keys, compromised keys, and the copies that need keys.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use cadenas_api::{CompromiseReport, CopyPath, KeyReport, KnownCopy};

use super::{
    extract::{Body, By, Named},
    problems::Refusal,
};
use crate::{
    copies,
    core::{Core, to_its_end},
    exposure, report,
};

type Answer<T> = Result<Json<T>, Refusal>;

/// The keys of every encrypted VM: their ages, and what is due.
#[utoipa::path(get, path = "/reports/keys", tag = "keys", responses((status = 200, body = Vec<KeyReport>), Refusal))]
pub(super) async fn key_report(State(core): State<Arc<Core>>) -> Answer<Vec<KeyReport>> {
    Ok(Json(report::keys(&core).await?))
}

/// Says that somebody else may have a key. It wraps nothing from now on; the answer tells what it opens.
#[utoipa::path(post, path = "/verb/mark-compromised/keys/{key}", tag = "keys",
    params(("key" = String, Path, description = "Key ID")), responses((status = 200, body = CompromiseReport), Refusal))]
pub(super) async fn mark_compromised(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(key): Named,
) -> Answer<CompromiseReport> {
    Ok(Json(to_its_end(async move { exposure::mark_compromised(&core, &key, &by).await }).await?))
}

/// The copies of VM homes that are known, by path.
#[utoipa::path(get, path = "/copies", tag = "keys", responses((status = 200, body = Vec<KnownCopy>), Refusal))]
pub(super) async fn list_copies(State(core): State<Arc<Core>>) -> Answer<Vec<KnownCopy>> {
    Ok(Json(copies::list(&core).await?))
}

/// Makes a copy of a VM home known, so that no key that it needs is removed unnoticed.
#[utoipa::path(post, path = "/copies", tag = "keys", request_body = CopyPath,
    responses((status = 201, body = KnownCopy), Refusal))]
pub(super) async fn add_copy(
    State(core): State<Arc<Core>>,
    By(by): By,
    Body(request): Body<CopyPath>,
) -> Result<(StatusCode, Json<KnownCopy>), Refusal> {
    let copy = to_its_end(async move { copies::add(&core, request.path, &by).await }).await?;
    Ok((StatusCode::CREATED, Json(copy)))
}

/// Forgets a copy; its files stay. Answers it as it was known.
#[utoipa::path(post, path = "/verb/forget/copies", tag = "keys", request_body = CopyPath,
    responses((status = 200, body = KnownCopy), Refusal))]
pub(super) async fn forget_copy(
    State(core): State<Arc<Core>>,
    By(by): By,
    Body(request): Body<CopyPath>,
) -> Answer<KnownCopy> {
    Ok(Json(to_its_end(async move { copies::forget(&core, request.path, &by).await }).await?))
}
