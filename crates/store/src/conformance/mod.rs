//! What every store promises, as one suite.
//!
//! Each function proves one promise. It takes `open`, which opens the same store each time it is called: the same file, or
//! the same part of a cluster. The store is empty at first, and the suite assumes nothing of the number of its revisions.
//! [`crate::conformance_tests`] makes a test of each.

mod model;
mod ranges;
mod transactions;
mod watches;

use std::{fmt::Debug, sync::Arc};

pub use model::agrees_with_a_model;
pub use ranges::{
    a_range_holds_its_prefix_in_order, pages_follow_each_other_both_ways, the_limit_leaves_out_and_says_so,
};
pub use transactions::{
    a_conflict_names_every_key_and_writes_nothing, a_transaction_without_effect_makes_no_revision,
    absence_is_compared_and_set, concurrent_increments_are_all_counted, oversized_transactions_are_refused,
    revisions_are_compared_and_set, values_come_back_as_they_were_put, what_was_committed_survives_closing,
    writes_of_a_transaction_share_one_revision,
};
pub use watches::{
    a_cancelled_wait_loses_nothing, a_page_and_a_watch_join_without_gap, a_watch_from_now_tells_what_comes,
    a_watch_from_the_past_tells_what_was, a_watch_tells_its_prefix_in_whole_transactions,
    compacted_and_future_revisions_are_refused, watches_and_many_writers_agree,
};

use crate::{Change, CommitOutcome, Key, Revision, Store, Txn, Watch};

/// Makes a test of every promise for one store.
///
/// `$fresh` is called once in each test; it returns the `open` function of a new, empty store.
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:path) => {
        $crate::conformance_tests! { $fresh =>
            absence_is_compared_and_set
            revisions_are_compared_and_set
            a_conflict_names_every_key_and_writes_nothing
            writes_of_a_transaction_share_one_revision
            a_transaction_without_effect_makes_no_revision
            oversized_transactions_are_refused
            values_come_back_as_they_were_put
            concurrent_increments_are_all_counted
            what_was_committed_survives_closing
            a_range_holds_its_prefix_in_order
            the_limit_leaves_out_and_says_so
            pages_follow_each_other_both_ways
            a_watch_from_now_tells_what_comes
            a_watch_from_the_past_tells_what_was
            a_watch_tells_its_prefix_in_whole_transactions
            a_cancelled_wait_loses_nothing
            a_page_and_a_watch_join_without_gap
            watches_and_many_writers_agree
            compacted_and_future_revisions_are_refused
            agrees_with_a_model
        }
    };
    ($fresh:path => $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::conformance::$promise($fresh()).await;
            }
        )+
    };
}

fn key(text: &str) -> Key {
    text.parse().expect("the suite's keys are good")
}

/// Commits a transaction that must not conflict.
async fn committed(store: &Arc<dyn Store>, txn: Txn) -> Revision {
    match store.commit(txn).await.expect("the store takes a commit") {
        CommitOutcome::Committed { revision } => revision,
        CommitOutcome::Conflict { keys } => panic!("unexpected conflict on {keys:?}"),
    }
}

async fn put(store: &Arc<dyn Store>, text: &str, value: &str) -> Revision {
    committed(store, Txn::new().put(key(text), value)).await
}

async fn conflict(store: &Arc<dyn Store>, txn: Txn) -> Vec<Key> {
    match store.commit(txn).await.expect("the store takes a commit") {
        CommitOutcome::Conflict { keys } => keys,
        CommitOutcome::Committed { revision } => panic!("unexpected commit at {revision}"),
    }
}

async fn value(store: &Arc<dyn Store>, text: &str) -> Option<String> {
    let entry = store.get(&key(text)).await.expect("the store reads")?;
    Some(String::from_utf8(entry.value).expect("the suite puts text"))
}

/// The next transaction that a watch tells, as `(revision, ["+key=value", "-key"])`.
async fn told(watch: &mut Box<dyn Watch>) -> (Revision, Vec<String>) {
    let changes = watch.next().await.expect("the watch goes on");
    (changes.revision, changes.changes.iter().map(shown).collect())
}

fn shown(change: &Change) -> String {
    match change {
        Change::Put(entry) => format!("+{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
        Change::Deleted(key) => format!("-{key}"),
    }
}

fn assert_ascending<T: PartialOrd + Debug>(items: &[T]) {
    assert!(items.is_sorted_by(|a, b| a < b), "not strictly ascending: {items:?}");
}
