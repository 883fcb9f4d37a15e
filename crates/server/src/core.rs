//! What every operation works on.

use std::{future::Future, sync::Arc, time::Duration};

use cadenas_api::{Host, Problem, ProblemCode, chain};
use cadenas_store::{Store, StoreError};
use tokio::sync::{Notify, RwLock, watch};

use crate::{
    console::Console, events::EventLog, kms::Clusters, providers::Pushes, repair::Repairs, seal::Seal, tasks::Tasks,
};

/// The longest that a request waits for a task or an event.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The server's parts, shared by everything that runs.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) events: EventLog,
    pub(crate) tasks: Tasks,
    pub(crate) console: Console,
    pub(crate) pushes: Pushes,
    pub(crate) clusters: Clusters,
    pub(crate) repairs: Repairs,
    /// Wakes who rotates: there may be something to do before the next round.
    pub(crate) rotate_now: Notify,
    /// Read while a task or the host is given a provider's key, written while a provider is removed: no task begins to use
    /// a provider between the look at its users and its removal, and no key reaches the host after the host forgot it.
    pub(crate) provider_use: RwLock<()>,
    /// `true` once the server stops: whoever waits for something gives up.
    pub(crate) stopping: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(store: Arc<dyn Store>, seal: Arc<dyn Seal>, host: Arc<dyn Host>) -> Self {
        Self {
            store,
            seal,
            host,
            events: EventLog::default(),
            tasks: Tasks::default(),
            console: Console::default(),
            pushes: Pushes::default(),
            clusters: Clusters::default(),
            repairs: Repairs::default(),
            rotate_now: Notify::new(),
            provider_use: RwLock::new(()),
            stopping: watch::Sender::new(false),
        }
    }

    /// Waits for `done`, but no longer than `limit`, and not once the server stops.
    pub(crate) async fn wait_for(&self, limit: Duration, done: impl Future<Output = ()>) {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            () = done => {}
            () = tokio::time::sleep(limit.min(LONGEST_WAIT)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

/// Runs work that must not be left half done although the client goes away meanwhile.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(panicked()))
}

/// Runs work that occupies a thread: key derivation, a seal.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(panicked()))
}

/// A panic's own words stay in the log: nobody checked what they hold.
pub(crate) fn panicked() -> Problem {
    Problem::new(ProblemCode::Internal, "the work ended in an error of the program").next("See the server's log.")
}

/// A failure of the store, as callers are told it.
pub(crate) fn store_failed(error: &StoreError) -> Problem {
    let code = match error {
        StoreError::Full { .. } => ProblemCode::NoSpace,
        _ => ProblemCode::Internal,
    };
    Problem::new(code, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = StoreError::Full { store: "cadenas.db".to_owned(), source: "disk full".into() };
        let problem = store_failed(&full);
        assert_eq!(problem.code, ProblemCode::NoSpace);
        assert!(problem.detail.contains("cadenas.db") && problem.detail.contains("make room"), "{problem}");
        let closed = StoreError::Closed { store: "cadenas.db".to_owned() };
        assert_eq!(store_failed(&closed).code, ProblemCode::Internal);
    }
}
