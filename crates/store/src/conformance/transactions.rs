//! Compare-and-set, atomicity, durability.

use std::sync::Arc;

use super::{committed, conflict, key, put, value};
use crate::{CommitOutcome, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, MAX_VALUE_BYTES, Prefix, Range, Store, StoreError, Txn};

/// `if_absent` holds until the key is put, and again after it is deleted.
pub async fn absence_is_compared_and_set<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let create = |text: &str| Txn::new().if_absent(key("vm/1")).put(key("vm/1"), text);
    assert_eq!(value(&store, "vm/1").await, None);
    committed(&store, create("first")).await;
    assert_eq!(conflict(&store, create("second")).await, [key("vm/1")]);
    assert_eq!(value(&store, "vm/1").await.as_deref(), Some("first"));
    committed(&store, Txn::new().delete(key("vm/1"))).await;
    committed(&store, create("third")).await;
    assert_eq!(value(&store, "vm/1").await.as_deref(), Some("third"));
}

/// `if_revision` holds for the last revision of the key alone: not for older ones, nor for a key that is gone.
pub async fn revisions_are_compared_and_set<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let first = put(&store, "vm/1", "a").await;
    let beside = put(&store, "vm/2", "b").await;
    let update = |revision, text: &str| Txn::new().if_revision(key("vm/1"), revision).put(key("vm/1"), text);
    assert_eq!(conflict(&store, update(beside, "x")).await, [key("vm/1")]);
    let second = committed(&store, update(first, "c")).await;
    assert!(second > first);
    assert_eq!(conflict(&store, update(first, "x")).await, [key("vm/1")]);
    // The same value again is a new revision too: who read the old one must read again.
    let third = committed(&store, update(second, "c")).await;
    committed(&store, Txn::new().if_revision(key("vm/1"), third).delete(key("vm/1"))).await;
    assert_eq!(conflict(&store, update(third, "x")).await, [key("vm/1")]);
    put(&store, "vm/1", "again").await;
    assert_eq!(conflict(&store, update(third, "x")).await, [key("vm/1")]);
}

/// One comparison that fails stops every write, and all that failed are told.
pub async fn a_conflict_names_every_key_and_writes_nothing<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let revision = put(&store, "a", "1").await;
    put(&store, "b", "1").await;
    let txn = Txn::new()
        .if_revision(key("a"), revision)
        .if_absent(key("b"))
        .if_revision(key("c"), revision)
        .put(key("a"), "2")
        .put(key("d"), "2")
        .delete(key("b"));
    assert_eq!(conflict(&store, txn).await, [key("b"), key("c")]);
    let page = store.range(&Range::of(Prefix::all())).await.expect("the store reads");
    let left: Vec<_> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_slice())).collect();
    assert_eq!(left, [("a", b"1".as_slice()), ("b", b"1".as_slice())]);
}

/// Puts and deletions appear at once, at one revision; of two writes to one key the later counts.
pub async fn writes_of_a_transaction_share_one_revision<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    put(&store, "old", "1").await;
    let txn = Txn::new().put(key("x"), "lost").put(key("y"), "2").delete(key("old")).put(key("x"), "1");
    let revision = committed(&store, txn).await;
    let page = store.range(&Range::of(Prefix::all())).await.expect("the store reads");
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.revision)).collect();
    assert_eq!(found, [("x", revision), ("y", revision)]);
    assert_eq!(value(&store, "x").await.as_deref(), Some("1"));
    assert_eq!(page.revision, revision);
}

/// Comparisons alone, and deletions of what is not there, leave the revision as it is.
pub async fn a_transaction_without_effect_makes_no_revision<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let revision = put(&store, "a", "1").await;
    assert_eq!(committed(&store, Txn::new()).await, revision);
    assert_eq!(committed(&store, Txn::new().if_revision(key("a"), revision)).await, revision);
    assert_eq!(committed(&store, Txn::new().delete(key("gone"))).await, revision);
}

/// Limits are the same for every store, and the refusal names the key or the numbers.
pub async fn oversized_transactions_are_refused<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let refused = store.commit(Txn::new().put(key("a"), vec![0; MAX_VALUE_BYTES + 1])).await;
    assert!(matches!(refused, Err(StoreError::ValueTooLarge { key, .. }) if key.as_str() == "a"));
    let half = vec![0; MAX_TXN_BYTES / 2];
    let refused = store.commit(Txn::new().put(key("a"), half.clone()).put(key("b"), half)).await;
    assert!(matches!(refused, Err(StoreError::TxnTooLarge { operations: 2, .. })));
    let many = (0..=MAX_TXN_OPERATIONS).fold(Txn::new(), |txn, number| txn.put(key(&format!("n/{number}")), ""));
    assert!(matches!(store.commit(many).await, Err(StoreError::TxnTooLarge { .. })));
    let most = (0..MAX_TXN_OPERATIONS).fold(Txn::new(), |txn, number| {
        txn.if_absent(key(&format!("n/{number}"))).put(key(&format!("n/{number}")), "")
    });
    committed(&store, most).await;
}

/// Every byte, none at all, and as many as there may be.
pub async fn values_come_back_as_they_were_put<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for bytes in [every_byte, Vec::new(), vec![0xa5; MAX_VALUE_BYTES]] {
        let revision = committed(&store, Txn::new().put(key("a/b/c"), bytes.clone())).await;
        let entry = store.get(&key("a/b/c")).await.expect("the store reads").expect("the entry is there");
        assert_eq!((entry.key, entry.revision), (key("a/b/c"), revision));
        assert!(entry.value == bytes, "a value of {} bytes changed", bytes.len());
    }
}

/// Of many tasks that read, add one and compare-and-set, none overwrites another.
pub async fn concurrent_increments_are_all_counted<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    const TASKS: usize = 8;
    const EACH: usize = 25;
    let store = open().await;
    put(&store, "counter", "0").await;
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(increments(store.clone(), EACH))).collect();
    for task in tasks {
        task.await.expect("an incrementing task ends well");
    }
    assert_eq!(value(&store, "counter").await, Some((TASKS * EACH).to_string()));
}

async fn increments(store: Arc<dyn Store>, count: usize) {
    for _ in 0..count {
        while !increment(&store).await {}
    }
}

async fn increment(store: &Arc<dyn Store>) -> bool {
    let entry = store.get(&key("counter")).await.expect("the store reads").expect("the counter is there");
    let number: usize = String::from_utf8_lossy(&entry.value).parse().expect("the counter is a number");
    let txn = Txn::new().if_revision(entry.key.clone(), entry.revision).put(entry.key, (number + 1).to_string());
    matches!(store.commit(txn).await.expect("the store takes a commit"), CommitOutcome::Committed { .. })
}

/// Entries, their revisions and the history are there after closing and opening, and revisions go on from where they were.
pub async fn what_was_committed_survives_closing<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let start = put(&store, "a", "1").await;
    committed(&store, Txn::new().put(key("b"), "2").delete(key("a"))).await;
    let before = store.range(&Range::of(Prefix::all())).await.expect("the store reads");
    drop(store);
    let store = open().await;
    assert_eq!(store.range(&Range::of(Prefix::all())).await.expect("the store reads"), before);
    let mut watch = store.watch(&Prefix::all(), crate::WatchFrom::After(start)).await.expect("the history is kept");
    assert_eq!(super::told(&mut watch).await, (before.revision, vec!["-a".to_owned(), "+b=2".to_owned()]));
    assert!(put(&store, "c", "3").await > before.revision);
}
