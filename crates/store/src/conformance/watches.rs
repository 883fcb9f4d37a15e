//! Watches: ordered, whole, without gap or repetition.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};

use super::{assert_ascending, committed, key, put, told};
use crate::{Change, Changes, Key, Prefix, Range, Revision, Store, StoreError, Txn, Watch, WatchFrom};

const WRITERS: usize = 6;
const TXNS_EACH: usize = 40;

/// From now: nothing of before, everything after.
pub async fn a_watch_from_now_tells_what_comes<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    put(&store, "vm/1", "before").await;
    let mut watch = watch(&store, "vm", WatchFrom::Now).await;
    let revision = put(&store, "vm/1", "after").await;
    assert_eq!(told(&mut watch).await, (revision, vec!["+vm/1=after".to_owned()]));
    let revision = committed(&store, Txn::new().delete(key("vm/1"))).await;
    assert_eq!(told(&mut watch).await, (revision, vec!["-vm/1".to_owned()]));
}

/// From a past revision: what came after it, then what comes, also when taken up again in between.
pub async fn a_watch_from_the_past_tells_what_was<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let revisions = [put(&store, "vm/1", "0").await, put(&store, "vm/1", "1").await, put(&store, "vm/1", "2").await];
    let mut first = watch(&store, "vm", WatchFrom::After(revisions[0])).await;
    assert_eq!(told(&mut first).await, (revisions[1], vec!["+vm/1=1".to_owned()]));
    drop(first);
    let mut again = watch(&store, "vm", WatchFrom::After(revisions[1])).await;
    assert_eq!(told(&mut again).await, (revisions[2], vec!["+vm/1=2".to_owned()]));
    let revision = put(&store, "vm/1", "3").await;
    assert_eq!(told(&mut again).await, (revision, vec!["+vm/1=3".to_owned()]));
}

/// Changes outside the prefix are left out, those of one transaction come together and in the order of their keys.
pub async fn a_watch_tells_its_prefix_in_whole_transactions<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    put(&store, "vm/1", "").await;
    let mut watch = watch(&store, "vm", WatchFrom::Now).await;
    put(&store, "vms/1", "beside").await;
    let txn = Txn::new().put(key("vm/3"), "c").put(key("event/9"), "beside").put(key("vm/2"), "b").delete(key("vm/1"));
    let revision = committed(&store, txn).await;
    let expected = ["-vm/1", "+vm/2=b", "+vm/3=c"].map(str::to_owned).to_vec();
    assert_eq!(told(&mut watch).await, (revision, expected));
    assert!(timeout(Duration::from_millis(50), watch.next()).await.is_err(), "there was nothing more to tell");
}

/// A `next` that is dropped while it waits or reads takes no change with it.
pub async fn a_cancelled_wait_loses_nothing<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    const COUNT: usize = 60;
    let store = open().await;
    let mut watch = watch(&store, "n", WatchFrom::Now).await;
    let writer = spawn_writer(store.clone(), 0, COUNT);
    let mut seen = Vec::new();
    let mut micros = 0;
    while seen.len() < COUNT {
        micros = (micros + 37) % 900;
        if let Ok(changes) = timeout(Duration::from_micros(micros), watch.next()).await {
            seen.push(changes.expect("the watch goes on").revision);
        }
    }
    assert_eq!(seen, writer.await.expect("the writer ends well"));
}

/// Entries of a page, and the changes after the page's revision, give the present state, whoever writes meanwhile.
pub async fn a_page_and_a_watch_join_without_gap<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let writers = spawn_writers(&store);
    let page = store.range(&Range::of(prefix("n"))).await.expect("the store reads");
    let mut state: BTreeMap<Key, Vec<u8>> = page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut watch = watch(&store, "n", WatchFrom::After(page.revision)).await;
    let last = finish(writers).await.into_iter().max().expect("there were writers");
    while let Some(changes) = until(&mut watch, last).await {
        changes.changes.into_iter().for_each(|change| replay(&mut state, change));
    }
    assert_eq!(state, present(&store).await);
}

/// Many writers at once, and watchers from before, from amid, and taken up again at each step: all are told the same.
pub async fn watches_and_many_writers_agree<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let start = put(&store, "before", "").await;
    let steady = spawn_watcher(store.clone(), start, usize::MAX);
    let interrupted = spawn_watcher(store.clone(), start, 3);
    let mut revisions = finish(spawn_writers(&store)).await;
    revisions.sort_unstable();
    let late = spawn_watcher(store.clone(), start, usize::MAX);
    assert_ascending(&revisions);
    for watcher in [steady, interrupted, late] {
        assert_eq!(watcher.await.expect("the watcher ends well"), revisions);
    }
}

