//! Carrying a plan out, batch by batch.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use cadenas_api::{BulkFailure, BulkOutcome, PlannedStep, Problem, ProblemCode, RewrapVm, RewrappedVm, Vm, VmOutcome};
use cadenas_keys::KeyId;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::plan::Plan;
use crate::{
    core::Core,
    events::Draft,
    exposure, kms,
    providers::{Catalog, KindRecord, ProviderRecord},
    tasks::{Live, VmHold},
};

/// VMs that are committed together: enough to share a flush, few enough that each waits only a moment.
const BATCH: usize = 256;
/// Keys that are asked of key servers at the same time.
const JOBS: usize = 8;
/// The failures that an outcome lists.
const MOST_FAILURES: usize = 500;

/// A plan at work.
pub(super) struct Run {
    core: Arc<Core>,
    live: Arc<Live>,
    plan: Plan,
    jobs: usize,
    rate: Option<NonZeroU32>,
    outcome: BulkOutcome,
    times: Vec<u64>,
}

/// A VM that is held and whose keys are with the host.
struct Ready {
    vm: Vm,
    key: KeyId,
    _hold: VmHold,
}

impl Run {
    pub(super) fn new(
        core: &Arc<Core>,
        live: &Arc<Live>,
        plan: Plan,
        jobs: Option<NonZeroUsize>,
        rate: Option<NonZeroU32>,
    ) -> Self {
        let (core, live) = (Arc::clone(core), Arc::clone(live));
        let jobs = jobs.map_or(JOBS, NonZeroUsize::get).min(BATCH);
        Self { core, live, plan, jobs, rate, outcome: BulkOutcome::default(), times: vec![] }
    }

    /// Until every VM is done, or the task is cancelled.
    pub(super) async fn finish(mut self) -> Result<VmOutcome, Problem> {
        let todo = self.settle_the_rest();
        self.live.progress.expect(u64::try_from(todo.len()).unwrap_or(u64::MAX));
        let catalog = self.core.catalog().await?;
        let mut todo = todo.into_iter();
        loop {
            let batch: Vec<Vm> = todo.by_ref().take(self.batch_size()).collect();
            if batch.is_empty() {
                return Ok(self.ended());
            }
            if self.live.progress.is_cancelled() {
                return Err(self.stopped(batch.len() + todo.len()));
            }
            let begun = Instant::now();
            self.batch(&catalog, batch).await;
            self.pace(begun).await;
        }
    }

    /// Counts what needs no work and what cannot be done; gives the rest.
    fn settle_the_rest(&mut self) -> Vec<Vm> {
        let mut todo = vec![];
        for (vm, planned) in std::mem::take(&mut self.plan.steps) {
            match planned.step {
                PlannedStep::Recrypt => todo.push(vm),
                PlannedStep::AlreadySo => self.outcome.already += 1,
                PlannedStep::Cannot => {
                    let reason = planned.reason.unwrap_or_default();
                    self.fail(&vm, Problem::new(ProblemCode::VmLocked, reason));
                }
            }
        }
        todo
    }

    fn batch_size(&self) -> usize {
        self.rate.map_or(BATCH, |rate| usize::try_from(rate.get()).unwrap_or(BATCH).clamp(1, BATCH))
    }

    async fn batch(&mut self, catalog: &Catalog, vms: Vec<Vm>) {
        let count = u64::try_from(vms.len()).unwrap_or(u64::MAX);
        let ready = self.prepare(catalog, vms).await;
        let noted = exposure::note(&self.core, ready.iter().map(|ready| &ready.vm)).await;
        match noted {
            Ok(()) => self.rewrap(ready).await,
            Err(problem) => ready.iter().for_each(|ready| self.fail(&ready.vm, problem.clone())),
        }
        self.live.progress.advance(count);
    }

