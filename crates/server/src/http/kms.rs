//! Setting up standard key providers.

use std::sync::Arc;

use axum::{Json, extract::State};
use cadenas_api::{
    KmsIdentity, KmsServerTest, Provider, SetKmsIdentity, SetKmsServers, SetKmsUser, ShownCertificate, TrustKms,
};

use super::{
    extract::{Body, By, Named},
    problems::Refusal,
};
use crate::{
    core::{Core, to_its_end},
    kms,
};

type Answer<T> = Result<Json<T>, Refusal>;

/// Replaces the key servers of a standard provider.
#[utoipa::path(post, path = "/verb/set-servers/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = SetKmsServers,
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn set_kms_servers(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<SetKmsServers>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { kms::set_servers(&core, &provider, &request.servers, &by).await }).await?))
}

/// The certificates that the key servers show now. None is trusted by this.
#[utoipa::path(post, path = "/verb/show-certificates/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Vec<ShownCertificate>), Refusal))]
pub(super) async fn show_certificates(
    State(core): State<Arc<Core>>,
    Named(provider): Named,
) -> Answer<Vec<ShownCertificate>> {
    Ok(Json(kms::show_certificates(&core, &provider).await?))
}

/// Trusts certificates or authorities from now on, and no others.
#[utoipa::path(post, path = "/verb/trust/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = TrustKms,
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn trust_kms(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<TrustKms>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { kms::trust(&core, &provider, request, &by).await }).await?))
}

/// Gives a standard provider the certificate that its key servers know it by, or makes a request for one.
#[utoipa::path(post, path = "/verb/set-identity/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = SetKmsIdentity,
    responses((status = 200, body = KmsIdentity), Refusal))]
pub(super) async fn set_kms_identity(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<SetKmsIdentity>,
) -> Answer<KmsIdentity> {
    Ok(Json(to_its_end(async move { kms::set_identity(&core, &provider, request, &by).await }).await?))
}

/// Gives a standard provider the user whose name and password go with each request, or takes it away.
#[utoipa::path(post, path = "/verb/set-user/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")), request_body = SetKmsUser,
    responses((status = 200, body = Provider), Refusal))]
pub(super) async fn set_kms_user(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(provider): Named,
    Body(request): Body<SetKmsUser>,
) -> Answer<Provider> {
    Ok(Json(to_its_end(async move { kms::set_user(&core, &provider, request, &by).await }).await?))
}

/// Tells, key server by key server and step by step, what works.
#[utoipa::path(post, path = "/verb/test/providers/{provider}", tag = "providers",
    params(("provider" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Vec<KmsServerTest>), Refusal))]
pub(super) async fn test_provider(State(core): State<Arc<Core>>, Named(provider): Named) -> Answer<Vec<KmsServerTest>> {
    Ok(Json(kms::test(&core, &provider).await?))
}
