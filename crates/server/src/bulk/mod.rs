//! Re-encrypting many VMs: a plan that anyone can look at, and a task that carries it out in batches.
//!
//! Each VM is as safe as alone: the host commits it by the rename of its own descriptor. A task that is stopped leaves the VMs
//! of its finished batches with the new key and the others with the old one; asked for again, it skips what is done.

mod plan;
mod prepare;
mod run;

use std::{num::NonZeroU32, sync::Arc};

use cadenas_api::{Actor, Problem, RecryptAll, TaskProgress};

pub(crate) use plan::Plan;

use crate::{
    core::Core,
    kms,
    tasks::{self, Live, Subject},
    vms,
};

/// What `request` would do, as things stand.
pub(crate) async fn plan(core: &Arc<Core>, request: &RecryptAll) -> Result<Plan, Problem> {
    let catalog = core.catalog().await?;
    let to = vms::wrapping_provider(core, &catalog, request.to.as_deref())?;
    let from = request.from.as_deref().map(|from| catalog.find_known_or_id(from)).transpose()?;
    let (keks, vms) = (kms::all(core).await?, core.host.vms().await?);
    Ok(plan::plan(&catalog, &keks, vms, from, &to))
}

/// Begins to re-encrypt, at most `rate` VMs a second if that is given. `by` is nobody for what the server does by itself.
pub(crate) async fn start(
    core: &Arc<Core>,
    request: &RecryptAll,
    rate: Option<NonZeroU32>,
    by: Option<&Actor>,
) -> Result<Arc<Live>, Problem> {
    // From here to the beginning no provider goes: afterwards the task is seen to use it.
    let _provider_stays = core.provider_use.read().await;
    let plan = plan(core, request).await?;
    let by = by.cloned().unwrap_or_else(Actor::the_server);
    let subject = Subject::Many { name: format!("all VMs with {}", plan.to.name) };
    let live = Arc::new(Live::new(subject, "vm.recrypt-all", Some(plan.to.id), TaskProgress::of_vms(), &by));
    let run = run::Run::new(core, &live, plan, request.jobs, rate);
    tasks::begin(core, Arc::clone(&live), None, cadenas_store::Txn::new(), run.finish()).await?;
    Ok(live)
}