    /// Holds each VM and sees to its keys, several at a time where key servers have to be asked.
    async fn prepare(&mut self, catalog: &Catalog, vms: Vec<Vm>) -> Vec<Ready> {
        let (permits, mut working) = (Arc::new(Semaphore::new(self.jobs)), JoinSet::new());
        let catalog = Arc::new(catalog.clone());
        for vm in vms {
            let (core, live) = (Arc::clone(&self.core), Arc::clone(&self.live));
            let (catalog, to, permits) = (Arc::clone(&catalog), self.plan.to.clone(), Arc::clone(&permits));
            working.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let ready = ready(&core, &live, &catalog, &to, &vm).await;
                (vm, ready)
            });
        }
        let mut ready = vec![];
        while let Some(ended) = working.join_next().await {
            match ended {
                Ok((vm, Ok((key, hold)))) => ready.push(Ready { vm, key, _hold: hold }),
                Ok((vm, Err(problem))) => self.fail(&vm, problem),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        ready
    }

    async fn rewrap(&mut self, ready: Vec<Ready>) {
        let provider = self.plan.to.id;
        let rewraps = ready.iter().map(|ready| RewrapVm { vm: ready.vm.id, provider, key: ready.key }).collect();
        let done = self.core.host.recrypt_many(rewraps).await;
        let mut drafts = vec![];
        for RewrappedVm { vm, result } in done {
            let Some(of) = ready.iter().find(|ready| ready.vm.id == vm) else { continue };
            match result {
                Ok(outcome) => drafts.extend(self.count(&of.vm, &outcome)),
                Err(problem) => self.fail(&of.vm, problem),
            }
        }
        self.core.record(drafts).await;
    }

    fn count(&mut self, vm: &Vm, outcome: &VmOutcome) -> Option<Draft> {
        self.times.extend(outcome.microseconds);
        if !outcome.changed {
            self.outcome.already += 1;
            return None;
        }
        self.outcome.changed += 1;
        let message = format!("{}: {}", vm.name, outcome.message);
        Some(Draft::new("vm.recrypted", message).vm(vm.id).task(self.live.id()).by(self.live.by()))
    }

    fn fail(&mut self, vm: &Vm, problem: Problem) {
        self.outcome.failed += 1;
        if self.outcome.failures.len() < MOST_FAILURES {
            self.outcome.failures.push(BulkFailure { vm: vm.id, name: vm.name.clone(), problem });
        }
    }

    /// Waits until the batch's share of a second is over.
    async fn pace(&self, begun: Instant) {
        if self.rate.is_some() {
            tokio::time::sleep_until(begun + Duration::from_secs(1)).await;
        }
    }

    fn ended(mut self) -> VmOutcome {
        self.times.sort_unstable();
        let at = |hundredths: usize| {
            self.times.get((self.times.len() * hundredths / 100).min(self.times.len().saturating_sub(1)))
        };
        self.outcome.median_microseconds = at(50).copied();
        self.outcome.p99_microseconds = at(99).copied();
        let BulkOutcome { changed, already, failed, .. } = self.outcome;
        let message = format!("{changed} re-encrypted, {already} were so already, {failed} failed");
        VmOutcome { changed: changed > 0, message, bulk: Some(self.outcome), ..VmOutcome::default() }
    }

    fn stopped(&self, left: usize) -> Problem {
        let BulkOutcome { changed, failed, .. } = self.outcome;
        let detail = format!("stopped with {changed} VMs re-encrypted, {failed} failed and {left} left as they were");
        Problem::new(ProblemCode::Cancelled, detail).next("Ask for it again: what is done is skipped.")
    }
}

/// The key that `vm` will be wrapped under, with every key that it takes on the host, and the VM held.
async fn ready(
    core: &Arc<Core>,
    live: &Live,
    catalog: &Catalog,
    to: &ProviderRecord,
    vm: &Vm,
) -> Result<(KeyId, VmHold), Problem> {
    let hold = core.tasks.hold_for_task(vm, live.id())?;
    if !vm.missing_keys.is_empty() {
        kms::unlock(core, catalog, vm).await?;
    }
    let _provider_stays = core.provider_use.read().await;
    let key = match &to.kind {
        KindRecord::Native(native) => native.current().ok_or_else(|| no_current_key(to))?.id,
        KindRecord::Standard(_) => kms::wrapping(core, to, vm, false).await?,
    };
    Ok((key, hold))
}

fn no_current_key(to: &ProviderRecord) -> Problem {
    Problem::new(ProblemCode::ProviderNotBackedUp, format!("key provider {} has no key that wraps", to.name))
}
