//! Tasks: operations of a host on a VM, one at a time for each VM, remembered in the store.
//!
//! A task costs two commits: one before it begins, and one with its end and its event. While it moves bytes its progress
//! is written about once a second. A task is told to have ended only when its end is durable.

mod list;
mod live;
mod work;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cadenas_api::{Actor, Problem, ProblemCode, Task, TaskId, TaskProgress, Vm, VmOperation, VmOutcome};
use cadenas_keys::{ProviderId, VmId};
use cadenas_store::{Key, Prefix, Record, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    vms,
};
pub(crate) use list::{cancel, list, show};
pub(crate) use live::{Live, Subject};

/// How many tasks that have ended are kept.
const KEPT: usize = 1_000;
const TASKS: &str = "task";

/// The tasks at work, and what is needed to forget old ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holders: HashMap<VmId, Holder>,
    live: BTreeMap<TaskId, Arc<Live>>,
    /// In the order in which they ended, as far as this process knows it.
    ended: VecDeque<TaskId>,
}

/// What a VM is held by.
#[derive(Debug, Clone, Copy)]
enum Holder {
    Task(TaskId),
    /// A request that is too short to be a task.
    Request,
}

/// Holds a VM until it is dropped.
#[derive(Debug)]
pub(crate) struct VmHold {
    tasks: Tasks,
    vm: VmId,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredTask(pub(crate) Task);

impl Record for StoredTask {
    const VERSION: u32 = 1;
}

/// Begins `operation` on `vm`, if nothing else holds it. `provider` is the one that the operation wraps under; `txn` is written
/// with the task's beginning.
pub(crate) async fn start(
    core: &Arc<Core>,
    vm: &Vm,
    operation: VmOperation,
    provider: Option<ProviderId>,
    txn: Txn,
    by: &Actor,
) -> Result<Arc<Live>, Problem> {
    let live = Arc::new(Live::new(vm.into(), operation.kind(), provider, TaskProgress::default(), by));
    let hold = core.tasks.hold_patiently(vm, live.id()).await?;
    let run = vms::run(Arc::clone(core), vm.id, operation, Arc::clone(&live.progress));
    begin(core, Arc::clone(&live), Some(hold), txn, run).await?;
    Ok(live)
}

/// Begins a task that does `run`; what it holds is let go when it has ended.
pub(crate) async fn begin(
    core: &Arc<Core>,
    live: Arc<Live>,
    hold: Option<VmHold>,
    txn: Txn,
    run: impl Future<Output = Result<VmOutcome, Problem>> + Send + 'static,
) -> Result<(), Problem> {
    if *core.stopping.borrow() {
        return Err(Problem::new(ProblemCode::Interrupted, "the server is stopping").next("Try again when it is back."));
    }
    let task = live.now();
    let _: crate::events::Written = core.commit(put(txn, &task)?, vec![]).await?;
    core.tasks.lock().live.insert(task.id, Arc::clone(&live));
    tracing::info!(task = %task.id, kind = task.kind, subject = %task.vm_name, by = %task.by, "task began");
    tokio::spawn(work::work(Arc::clone(core), live, hold, run));
    Ok(())
}

/// Asks every task to stop and undo itself, and waits for that up to `limit`. What is not done by then is settled at the
/// next start.
pub(crate) async fn stop_all(core: &Core, limit: Duration) {
    let running: Vec<_> = core.tasks.lock().live.values().cloned().collect();
    for live in &running {
        live.interrupt();
    }
    let all_ended = async {
        for live in &running {
            live.ended().await;
        }
    };
    if tokio::time::timeout(limit, all_ended).await.is_err() {
        tracing::warn!("some tasks did not stop in time; they are settled at the next start");
    }
}

impl Tasks {
    /// The task that holds a VM.
    pub(crate) fn of(&self, vm: VmId) -> Option<TaskId> {
        match self.lock().holders.get(&vm) {
            Some(Holder::Task(id)) => Some(*id),
            _ => None,
        }
    }

    /// The names of the VMs that are being wrapped under a provider.
    pub(crate) fn vms_using(&self, provider: ProviderId) -> Vec<String> {
        let state = self.lock();
        let using = state.live.values().filter(|live| live.provider() == Some(provider));
        using.map(|live| live.now().vm_name).collect()
    }

    /// Holds a VM for a task. Who finds it in the batch of a task for many waits a little: that is over in a moment.
    async fn hold_patiently(&self, vm: &Vm, task: TaskId) -> Result<VmHold, Problem> {
        const PAUSE: Duration = Duration::from_millis(20);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            match self.hold(vm, Holder::Task(task)) {
                Err(_) if self.is_in_a_batch(vm.id) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    fn is_in_a_batch(&self, vm: VmId) -> bool {
        let state = self.lock();
        matches!(state.holders.get(&vm), Some(Holder::Task(id)) if state.live.get(id).is_some_and(|live| live.is_bulk()))
    }

    /// Whether a task for many VMs is at work.
    pub(crate) fn has_bulk(&self) -> bool {
        self.lock().live.values().any(|live| live.is_bulk())
    }

    /// Holds a VM while a task for many works on it.
    pub(crate) fn hold_for_task(&self, vm: &Vm, task: TaskId) -> Result<VmHold, Problem> {
        self.hold(vm, Holder::Task(task))
    }

    /// Holds a VM while a request works on it.
    pub(crate) fn hold_for_request(&self, vm: &Vm) -> Result<VmHold, Problem> {
        self.hold(vm, Holder::Request)
    }

    /// Remembers tasks that had ended before this process, oldest first.
    pub(crate) fn remember_ended(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.lock().ended.extend(ids);
    }

    fn hold(&self, vm: &Vm, holder: Holder) -> Result<VmHold, Problem> {
        let mut state = self.lock();
        if let Some(holder) = state.holders.get(&vm.id) {
            return Err(busy(vm, *holder));
        }
        state.holders.insert(vm.id, holder);
        Ok(VmHold { tasks: self.clone(), vm: vm.id })
    }

    /// The map is whole between any two statements, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for VmHold {
    fn drop(&mut self) {
        self.tasks.lock().holders.remove(&self.vm);
    }
}

fn busy(vm: &Vm, holder: Holder) -> Problem {
    match holder {
        Holder::Task(id) => Problem::new(ProblemCode::VmBusy, format!("task {id} is at work on VM {}", vm.name))
            .with_task(id)
            .next(format!("Wait for it with `cadenas task wait {id}`, or stop it with `cadenas task cancel {id}`.")),
        Holder::Request => Problem::new(ProblemCode::VmBusy, format!("another request is at work on VM {}", vm.name))
            .next("Try again in a moment."),
    }
}

/// The transaction that also puts `task`.
pub(crate) fn put(txn: Txn, task: &Task) -> Result<Txn, Problem> {
    txn.put_as(task_key(task.id), &StoredTask(task.clone())).map_err(|error| store_failed(&error))
}

pub(crate) fn task_key(id: TaskId) -> Key {
    format!("{TASKS}/{id}").parse().expect("a UUID is allowed in keys")
}

pub(crate) fn task_prefix() -> Prefix {
    TASKS.parse().expect("a constant that is a key")
}
