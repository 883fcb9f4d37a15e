//! Making VMs ready for their batch: held by the task, with every key that it takes on the host.

use std::sync::Arc;

use cadenas_api::{Problem, ProblemCode, Vm};
use cadenas_keys::{KeyId, ProviderId};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    core::Core,
    exposure, kms,
    providers::{Catalog, KindRecord, ProviderRecord},
    tasks::{Live, VmHold},
};

/// Prepares batches of one task.
pub(super) struct Preparer {
    core: Arc<Core>,
    live: Arc<Live>,
    to: ProviderId,
    /// How many VMs may ask key servers at the same time.
    permits: Arc<Semaphore>,
}

/// What the VMs of one batch share: the providers as they are when it is prepared, for they may change while a task runs.
struct Common {
    core: Arc<Core>,
    live: Arc<Live>,
    catalog: Catalog,
    to: ProviderRecord,
}

/// A batch that can go to the host, and the VMs that stay behind.
#[derive(Default)]
pub(super) struct Batch {
    /// How many VMs it was made of.
    pub(super) size: usize,
    pub(super) ready: Vec<Ready>,
    pub(super) failed: Vec<(Vm, Problem)>,
}

/// A VM that is held, and the key that it will be wrapped under.
pub(super) struct Ready {
    pub(super) vm: Vm,
    pub(super) key: KeyId,
    _hold: VmHold,
}

impl Preparer {
    pub(super) fn new(core: &Arc<Core>, live: &Arc<Live>, to: ProviderId, jobs: usize) -> Self {
        Self { core: Arc::clone(core), live: Arc::clone(live), to, permits: Arc::new(Semaphore::new(jobs)) }
    }

    /// Makes VMs ready, several at a time where key servers have to be asked.
    pub(super) async fn prepare(&self, vms: Vec<Vm>) -> Batch {
        match self.common().await {
            Ok(common) => self.prepare_with(&Arc::new(common), vms).await,
            Err(problem) => {
                let failed = |vm| (vm, problem.clone());
                Batch { size: vms.len(), ready: vec![], failed: vms.into_iter().map(failed).collect() }
            }
        }
    }

    async fn common(&self) -> Result<Common, Problem> {
        let catalog = self.core.catalog().await?;
        let to = catalog.find(&self.to.to_string())?.clone();
        Ok(Common { core: Arc::clone(&self.core), live: Arc::clone(&self.live), catalog, to })
    }

    async fn prepare_with(&self, common: &Arc<Common>, vms: Vec<Vm>) -> Batch {
        let (mut batch, mut working) = (Batch { size: vms.len(), ..Batch::default() }, JoinSet::new());
        for vm in vms {
            let (common, permits) = (Arc::clone(common), Arc::clone(&self.permits));
            working.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let ready = common.ready(&vm).await;
                (vm, ready)
            });
        }
        while let Some(ended) = working.join_next().await {
            match ended {
                Ok((vm, Ok((key, hold)))) => batch.ready.push(Ready { vm, key, _hold: hold }),
                Ok((vm, Err(problem))) => batch.failed.push((vm, problem)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        self.noted(batch).await
    }

    /// The batch, once it is remembered which keys wrapped its VMs before.
    async fn noted(&self, mut batch: Batch) -> Batch {
        if let Err(problem) = exposure::note(&self.core, batch.ready.iter().map(|ready| &ready.vm)).await {
            let unready = batch.ready.drain(..).map(|ready| (ready.vm, problem.clone()));
            batch.failed.extend(unready);
        }
        batch
    }
}

impl Common {
    async fn ready(&self, vm: &Vm) -> Result<(KeyId, VmHold), Problem> {
        if self.live.progress.is_cancelled() {
            return Err(Problem::new(ProblemCode::Cancelled, "the task was cancelled before its turn"));
        }
        let hold = self.core.tasks.hold_for_task(vm, self.live.id())?;
        if !vm.missing_keys.is_empty() {
            kms::unlock(&self.core, &self.catalog, vm).await?;
        }
        let _provider_stays = self.core.provider_use.read().await;
        let key = match &self.to.kind {
            KindRecord::Native(native) => native.current().ok_or_else(|| self.no_current_key())?.id,
            KindRecord::Standard(_) => kms::wrapping(&self.core, &self.to, vm, false).await?,
        };
        Ok((key, hold))
    }

    fn no_current_key(&self) -> Problem {
        Problem::new(ProblemCode::ProviderNotBackedUp, format!("key provider {} has no key that wraps", self.to.name))
    }
}
