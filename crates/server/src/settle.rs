//! Tasks that ran when the last process ended.

use cadenas_api::{HostEvent, Problem, ProblemCode, Task, TaskId, TaskState};
use cadenas_store::{Range, StoreExt, Txn};
use jiff::Timestamp;

use crate::{
    core::{Core, store_failed},
    events::Draft,
    tasks::{StoredTask, put, task_prefix},
};

/// Ends every task that the last process left running, as the host's repair found its VM.
pub(crate) async fn settle(core: &Core, repaired: &[HostEvent]) -> Result<(), Problem> {
    let range = Range::of(task_prefix());
    let page = core.store.range_as::<StoredTask>(&range).await.map_err(|error| store_failed(&error))?;
    let tasks: Vec<Task> = page.items.into_iter().map(|stored| stored.value.0).collect();
    for task in tasks.iter().filter(|task| !task.state.is_final()) {
        let (ended, draft) = interrupted(task, repaired, Timestamp::now());
        let _: crate::events::Written = core.commit(put(Txn::new(), &ended)?, vec![draft]).await?;
    }
    core.tasks.remember_ended(in_order_of_end(tasks));
    Ok(())
}

/// The task, failed, with what became of its VM.
fn interrupted(task: &Task, repaired: &[HostEvent], now: Timestamp) -> (Task, Draft) {
    let about_vm =
        |event: &&HostEvent| event.vm.is_some() && event.vm == task.vm && Aftermath::of(event.kind).is_some();
    let told = repaired.iter().rfind(about_vm).and_then(|event| Aftermath::of(event.kind).zip(Some(event)));
    let aftermath = told.map_or(Aftermath::Untouched, |(aftermath, _)| aftermath);
    let problem = aftermath.problem(task, told.map(|(_, event)| event.message.as_str()));
    let draft = Draft::new(format!("{}-interrupted", task.kind), problem.detail.clone());
    let draft = draft.vm_if(task.vm).task(task.id).by(&task.by);
    let ended = Task { state: TaskState::Failed, finished: Some(now), problem: Some(problem), ..task.clone() };
    (ended, draft)
}

/// What the start-up repair did to an interrupted task's VM.
#[derive(Debug, Clone, Copy)]
enum Aftermath {
    RolledBack,
    RolledForward,
    Waits,
    /// The repair had nothing to do.
    Untouched,
}

impl Aftermath {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "vm.rolled-back" => Some(Self::RolledBack),
            "vm.rolled-forward" => Some(Self::RolledForward),
            "vm.needs-repair" => Some(Self::Waits),
            _ => None,
        }
    }

    fn problem(self, task: &Task, message: Option<&str>) -> Problem {
        let (became, next) = match self {
            Self::RolledBack => ("it was rolled back", "Ask for it again."),
            Self::RolledForward => {
                ("it was past its commit point and was completed at the next start", "Nothing is left to do.")
            }
            Self::Waits => ("it waits to be repaired", "See `cadenas vm show`; it is tried again every minute."),
            Self::Untouched => {
                ("nothing was left to repair", "See `cadenas vm show`, and ask for it again if it is not done.")
            }
        };
        let message = message.map(|message| format!(" ({message})")).unwrap_or_default();
        let of = if task.vm.is_some() { format!("VM {}", task.vm_name) } else { task.vm_name.clone() };
        let detail = format!("the server ended while {} of {of} ran; {became}{message}", task.kind);
        Problem::new(ProblemCode::Interrupted, detail).next(next)
    }
}

fn in_order_of_end(mut tasks: Vec<Task>) -> impl Iterator<Item = TaskId> {
    tasks.sort_by_key(|task| task.finished.unwrap_or(Timestamp::MAX));
    tasks.into_iter().map(|task| task.id)
}

#[cfg(test)]
mod tests {
    use cadenas_api::{Actor, Progress};
    use cadenas_keys::VmId;

    use super::*;

    #[test]
    fn an_interrupted_task_says_what_the_repair_found() {
        let task = running();
        let event = |kind, vm| HostEvent { kind, vm: Some(vm), message: "said the host".to_owned() };
        let (vm, other) = (task.vm.expect("one VM"), event("vm.rolled-back", VmId::random()));
        for (kind, said) in [
            ("vm.rolled-back", "rolled back (said the host)"),
            ("vm.rolled-forward", "completed at the next start (said the host)"),
            ("vm.needs-repair", "waits to be repaired (said the host)"),
            ("vm.stopped", "nothing was left to repair"),
        ] {
            let (ended, draft) = interrupted(&task, &[event(kind, vm), other.clone()], Timestamp::now());
            let problem = ended.problem.expect("a reason");
            assert_eq!((ended.state, problem.code), (TaskState::Failed, ProblemCode::Interrupted));
            assert!(problem.detail.contains(said), "{}", problem.detail);
            assert_eq!((draft.kind.as_str(), draft.task), ("vm.encrypt-interrupted", Some(task.id)));
        }
    }

    fn running() -> Task {
        Task {
            id: TaskId::now(),
            kind: "vm.encrypt".to_owned(),
            vm: Some(VmId::random()),
            vm_name: "web01".to_owned(),
            state: TaskState::Running,
            progress: Progress::default(),
            by: Actor { uid: 0, user: None },
            created: Timestamp::now(),
            finished: None,
            outcome: None,
            problem: None,
        }
    }
}
