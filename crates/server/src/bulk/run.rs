//! Carrying a plan out, batch by batch.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use cadenas_api::{BulkFailure, BulkOutcome, PlannedStep, Problem, ProblemCode, RewrapVm, RewrappedVm, Vm, VmOutcome};
use cadenas_keys::ProviderId;
use tokio::time::Instant;

use super::{
    plan::Plan,
    prepare::{Batch, Preparer, Ready},
};
use crate::{core::Core, events::Draft, tasks::Live};

/// VMs that are committed together: enough to share a flush, few enough that each waits only a moment.
const BATCH: usize = 512;
/// Keys that are asked of key servers at the same time.
const JOBS: usize = 8;
/// The failures that an outcome lists …
const MOST_FAILURES: usize = 500;
/// … as long as their words are not more bytes than this: the task must fit a value of the store.
const MOST_WORDS: usize = cadenas_store::MAX_VALUE_BYTES / 4;

/// A plan at work.
pub(super) struct Run {
    core: Arc<Core>,
    live: Arc<Live>,
    plan: Plan,
    jobs: usize,
    rate: Option<NonZeroU32>,
    outcome: BulkOutcome,
    /// Bytes of all failures' details.
    words: usize,
    times: Vec<u64>,
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
        Self { core, live, plan, jobs, rate, outcome: BulkOutcome::default(), words: 0, times: vec![] }
    }

    /// Until every VM is done, or the task is cancelled. While the host works on a batch, the next one is prepared, and what
    /// became of the last one is written.
    pub(super) async fn finish(mut self) -> Result<VmOutcome, Problem> {
        let mut todo = self.settle_the_rest().into_iter();
        self.live.progress.expect(u64::try_from(todo.len()).unwrap_or(u64::MAX));
        let preparer = Preparer::new(&self.core, &self.live, self.plan.to.id, self.jobs);
        let size = self.batch_size();
        let (mut batch, mut drafts) = (preparer.prepare(todo.by_ref().take(size).collect()).await, vec![]);
        while batch.size > 0 && !self.live.progress.is_cancelled() {
            let (begun, next) = (Instant::now(), todo.by_ref().take(size).collect());
            let (done, next, ()) = tokio::join!(
                rewrapped(&self.core, self.plan.to.id, &batch.ready),
                preparer.prepare(next),
                self.core.record(drafts)
            );
            drafts = self.settle(&batch, done);
            batch = next;
            self.pace(begun).await;
        }
        self.core.record(drafts).await;
        match batch.size + todo.len() {
            0 => Ok(self.ended()),
            left => Err(self.stopped(left)),
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

    /// Counts what became of a batch; gives the events.
    fn settle(&mut self, batch: &Batch, done: Vec<RewrappedVm>) -> Vec<Draft> {
        let mut drafts: Vec<_> =
            batch.failed.iter().filter_map(|(vm, problem)| self.fail_at_work(vm, problem.clone())).collect();
        for RewrappedVm { vm, result } in done {
            let Some(of) = batch.ready.iter().find(|ready| ready.vm.id == vm) else { continue };
            match result {
                Ok(outcome) => drafts.extend(self.count(&of.vm, &outcome)),
                Err(problem) => drafts.extend(self.fail_at_work(&of.vm, problem)),
            }
        }
        self.live.progress.advance(u64::try_from(batch.size).unwrap_or(u64::MAX));
        drafts
    }

    fn count(&mut self, vm: &Vm, outcome: &VmOutcome) -> Option<Draft> {
        self.times.extend(outcome.microseconds);
        if !outcome.changed {
            self.outcome.already += 1;
            return None;
        }
        self.outcome.changed += 1;
        Some(self.draft("vm.recrypted", vm, &outcome.message))
    }

    /// Counts a VM that was tried in vain. Who asked finds it among the events also when the task is cancelled, and so has no
    /// outcome; what the server tries by itself again and again would only bury other events.
    fn fail_at_work(&mut self, vm: &Vm, problem: Problem) -> Option<Draft> {
        let draft = self.rate.is_none().then(|| self.draft("vm.recrypt-failed", vm, &problem.detail));
        self.fail(vm, problem);
        draft
    }

    fn draft(&self, kind: &str, vm: &Vm, what: &str) -> Draft {
        Draft::new(kind, format!("{}: {what}", vm.name)).vm(vm.id).task(self.live.id()).by(self.live.by())
    }

    fn fail(&mut self, vm: &Vm, problem: Problem) {
        self.outcome.failed += 1;
        self.words += problem.detail.len();
        if self.outcome.failures.len() < MOST_FAILURES && self.words <= MOST_WORDS {
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

/// In two halves at the same time: while one waits for its flush, the other unwraps and wraps.
async fn rewrapped(core: &Core, to: ProviderId, ready: &[Ready]) -> Vec<RewrappedVm> {
    let half = |ready: &[Ready]| {
        let rewrap = |ready: &Ready| {
            let (vm, from) = (ready.vm.id, ready.vm.wrapped_under());
            RewrapVm { vm, from, provider: to, key: ready.key }
        };
        core.host.recrypt_many(ready.iter().map(rewrap).collect())
    };
    let (one, other) = ready.split_at(ready.len() / 2);
    let (mut done, rest) = tokio::join!(half(one), half(other));
    done.extend(rest);
    done
}
