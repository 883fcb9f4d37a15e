//! Looking at tasks, and stopping them.

use std::{sync::Arc, time::Duration};

use cadenas_api::{Problem, ProblemCode, Task, TaskId};
use cadenas_store::{Order, Range, StoreExt};

use super::{Live, StoredTask, task_key, task_prefix};
use crate::core::{Core, store_failed};

/// Every task that is kept, newest first.
pub(crate) async fn list(core: &Core) -> Result<Vec<Task>, Problem> {
    let range = Range::of(task_prefix()).order(Order::Descending);
    let page = core.store.range_as::<StoredTask>(&range).await.map_err(|error| store_failed(&error))?;
    Ok(page.items.into_iter().map(|stored| with_progress(core, stored.value.0)).collect())
}

/// One task; with `wait`, when it has ended or the time is over.
pub(crate) async fn show(core: &Core, id: TaskId, wait: Duration) -> Result<Task, Problem> {
    match live(core, id) {
        Some(live) => {
            if !wait.is_zero() {
                core.wait_for(wait, live.ended()).await;
            }
            Ok(live.now())
        }
        None => stored(core, id).await,
    }
}

/// Asks a task to stop and undo itself; it ends a little later.
pub(crate) async fn cancel(core: &Core, id: TaskId) -> Result<Task, Problem> {
    if let Some(live) = live(core, id) {
        live.progress.cancel();
        tracing::info!(task = %id, "task was asked to stop");
        return Ok(live.now());
    }
    let task = stored(core, id).await?;
    let detail = format!("task {id} has ended already: {}", task.state);
    Err(Problem::new(ProblemCode::TooLateToCancel, detail).with_task(id).next(format!("See `cadenas task show {id}`.")))
}

fn live(core: &Core, id: TaskId) -> Option<Arc<Live>> {
    core.tasks.lock().live.get(&id).cloned()
}

async fn stored(core: &Core, id: TaskId) -> Result<Task, Problem> {
    let stored = core.store.get_as::<StoredTask>(&task_key(id)).await.map_err(|error| store_failed(&error))?;
    stored.map(|stored| stored.value.0).ok_or_else(|| {
        Problem::new(ProblemCode::NoSuchTask, format!("there is no task {id}; the last 1,000 that ended are kept"))
            .next("See `cadenas task ls`.")
    })
}

/// The store's progress is up to a second old.
fn with_progress(core: &Core, task: Task) -> Task {
    live(core, task.id).map_or(task, |live| live.now())
}
