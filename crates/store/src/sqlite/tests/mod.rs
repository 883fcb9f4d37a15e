//! What is special to the store in a file.

mod crash;
mod opening;
mod writing;

use std::{future, path::Path, sync::Arc};

use super::SqliteStore;
use crate::{CommitOutcome, Key, Revision, Store, Txn};

mod suite {
    use super::fresh;

    crate::conformance_tests!(fresh);
}

/// Opens the same file each time; the folder lives as long as the function does.
fn fresh() -> impl Fn() -> future::Ready<Arc<dyn Store>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    move || future::ready(Arc::new(open(&folder.path().join("store.db"))))
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("the store opens")
}

fn key(text: &str) -> Key {
    text.parse().expect("a good key")
}

async fn put(store: &SqliteStore, text: &str, value: impl Into<Vec<u8>>) -> Revision {
    match store.commit(Txn::new().put(key(text), value)).await.expect("the store takes a commit") {
        CommitOutcome::Committed { revision } => revision,
        CommitOutcome::Conflict { keys } => panic!("unexpected conflict on {keys:?}"),
    }
}

async fn value(store: &SqliteStore, text: &str) -> Option<Vec<u8>> {
    store.get(&key(text)).await.expect("the store reads").map(|entry| entry.value)
}
