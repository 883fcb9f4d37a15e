//! A task at work.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cadenas_api::{Actor, Problem, ProblemCode, Task, TaskId, TaskProgress, TaskState, Vm, VmOutcome};
use cadenas_keys::{ProviderId, VmId};
use jiff::Timestamp;
use tokio::sync::watch;

/// A task of this process: at work, or just ended.
#[derive(Debug)]
pub(crate) struct Live {
    begun: Task,
    provider: Option<ProviderId>,
    pub(crate) progress: Arc<TaskProgress>,
    /// Whether the server's stop, rather than a user, asked it to end.
    interrupted: AtomicBool,
    ended: watch::Sender<Option<Task>>,
}

/// What a task is done to.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// One VM, which the task holds.
    Vm {
        /// The VM.
        id: VmId,
        /// Its name.
        name: String,
    },
    /// Many VMs, each of which the task holds while it works on it.
    Many {
        /// What they are, in words.
        name: String,
    },
}

impl From<&Vm> for Subject {
    fn from(vm: &Vm) -> Self {
        Self::Vm { id: vm.id, name: vm.name.clone() }
    }
}

impl Live {
    /// A task that has not begun. `provider` is the one that it wraps under.
    pub(crate) fn new(
        subject: Subject,
        kind: &str,
        provider: Option<ProviderId>,
        progress: TaskProgress,
        by: &Actor,
    ) -> Self {
        let (vm, vm_name) = match subject {
            Subject::Vm { id, name } => (Some(id), name),
            Subject::Many { name } => (None, name),
        };
        let begun = Task {
            id: TaskId::now(),
            kind: kind.to_owned(),
            vm,
            vm_name,
            state: TaskState::Running,
            progress: progress.now(),
            by: by.clone(),
            created: Timestamp::now(),
            finished: None,
            outcome: None,
            problem: None,
        };
        Self {
            begun,
            provider,
            progress: Arc::new(progress),
            interrupted: AtomicBool::new(false),
            ended: watch::Sender::new(None),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.begun.id
    }

    /// Who asked.
    pub(crate) fn by(&self) -> &Actor {
        &self.begun.by
    }

    /// Whether it is done to many VMs.
    pub(super) fn is_bulk(&self) -> bool {
        self.begun.vm.is_none()
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
    let (of, left) = match task.vm {
        Some(_) => (format!("VM {}", task.vm_name), "what it had begun was undone"),
        None => (task.vm_name.clone(), "the VMs that were done stay so, the others are as they were"),
    };
    let detail = format!("the server was stopped while {} of {of} ran; {left}", task.kind);
    Problem::new(ProblemCode::Interrupted, detail).next("Ask for it again.")
}
