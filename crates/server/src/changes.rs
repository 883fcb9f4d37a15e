//! What changes, as it happens: for who watches instead of asking again and again.

use std::{collections::VecDeque, sync::Arc};

use cadenas_api::{Event, EventQuery, Problem, Task};
use cadenas_store::{Change as StoreChange, Changes as StoreChanges, StoreError, Stored, Watch, WatchFrom};
use tokio::sync::watch;

use crate::{
    core::{Core, store_failed},
    tasks::{self, StoredTask},
};

/// How many ended tasks a watcher is told of at first.
const ENDED_AT_FIRST: usize = 50;

/// Something that changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A task began, went on, or ended.
    Task(Box<Task>),
    /// Something happened.
    Event(Box<Event>),
}

/// A watcher's place in what changes.
pub(crate) struct Changes {
    core: Arc<Core>,
    tasks: Box<dyn Watch>,
    newest: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    after: u64,
    ready: VecDeque<Change>,
}

/// Why a watcher looks.
enum Woken {
    Tasks(Result<StoreChanges, StoreError>),
    Events,
}

impl Changes {
    /// Watches from now on, and tells the tasks as they stand first; with `after`, also the events since that one.
    pub(crate) async fn watch(core: Arc<Core>, after: Option<u64>) -> Result<Self, Problem> {
        let mut newest = core.newest_event();
        let last = core.last_event().await?;
        if after.is_some_and(|after| after < last) {
            newest.mark_changed();
        }
        let tasks = watch_tasks(&core).await?;
        let (after, stopping) = (after.unwrap_or(last).min(last), core.stopping.subscribe());
        let mut changes = Self { core, tasks, newest, stopping, after, ready: VecDeque::new() };
        changes.tell_tasks().await?;
        Ok(changes)
    }

    /// The next change; `None` once the server stops, or when the watcher must begin anew.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            let taken = match self.wait().await? {
                Woken::Tasks(changes) => self.take_tasks(changes).await,
                Woken::Events => self.take_events().await,
            };
            if let Err(problem) = taken {
                // Whoever watches connects again, and hears why if it still is so.
                tracing::warn!(%problem, "a watcher of changes was let go");
                return None;
            }
        }
    }

    /// What there is to look at; `None` once the server stops.
    async fn wait(&mut self) -> Option<Woken> {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
            changed = self.newest.changed() => changed.ok().map(|()| Woken::Events),
            changes = self.tasks.next() => Some(Woken::Tasks(changes)),
        }
    }

    async fn take_tasks(&mut self, changes: Result<StoreChanges, StoreError>) -> Result<(), Problem> {
        match changes {
            Ok(StoreChanges { changes, .. }) => {
                for change in changes {
                    self.take_task(change)?;
                }
                Ok(())
            }
            // Too slow: how the tasks stand now is all that is left to tell.
            Err(StoreError::Compacted { .. }) => {
                self.tasks = watch_tasks(&self.core).await?;
                self.tell_tasks().await
            }
            Err(error) => Err(store_failed(&error)),
        }
    }

    fn take_task(&mut self, change: StoreChange) -> Result<(), Problem> {
        if let StoreChange::Put(entry) = change {
            let stored = Stored::<StoredTask>::from_entry(entry).map_err(|error| store_failed(&error))?;
            self.ready.push_back(Change::Task(Box::new(stored.value.0)));
        }
        Ok(())
    }

    /// Oldest first, so that who adds each at the top has them in order.
    async fn tell_tasks(&mut self) -> Result<(), Problem> {
        let mut told = tasks::list(&self.core).await?;
        let mut ended = 0;
        told.retain(|task| {
            ended += usize::from(task.state.is_final());
            !task.state.is_final() || ended <= ENDED_AT_FIRST
        });
        self.ready.extend(told.into_iter().rev().map(|task| Change::Task(Box::new(task))));
        Ok(())
    }

    async fn take_events(&mut self) -> Result<(), Problem> {
        loop {
            let query = EventQuery { after: Some(self.after), ..EventQuery::default() };
            let events = self.core.list_events(&query).await?;
            let Some(last) = events.last() else { return Ok(()) };
            self.after = last.sequence;
            self.ready.extend(events.into_iter().map(|event| Change::Event(Box::new(event))));
        }
    }
}

async fn watch_tasks(core: &Core) -> Result<Box<dyn Watch>, Problem> {
    core.store.watch(&tasks::task_prefix(), WatchFrom::Now).await.map_err(|error| store_failed(&error))
}
