//! Operations on VMs, most of which are tasks.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode},
};
use cadenas_api::{
    Problem, RecryptAll, RecryptPlan, RecryptVm, RegisterVm, SetPolicy, SetTemplate, ShutdownVm, Task, Vm, VmAction,
    VmOperation, VmQuery,
};

use super::{
    extract::{Body, By, Fields, Named, OptionalBody, Patience},
    problems::Refusal,
};
use crate::{
    actions, bulk,
    core::{Core, to_its_end},
    tasks::Live,
    vms,
};

type Answer<T> = Result<Json<T>, Refusal>;
type TaskAnswer = Result<(StatusCode, Json<Task>), Refusal>;

/// VMs of the host, by name: all, or those that are asked for.
#[utoipa::path(get, path = "/vms", tag = "vms", params(VmQuery),
    responses((status = 200, body = Vec<Vm>, headers(("x-total-count" = u64, description = "How many match, whatever the limit"))), Refusal))]
pub(super) async fn list_vms(
    State(core): State<Arc<Core>>,
    Fields(query): Fields<VmQuery>,
) -> Result<([(HeaderName, usize); 1], Json<Vec<Vm>>), Refusal> {
    let (vms, total) = vms::page(&core, &query).await?;
    Ok(([(HeaderName::from_static("x-total-count"), total)], Json(vms)))
}

/// What can be done to a VM now, why the rest cannot, and about how long what takes time would take.
#[utoipa::path(get, path = "/vms/{vm}/actions", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Vec<VmAction>), Refusal))]
pub(super) async fn list_actions(State(core): State<Arc<Core>>, Named(vm): Named) -> Answer<Vec<VmAction>> {
    Ok(Json(actions::list(&core, &vm).await?))
}

/// One VM, by name or ID.
#[utoipa::path(get, path = "/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Vm), Refusal))]
pub(super) async fn show_vm(State(core): State<Arc<Core>>, Named(vm): Named) -> Answer<Vm> {
    Ok(Json(vms::show(&core, &vm).await?))
}

/// Sets a VM's storage policy, which encrypts or decrypts it.
#[utoipa::path(post, path = "/verb/set-policy/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    request_body = SetPolicy,
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn set_policy(
    State(core): State<Arc<Core>>,
    By(by): By,
    patience: Patience,
    Named(vm): Named,
    Body(request): Body<SetPolicy>,
) -> TaskAnswer {
    let begun = Arc::clone(&core);
    begin(core, patience, async move { vms::set_policy(&begun, &vm, request, &by).await }).await
}

/// Tells which VMs a re-encryption of all would be about, and which of them cannot be done. Changes nothing.
#[utoipa::path(post, path = "/verb/plan-recrypt/vms", tag = "vms", request_body = RecryptAll,
    responses((status = 200, body = RecryptPlan), Refusal))]
pub(super) async fn plan_recrypt(
    State(core): State<Arc<Core>>,
    OptionalBody(request): OptionalBody<RecryptAll>,
) -> Answer<RecryptPlan> {
    Ok(Json(bulk::plan(&core, &request).await?.view()))
}

/// Re-encrypts every VM under one provider, or under any, with another: new wrappings, at any power state. One task for all.
#[utoipa::path(post, path = "/verb/recrypt/vms", tag = "vms", request_body = RecryptAll,
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn recrypt_all(
    State(core): State<Arc<Core>>,
    By(by): By,
    patience: Patience,
    OptionalBody(request): OptionalBody<RecryptAll>,
) -> TaskAnswer {
    let begun = Arc::clone(&core);
    begin(core, patience, async move { bulk::start(&begun, &request, None, Some(&by)).await }).await
}

/// Makes a VM a template, or a VM again.
#[utoipa::path(post, path = "/verb/set-template/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    request_body = SetTemplate, responses((status = 200, body = Vm), Refusal))]
pub(super) async fn set_template(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(vm): Named,
    Body(request): Body<SetTemplate>,
) -> Answer<Vm> {
    Ok(Json(to_its_end(async move { vms::set_template(&core, &vm, request.template, &by).await }).await?))
}

