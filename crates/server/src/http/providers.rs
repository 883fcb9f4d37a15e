//! Operations on key providers.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use cadenas_api::{
    BackupFile, BackupReport, BackupRequest, ConfirmBackup, CreateProvider, DeleteProvider, Provider, RenameProvider,
    RestoreRequest, RestoreResult, SetRotation, VerifyBackup,
};

use super::{
    extract::{Body, By, Fields, Named},
    problems::Refusal,
};
use crate::{
    core::{Core, to_its_end},
    providers, rotation,
};

type Answer<T> = Result<Json<T>, Refusal>;

/// Every key provider, by name.
#[utoipa::path(get, path = "/providers", tag = "providers", responses((status = 200, body = Vec<Provider>), Refusal))]
pub(super) async fn list_providers(State(core): State<Arc<Core>>) -> Answer<Vec<Provider>> {
    Ok(Json(providers::list(&core).await?))
}

/// One key provider, by name or ID.
#[utoipa::path(get, path = "/providers/{provider}", tag = "providers", params(("provider" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn show_provider(State(core): State<Arc<Core>>, Named(provider): Named) -> Answer<Provider> {
    Ok(Json(providers::show(&core, &provider).await?))
}

/// Makes a key provider. A native one encrypts nothing until it is backed up, a standard one until its key servers are trusted.
/// The very first one becomes the default.
#[utoipa::path(post, path = "/providers", tag = "providers", request_body = CreateProvider,
    responses((status = 201, body = Provider), Refusal))]
pub(super) async fn create_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Body(request): Body<CreateProvider>,
) -> Result<(StatusCode, Json<Provider>), Refusal> {
    let provider = to_its_end(async move { providers::create(&core, request, &by).await }).await?;
    Ok((StatusCode::CREATED, Json(provider)))
}

/// Gives a provider another name. Objects refer to providers by ID, so nothing else changes.
#[utoipa::path(patch, path = "/providers/{provider}", tag = "providers", params(("provider" = String, Path, description = "Name or ID")),
    request_body = RenameProvider, responses((status = 200, body = Provider), Refusal))]
pub(super) async fn rename_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<RenameProvider>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { providers::rename(&core, &provider, &request.name, &by).await }).await?))
}

/// Removes a provider and its keys; refused while VMs use it. Answers the provider as it was.
#[utoipa::path(delete, path = "/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID"), DeleteProvider), responses((status = 200, body = Provider), Refusal))]
pub(super) async fn delete_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Fields(request): Fields<DeleteProvider>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { providers::remove(&core, &provider, &request, &by).await }).await?))
}

/// Makes a provider the default.
#[utoipa::path(post, path = "/verb/set-default/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), responses((status = 200, body = Provider), Refusal))]
pub(super) async fn set_default_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { providers::set_default(&core, &provider, &by).await }).await?))
}

/// Makes new keys. Of a native provider a new version, which encrypts once it is backed up; of a standard one a new key for each
/// VM. The VMs move to them in the background.
#[utoipa::path(post, path = "/verb/rotate/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), responses((status = 200, body = Provider), Refusal))]
pub(super) async fn rotate_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { rotation::rotate(&core, &provider, Some(&by)).await }).await?))
}

/// Sets or ends a schedule of rotations.
#[utoipa::path(post, path = "/verb/set-rotation/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = SetRotation,
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn set_rotation(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<SetRotation>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { rotation::set(&core, &provider, request.every_days, &by).await }).await?))
}

/// Makes a backup file of every version of a provider's key. Keep it, read it back, and confirm it.
#[utoipa::path(post, path = "/verb/backup/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = BackupRequest,
    responses((status = 200, body = BackupFile), Refusal))]
pub(super) async fn backup_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<BackupRequest>,
) -> Answer<BackupFile> {
    Ok(Json(to_its_end(async move { providers::backup(&core, &provider, request, &by).await }).await?))
}

/// Proves a stored backup file: it opens and holds every version of the key. From then on the newest version encrypts.
#[utoipa::path(post, path = "/verb/confirm-backup/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = ConfirmBackup,
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn confirm_backup(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<ConfirmBackup>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { providers::confirm_backup(&core, &provider, request, &by).await }).await?))
}

/// Tells whether a file is a good backup; changes nothing.
#[utoipa::path(post, path = "/verb/verify-backup/providers", tag = "providers", request_body = VerifyBackup,
    responses((status = 200, body = BackupReport), Refusal))]
pub(super) async fn verify_backup(
    State(core): State<Arc<Core>>,
    Body(request): Body<VerifyBackup>,
) -> Answer<BackupReport> {
    Ok(Json(providers::verify_backup(&core, request).await?))
}

/// Restores a provider from a backup file, made here or elsewhere. VMs that were locked for want of its keys unlock.
#[utoipa::path(post, path = "/verb/restore/providers", tag = "providers", request_body = RestoreRequest,
    responses((status = 200, body = RestoreResult), Refusal))]
pub(super) async fn restore_provider(
    State(core): State<Arc<Core>>,
    By(by): By,
    Body(request): Body<RestoreRequest>,
) -> Answer<RestoreResult> {
    Ok(Json(to_its_end(async move { providers::restore(&core, request, &by).await }).await?))
}
