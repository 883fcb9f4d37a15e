//! Events: what changed, written together with the change.

use std::time::Duration;

use cadenas_api::{Actor, Event, EventQuery, HostEvent, Problem, TaskId};
use cadenas_keys::{ProviderId, VmId};
use cadenas_store::{CommitOutcome, Key, Order, Prefix, Range, Record, Revision, Store, StoreError, StoreExt, Txn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::core::{Core, store_failed};

/// How many events are kept.
const KEPT: u64 = 100_000;
/// The most events that one answer holds.
const LARGEST_PAGE: u64 = 1_000;
const EVENTS: &str = "event";

/// An event on its way into the log, which gives it its sequence number and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) by: Option<Actor>,
    pub(crate) provider: Option<ProviderId>,
    pub(crate) vm: Option<VmId>,
    pub(crate) task: Option<TaskId>,
}

impl Draft {
    pub(crate) fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), by: None, provider: None, vm: None, task: None }
    }

    pub(crate) fn by(mut self, actor: &Actor) -> Self {
        self.by = Some(actor.clone());
        self
    }

    /// By somebody, or by the server itself.
    pub(crate) fn by_if(self, actor: Option<&Actor>) -> Self {
        match actor {
            Some(actor) => self.by(actor),
            None => self,
        }
    }

    /// About one VM, or about many.
    pub(crate) fn vm_if(self, vm: Option<VmId>) -> Self {
        Self { vm, ..self }
    }

    pub(crate) fn provider(mut self, provider: ProviderId) -> Self {
        self.provider = Some(provider);
        self
    }

    pub(crate) fn vm(mut self, vm: VmId) -> Self {
        self.vm = Some(vm);
        self
    }

    pub(crate) fn task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }

    fn into_event(self, sequence: u64, at: Timestamp) -> Event {
        let Self { kind, message, by, provider, vm, task } = self;
        Event { sequence, at, kind, by, provider, vm, task, message }
    }
}

impl From<HostEvent> for Draft {
    fn from(event: HostEvent) -> Self {
        Self { vm: event.vm, ..Self::new(event.kind, event.message) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredEvent(Event);

impl Record for StoredEvent {
    const VERSION: u32 = 1;
}

/// What became of a change and its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub(crate) enum Written {
    /// It is durable.
    Done(Revision),
    /// Someone else changed what it was based on; read again.
    Conflict,
}

/// Gives events their numbers, and tells those who wait.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    /// The last sequence number, once it was read. Held while a commit runs, so that events appear in their order and
    /// nobody who asks for those after N misses one.
    last: Mutex<Option<u64>>,
    newest: watch::Sender<u64>,
}

impl EventLog {
    /// Commits `txn` with `drafts` as one.
    pub(crate) async fn commit(&self, store: &dyn Store, txn: Txn, drafts: Vec<Draft>) -> Result<Written, StoreError> {
        let mut last = self.last.lock().await;
        loop {
            let from = match *last {
                Some(known) => known,
                None => last_sequence(store).await?,
            };
            // Unknown until the commit tells how it went.
            *last = None;
            let (numbered, to) = with_events(txn.clone(), from, &drafts)?;
            match store.commit(numbered).await? {
                CommitOutcome::Committed { revision } => {
                    *last = Some(to);
                    self.newest.send_replace(to);
                    tell(&drafts);
                    return Ok(Written::Done(revision));
                }
                CommitOutcome::Conflict { keys } if keys.iter().all(|key| event_prefix().contains(key)) => {}
                CommitOutcome::Conflict { .. } => return Ok(Written::Conflict),
            }
        }
    }
}

impl Core {
    /// Commits a change and its events as one.
    pub(crate) async fn commit(&self, txn: Txn, drafts: Vec<Draft>) -> Result<Written, Problem> {
        self.events.commit(&*self.store, txn, drafts).await.map_err(|error| store_failed(&error))
    }

    /// Writes events that stand for no change in the store.
    pub(crate) async fn record(&self, drafts: Vec<Draft>) {
        /// Well below what a transaction takes.
        const AT_ONCE: usize = 32;
        for some in drafts.chunks(AT_ONCE) {
            if let Err(problem) = self.commit(Txn::new(), some.to_vec()).await {
                tracing::error!(%problem, "events could not be written");
            }
        }
    }

    /// The events that `query` asks for.
    pub(crate) async fn list_events(&self, query: &EventQuery) -> Result<Vec<Event>, Problem> {
        let mut newest = self.events.newest.subscribe();
        let found = self.read_events(query).await?;
        match query.wait {
            Some(seconds) if found.is_empty() => {
                // Looks at the present number first, so one written since the reading is not missed.
                let after = query.after.unwrap_or(0);
                let arrived = async { drop(newest.wait_for(|newest| *newest > after).await) };
                self.wait_for(Duration::from_secs(seconds), arrived).await;
                self.read_events(query).await
            }
            _ => Ok(found),
        }
    }

