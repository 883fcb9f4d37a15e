//! The server's state: ordered keys, compare-and-set transactions, watch.
//!
//! The model is etcd's, so that one machine's `SQLite` file ([`SqliteStore`]) and a cluster's etcd stand behind the same
//! trait and pass the same suite (`conformance`, feature `testing`):
//!
//! - One [`Revision`] counts the whole store's changes. Every entry knows the revision that wrote it.
//! - A [`Txn`] is a list of comparisons and a set of writes. Either every comparison holds and all writes appear at one
//!   revision, or nothing changes.
//! - A [`Watch`] tells every change under a prefix from a revision on: in order, each once, none left out, and all changes
//!   of one transaction together.
//!
//! Values are bytes of at most [`MAX_VALUE_BYTES`]; [`StoreExt`] and [`Record`] read and write them as versioned JSON.
//! The store seals nothing: secrets come to it sealed.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod entry;
mod error;
mod key;
mod record;
mod sqlite;
mod txn;

use async_trait::async_trait;

pub use entry::{Change, Changes, Entry, Order, Page, Range, Revision, WatchFrom};
pub use error::StoreError;
pub use key::{Key, KeyError, MAX_KEY_BYTES, Prefix};
pub use record::{Record, StoreExt, Stored, StoredPage};
pub use sqlite::{OpenError, SqliteStore};
pub use txn::{CommitOutcome, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, MAX_VALUE_BYTES, Txn};

/// An ordered map of keys to bytes that many tasks change by compare-and-set.
///
/// Every method may be called from many tasks at once. A future that is dropped before it is done leaves the store sound;
/// whether a dropped [`Self::commit`] took place is then unknown.
#[async_trait]
pub trait Store: Send + Sync {
    /// The entry under `key`, or `None` when there is none.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// The entries in `range`, all read at one revision, which the page tells.
    async fn range(&self, range: &Range) -> Result<Page, StoreError>;

    /// Applies `txn` as one, and returns when it will survive a power cut.
    ///
    /// A transaction that changes nothing (no write, or only deletions of absent keys) makes no new revision.
    /// After an error other than [`StoreError::ValueTooLarge`] and [`StoreError::TxnTooLarge`] it is not known whether the
    /// transaction took place: read again before going on.
    async fn commit(&self, txn: Txn) -> Result<CommitOutcome, StoreError>;

    /// The changes under `prefix` from `from` on, those to come included.
    async fn watch(&self, prefix: &Prefix, from: WatchFrom) -> Result<Box<dyn Watch>, StoreError>;

    /// Forgets the changes up to and including `through`, so that watches may start only after it. Entries stay.
    ///
    /// Compacting again, or less than before, changes nothing. A revision yet to come is refused.
    async fn compact(&self, through: Revision) -> Result<(), StoreError>;
}

/// A stream of changes under one prefix.
#[async_trait]
pub trait Watch: Send {
    /// Waits for the next revision that changed something under the prefix, and tells all it changed there.
    ///
    /// Safe to cancel: a future dropped before it is done loses no change. After [`StoreError::Compacted`] the watcher was
    /// too slow: read the range again, and watch from the page's revision.
    async fn next(&mut self) -> Result<Changes, StoreError>;
}
