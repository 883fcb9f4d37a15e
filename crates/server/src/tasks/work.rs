//! The life of one task: run, write the progress, write the end.

use std::{future::Future, sync::Arc, time::Duration};

use cadenas_api::{Problem, ProblemCode, Progress, Task, TaskState, VmOutcome};
use cadenas_store::Txn;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{KEPT, Live, VmHold, put, task_key};
use crate::{
    core::{Core, panicked},
    events::Draft,
    vms,
};

/// How often progress is written.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn work(
    core: Arc<Core>,
    live: Arc<Live>,
    hold: Option<VmHold>,
    run: impl Future<Output = Result<VmOutcome, Problem>> + Send + 'static,
) {
    let result = match to_its_end(&core, &live, run).await {
        Ok(outcome) => Ok(vms::with_provider_names(&core, outcome).await),
        refused => refused,
    };
    let ended = live.with_end(result);
    if let (Some(vm), Some(problem)) = (ended.vm, &ended.problem)
        && leaves_work(problem.code)
    {
        core.repairs.expect(vm, &problem.detail).await;
    }
    save_end(&core, &ended).await;
    core.tasks.lock().live.remove(&ended.id);
    // The VM is free before anyone hears of the end.
    drop(hold);
    live.tell_ended(ended);
}

/// In a task of its own, so that a panic is an end too; its progress is written meanwhile.
async fn to_its_end(
    core: &Arc<Core>,
    live: &Live,
    run: impl Future<Output = Result<VmOutcome, Problem>> + Send + 'static,
) -> Result<VmOutcome, Problem> {
    let mut working = tokio::spawn(run);
    let mut ticks = interval_at(Instant::now() + SAVE_PERIOD, SAVE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut saved = Progress::default();
    loop {
        tokio::select! {
            result = &mut working => return result.unwrap_or_else(|_| Err(panicked().next("See the server's log. What was begun is undone or finished within a minute."))),
            _ = ticks.tick() => saved = save_progress(core, live, saved).await,
        }
    }
}

/// Whether the host may have left something that its repair settles.
fn leaves_work(code: ProblemCode) -> bool {
    matches!(code, ProblemCode::NeedsRepair | ProblemCode::HypervisorUnreachable | ProblemCode::Internal)
}

async fn save_progress(core: &Core, live: &Live, saved: Progress) -> Progress {
    let task = live.now();
    if task.progress != saved
        && let Err(problem) = write(core, &task, Txn::new(), vec![]).await
    {
        tracing::warn!(task = %task.id, %problem, "progress could not be written");
    }
    task.progress
}

/// Writes the end of a task with its event, and drops the oldest ended task. Until that succeeds the task has not ended.
async fn save_end(core: &Core, ended: &Task) {
    let txn = forget_oldest(core, ended);
    while let Err(problem) = write(core, ended, txn.clone(), vec![end_event(ended)]).await {
        tracing::error!(task = %ended.id, %problem, "the end of a task could not be written; trying again");
        tokio::time::sleep(SAVE_PERIOD).await;
    }
}

async fn write(core: &Core, task: &Task, txn: Txn, drafts: Vec<Draft>) -> Result<(), Problem> {
    core.commit(put(txn, task)?, drafts).await.map(|_| ())
}

fn forget_oldest(core: &Core, ended: &Task) -> Txn {
    let mut state = core.tasks.lock();
    state.ended.push_back(ended.id);
    let oldest = if state.ended.len() > KEPT { state.ended.pop_front() } else { None };
    oldest.map_or(Txn::new(), |oldest| Txn::new().delete(task_key(oldest)))
}

fn end_event(ended: &Task) -> Draft {
    let (kind, message) = match ended.state {
        TaskState::Running | TaskState::Succeeded => (done_kind(&ended.kind), outcome_of(ended)),
        TaskState::Failed => (format!("{}-failed", ended.kind), problem_of(ended)),
        TaskState::Cancelled => (format!("{}-cancelled", ended.kind), problem_of(ended)),
    };
    Draft::new(kind, message).vm_if(ended.vm).task(ended.id).by(&ended.by)
}

/// The event of a task that succeeded: `vm.encrypted` for `vm.encrypt`.
fn done_kind(kind: &str) -> String {
    match kind {
        "vm.shutdown" => "vm.shut-down".to_owned(),
        "vm.verify" => "vm.verified".to_owned(),
        "vm.recrypt-all" => "vm.all-recrypted".to_owned(),
        other => format!("{other}ed"),
    }
}

fn outcome_of(task: &Task) -> String {
    let message = task.outcome.as_ref().map(|outcome| outcome.message.as_str()).unwrap_or_default();
    format!("{}: {message}", task.vm_name)
}

fn problem_of(task: &Task) -> String {
    let detail = task.problem.as_ref().map(|problem| problem.detail.as_str()).unwrap_or_default();
    format!("{}: {detail}", task.vm_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_in_the_past_tense() {
        let kinds = ["vm.encrypt", "vm.decrypt", "vm.recrypt", "vm.deep-recrypt", "vm.start", "vm.kill", "vm.unlock"];
        for kind in kinds {
            assert_eq!(done_kind(kind), format!("{kind}ed"));
        }
        assert_eq!(done_kind("vm.shutdown"), "vm.shut-down");
        assert_eq!(done_kind("vm.verify"), "vm.verified");
        assert_eq!(done_kind("vm.recrypt-all"), "vm.all-recrypted");
    }
}