/// What is gone, and what is not reached yet, is refused with the revisions named; what is kept can still be watched.
pub async fn compacted_and_future_revisions_are_refused<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let first = put(&store, "vm/1", "1").await;
    let mut slow = watch(&store, "vm", WatchFrom::After(first)).await;
    put(&store, "vm/1", "2").await;
    let through = put(&store, "vm/1", "3").await;
    let last = put(&store, "vm/1", "4").await;
    store.compact(through).await.expect("the store compacts");
    store.compact(first).await.expect("compacting less is no error");
    let refused = store.watch(&prefix("vm"), WatchFrom::After(first)).await.err();
    assert!(matches!(refused, Some(StoreError::Compacted { after, .. }) if after == first), "{refused:?}");
    let refused = slow.next().await.err();
    assert!(matches!(refused, Some(StoreError::Compacted { .. })), "{refused:?}");
    let mut kept = watch(&store, "vm", WatchFrom::After(through)).await;
    assert_eq!(told(&mut kept).await, (last, vec!["+vm/1=4".to_owned()]));
    let future = Revision::new(last.number() + 1_000_000);
    let refused = store.watch(&prefix("vm"), WatchFrom::After(future)).await.err();
    assert!(matches!(refused, Some(StoreError::Future { asked, .. }) if asked == future), "{refused:?}");
    assert!(matches!(store.compact(future).await, Err(StoreError::Future { .. })));
    assert_eq!(super::value(&store, "vm/1").await.as_deref(), Some("4"));
}

async fn watch(store: &Arc<dyn Store>, below: &str, from: WatchFrom) -> Box<dyn Watch> {
    store.watch(&prefix(below), from).await.expect("the store watches")
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("the suite's prefixes are good")
}

fn spawn_writers(store: &Arc<dyn Store>) -> Vec<JoinHandle<Vec<Revision>>> {
    (0..WRITERS).map(|writer| spawn_writer(store.clone(), writer, TXNS_EACH)).collect()
}

/// Puts and deletes keys of its own and one that all writers share, and tells its revisions.
fn spawn_writer(store: Arc<dyn Store>, writer: usize, count: usize) -> JoinHandle<Vec<Revision>> {
    tokio::spawn(async move {
        let mut revisions = Vec::new();
        for number in 0..count {
            let own = key(&format!("n/{writer}/{}", number / 2));
            let txn = Txn::new().put(key("n/shared"), format!("{writer}/{number}"));
            let txn = if number % 2 == 0 { txn.put(own, "x") } else { txn.delete(own) };
            revisions.push(committed(&store, txn).await);
        }
        revisions
    })
}

async fn finish(writers: Vec<JoinHandle<Vec<Revision>>>) -> Vec<Revision> {
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.extend(writer.await.expect("the writer ends well"));
    }
    revisions
}

/// The revisions that a watcher is told, until it has been told of all writers' last; it begins anew after `each` of them.
fn spawn_watcher(store: Arc<dyn Store>, start: Revision, each: usize) -> JoinHandle<Vec<Revision>> {
    tokio::spawn(async move {
        let mut seen: Vec<Revision> = Vec::new();
        while seen.len() < WRITERS * TXNS_EACH {
            let from = seen.last().copied().unwrap_or(start);
            let mut watch = watch(&store, "n", WatchFrom::After(from)).await;
            for _ in 0..each.min(WRITERS * TXNS_EACH - seen.len()) {
                seen.push(watch.next().await.expect("the watch goes on").revision);
            }
        }
        seen
    })
}

/// The next changes, unless the watch has told all up to `last`.
async fn until(watch: &mut Box<dyn Watch>, last: Revision) -> Option<Changes> {
    timeout(Duration::from_millis(300), watch.next()).await.ok().map(|changes| {
        let changes = changes.expect("the watch goes on");
        assert!(changes.revision <= last);
        changes
    })
}

fn replay(state: &mut BTreeMap<Key, Vec<u8>>, change: Change) {
    match change {
        Change::Put(entry) => drop(state.insert(entry.key, entry.value)),
        Change::Deleted(key) => drop(state.remove(&key)),
    }
}

async fn present(store: &Arc<dyn Store>) -> BTreeMap<Key, Vec<u8>> {
    let page = store.range(&Range::of(prefix("n"))).await.expect("the store reads");
    page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}
