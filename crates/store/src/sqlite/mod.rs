//! The store of one machine: a `SQLite` file in write-ahead mode, flushed at every commit.
//!
//! One thread owns the one connection; everybody else sends it requests, so that no file access blocks the async runtime.
//! Transactions that wait while another is being flushed share the next flush.

mod database;
mod file;
#[cfg(test)]
mod tests;
mod watch;
mod worker;

use std::path::Path;

use async_trait::async_trait;

use crate::{CommitOutcome, Entry, Key, Page, Prefix, Range, Revision, Store, StoreError, Txn, Watch, WatchFrom};
use database::Database;
pub use file::OpenError;
use watch::SqliteWatch;
use worker::Worker;

/// How many revisions watches can look back, at least. Enough for a watcher that was away for some minutes.
const KEPT_REVISIONS: u64 = 1000;

/// A [`Store`] in one file, for one process.
///
/// Beside the file lies its log, `…-wal`, while the store is open; after a crash the log is read back at the next opening.
/// Dropping the store finishes what was asked, and closes the file.
pub struct SqliteStore {
    worker: Worker,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it, for its owner alone (mode 0600). The folder must exist.
    ///
    /// The file is locked until the store is dropped. Blocks for some milliseconds.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::open(path)?;
        let worker = Worker::start(database).map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { worker })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let key = key.clone();
        self.worker.requests().read(move |database| database.get(&key)).await
    }

    async fn range(&self, range: &Range) -> Result<Page, StoreError> {
        let range = range.clone();
        self.worker.requests().read(move |database| database.range(&range)).await
    }

    async fn commit(&self, txn: Txn) -> Result<CommitOutcome, StoreError> {
        txn.check_size()?;
        self.worker.requests().commit(txn).await
    }

    async fn watch(&self, prefix: &Prefix, from: WatchFrom) -> Result<Box<dyn Watch>, StoreError> {
        let requests = self.worker.requests().clone();
        let after = requests.read(move |database| database.watch_start(from)).await?;
        Ok(Box::new(SqliteWatch::new(requests, prefix.clone(), after)))
    }

    async fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.worker.requests().write(move |database| database.compact(through)).await
    }
}