    /// Tells when there are newer events.
    pub(crate) fn newest_event(&self) -> watch::Receiver<u64> {
        self.events.newest.subscribe()
    }

    /// The last event's sequence number.
    pub(crate) async fn last_event(&self) -> Result<u64, Problem> {
        last_sequence(&*self.store).await.map_err(|error| store_failed(&error))
    }

    async fn read_events(&self, query: &EventQuery) -> Result<Vec<Event>, Problem> {
        let limit = query.limit.unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
        let mut range = Range::of(event_prefix()).limit(u32::try_from(limit).expect("at most 1,000"));
        range = match (query.newest_first, query.after) {
            (Some(true), None) => range.order(Order::Descending),
            (Some(true), Some(before)) => range.order(Order::Descending).after(event_key(before)),
            (_, None) => range,
            (_, Some(after)) => range.after(event_key(after)),
        };
        let page = self.store.range_as::<StoredEvent>(&range).await.map_err(|error| store_failed(&error))?;
        Ok(page.items.into_iter().map(|stored| stored.value.0).collect())
    }
}

/// The transaction with the events after `last`, less those that are now too old; and the new last number.
fn with_events(mut txn: Txn, last: u64, drafts: &[Draft]) -> Result<(Txn, u64), StoreError> {
    let now = Timestamp::now();
    let mut sequence = last;
    for draft in drafts {
        sequence += 1;
        let event = StoredEvent(draft.clone().into_event(sequence, now));
        txn = txn.if_absent(event_key(sequence)).put_as(event_key(sequence), &event)?;
        if let Some(old) = sequence.checked_sub(KEPT) {
            txn = txn.delete(event_key(old));
        }
    }
    Ok((txn, sequence))
}

async fn last_sequence(store: &dyn Store) -> Result<u64, StoreError> {
    let range = Range::of(event_prefix()).order(Order::Descending).limit(1);
    let page = store.range_as::<StoredEvent>(&range).await?;
    Ok(page.items.first().map_or(0, |stored| stored.value.0.sequence))
}

fn tell(drafts: &[Draft]) {
    for Draft { kind, message, by, .. } in drafts {
        let by = by.as_ref().map_or_else(|| "cadenas".to_owned(), ToString::to_string);
        tracing::info!(kind, by, "{message}");
    }
}

fn event_prefix() -> Prefix {
    EVENTS.parse().expect("a constant that is a key")
}

/// 20 digits hold every `u64`, so that the keys sort as the numbers do.
fn event_key(sequence: u64) -> Key {
    Key::from_segments(&[EVENTS, &format!("{sequence:020}")]).expect("digits are allowed in keys")
}

#[cfg(test)]
mod tests {
    use cadenas_store::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn numbers_go_on_after_a_restart_and_nothing_is_lost_between_writers() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("db")).expect("a writable folder");
        let (one, other) = (EventLog::default(), EventLog::default());
        for log in [&one, &other, &one, &other] {
            let written = log.commit(&store, Txn::new(), vec![Draft::new("a", "A."), Draft::new("b", "B.")]).await;
            assert!(matches!(written, Ok(Written::Done(_))));
        }
        assert_eq!(last_sequence(&store).await.expect("readable"), 8);
    }

    #[tokio::test]
    async fn a_change_that_conflicts_leaves_no_event() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("db")).expect("a writable folder");
        let log = EventLog::default();
        let change = || Txn::new().if_absent("x".parse().expect("a key")).put("x".parse().expect("a key"), "1");
        assert!(matches!(log.commit(&store, change(), vec![Draft::new("a", "A.")]).await, Ok(Written::Done(_))));
        assert!(matches!(log.commit(&store, change(), vec![Draft::new("a", "A.")]).await, Ok(Written::Conflict)));
        assert_eq!(last_sequence(&store).await.expect("readable"), 1);
    }

    #[test]
    fn the_event_that_is_100_000_older_goes() {
        let (txn, last) = with_events(Txn::new(), KEPT + 6, &[Draft::new("a", "A.")]).expect("JSON");
        assert_eq!(last, KEPT + 7);
        assert!(format!("{txn:?}").contains("event/00000000000000000007"));
    }

    #[test]
    fn keys_sort_as_numbers() {
        assert!(event_key(9) < event_key(10));
        assert!(event_key(10) < event_key(u64::MAX));
    }
}