/// Re-encrypts a VM: shallow (new wrappings, at any power state) or deep (new data keys, off).
#[utoipa::path(post, path = "/verb/recrypt/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    request_body = Option<RecryptVm>,
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn recrypt_vm(
    State(core): State<Arc<Core>>,
    By(by): By,
    patience: Patience,
    Named(vm): Named,
    OptionalBody(request): OptionalBody<RecryptVm>,
) -> TaskAnswer {
    let begun = Arc::clone(&core);
    begin(core, patience, async move { vms::recrypt(&begun, &vm, &request, &by).await }).await
}

/// Powers a VM on.
#[utoipa::path(post, path = "/verb/start/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn start_vm(State(core): State<Arc<Core>>, by: By, patience: Patience, vm: Named) -> TaskAnswer {
    operate(core, by, patience, vm, VmOperation::Start).await
}

/// Asks a guest to shut down, and waits until it has.
#[utoipa::path(post, path = "/verb/shutdown/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    request_body = Option<ShutdownVm>,
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn shutdown_vm(
    State(core): State<Arc<Core>>,
    By(by): By,
    patience: Patience,
    Named(vm): Named,
    OptionalBody(request): OptionalBody<ShutdownVm>,
) -> TaskAnswer {
    let begun = Arc::clone(&core);
    begin(core, patience, async move { vms::shutdown(&begun, &vm, &request, &by).await }).await
}

/// Powers a VM off at once.
#[utoipa::path(post, path = "/verb/kill/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn kill_vm(State(core): State<Arc<Core>>, by: By, patience: Patience, vm: Named) -> TaskAnswer {
    operate(core, by, patience, vm, VmOperation::Kill).await
}

/// Tries the keys of a locked VM again.
#[utoipa::path(post, path = "/verb/unlock/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn unlock_vm(State(core): State<Arc<Core>>, by: By, patience: Patience, vm: Named) -> TaskAnswer {
    operate(core, by, patience, vm, VmOperation::Unlock).await
}

/// Reads a VM's headers and samples of its disks, and tells of each object whether it really is encrypted.
#[utoipa::path(post, path = "/verb/verify/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, description = "The task has ended", body = Task), (status = 202, description = "The task runs", body = Task), Refusal))]
pub(super) async fn verify_vm(State(core): State<Arc<Core>>, by: By, patience: Patience, vm: Named) -> TaskAnswer {
    operate(core, by, patience, vm, VmOperation::Verify).await
}

/// Adds a VM home, as of another cluster, to the inventory.
#[utoipa::path(post, path = "/verb/register/vms", tag = "vms", request_body = RegisterVm,
    responses((status = 200, body = Vm), Refusal))]
pub(super) async fn register_vm(
    State(core): State<Arc<Core>>,
    By(by): By,
    Body(request): Body<RegisterVm>,
) -> Answer<Vm> {
    Ok(Json(to_its_end(async move { vms::register(&core, request, &by).await }).await?))
}

/// Drops a VM home from the inventory; its files stay. Answers the VM as it was.
#[utoipa::path(post, path = "/verb/unregister/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Name or ID")),
    responses((status = 200, body = Vm), Refusal))]
pub(super) async fn unregister_vm(State(core): State<Arc<Core>>, By(by): By, Named(vm): Named) -> Answer<Vm> {
    Ok(Json(to_its_end(async move { vms::unregister(&core, &vm, &by).await }).await?))
}

async fn operate(
    core: Arc<Core>,
    By(by): By,
    patience: Patience,
    Named(vm): Named,
    operation: VmOperation,
) -> TaskAnswer {
    let begun = Arc::clone(&core);
    begin(core, patience, async move { vms::operate(&begun, &vm, operation, &by).await }).await
}

/// Begins a task, and answers 200 when it ends while the client waits, else 202.
async fn begin(
    core: Arc<Core>,
    Patience(patience): Patience,
    start: impl Future<Output = Result<Arc<Live>, Problem>> + Send + 'static,
) -> TaskAnswer {
    let live = to_its_end(start).await?;
    if !patience.is_zero() {
        core.wait_for(patience, live.ended()).await;
    }
    let task = live.now();
    let status = if task.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(task)))
}
