//! A task at work.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cadenas_api::{Actor, Problem, ProblemCode, Progress, Task, TaskId, TaskProgress, TaskState, Vm, VmOutcome};
use cadenas_keys::ProviderId;
use jiff::Timestamp;
use tokio::sync::watch;

/// A task of this process: at work, or just ended.
#[derive(Debug)]
pub(crate) struct Live {
    begun: Task,
    provider: Option<ProviderId>,
    pub(super) progress: Arc<TaskProgress>,
    /// Whether the server's stop, rather than a user, asked it to end.
    interrupted: AtomicBool,
    ended: watch::Sender<Option<Task>>,
}

impl Live {
    pub(super) fn new(vm: &Vm, kind: &str, provider: Option<ProviderId>, by: &Actor) -> Self {
        let begun = Task {
            id: TaskId::now(),
            kind: kind.to_owned(),
            vm: vm.id,
            vm_name: vm.name.clone(),
            state: TaskState::Running,
            progress: Progress::default(),
            by: by.clone(),
            created: Timestamp::now(),
            finished: None,
            outcome: None,
            problem: None,
        };
        Self {
            begun,
            provider,
            progress: Arc::default(),
            interrupted: AtomicBool::new(false),
            ended: watch::Sender::new(None),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.begun.id
    }

    pub(super) fn provider(&self) -> Option<ProviderId> {
        self.provider
    }

    /// The task as it stands.
    pub(crate) fn now(&self) -> Task {
        let ended = self.ended.borrow().clone();
        ended.unwrap_or_else(|| Task { progress: self.progress.now(), ..self.begun.clone() })
    }

    /// Waits until its end is durable.
    pub(crate) async fn ended(&self) {
        // The sender is this value's own, so it is there.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    /// Asks it to stop because the server does.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.progress.cancel();
    }

    pub(super) fn tell_ended(&self, task: Task) {
        self.ended.send_replace(Some(task));
    }

    /// The task with the end that `result` gives it.
    pub(super) fn with_end(&self, result: Result<VmOutcome, Problem>) -> Task {
        let (state, outcome, problem) = match result {
            Ok(outcome) => (TaskState::Succeeded, Some(outcome), None),
            Err(problem) if problem.code != ProblemCode::Cancelled => (TaskState::Failed, None, Some(problem)),
            Err(_) if self.interrupted.load(Ordering::Relaxed) => {
                (TaskState::Failed, None, Some(interrupted(&self.begun)))
            }
            Err(problem) => (TaskState::Cancelled, None, Some(problem)),
        };
        Task { state, outcome, problem, finished: Some(Timestamp::now()), ..self.now() }
    }
}

fn interrupted(task: &Task) -> Problem {
    let detail =
        format!("the server was stopped while {} of VM {} ran; what it had begun was undone", task.kind, task.vm_name);
    Problem::new(ProblemCode::Interrupted, detail).next("Ask for it again.")
}
