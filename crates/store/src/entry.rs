//! What a store holds and tells: entries, pages, changes, revisions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Key, Prefix};

/// A point in the store's history; each transaction that changes something makes the next one.
///
/// Revisions only grow. They are not counted densely in every store: between two of ours, others may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// The revision with this number, as [`Self::number`] told it earlier.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be kept or sent.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, as it was put.
    pub value: Vec<u8>,
    /// The revision that last put it; what [`crate::Txn::if_revision`] compares.
    pub revision: Revision,
}

/// Which way a range is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Least key first; with keys that begin with a time or number, newest last.
    #[default]
    Ascending,
    /// Greatest key first.
    Descending,
}

/// Which entries to read, and in what order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) prefix: Prefix,
    pub(crate) order: Order,
    pub(crate) after: Option<Key>,
    pub(crate) limit: Option<u32>,
}

impl Range {
    /// Every entry below `prefix`, ascending.
    #[must_use]
    pub fn of(prefix: Prefix) -> Self {
        Self { prefix, order: Order::Ascending, after: None, limit: None }
    }

    /// Reads in this order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Starts behind `key`, in reading order; the key need not exist. Give the last key of a page to read the next one.
    #[must_use]
    pub fn after(mut self, key: Key) -> Self {
        self.after = Some(key);
        self
    }

    /// Reads at most this many entries. 0 reads none, and still tells the revision and whether there are any.
    #[must_use]
    pub fn limit(mut self, entries: u32) -> Self {
        self.limit = Some(entries);
        self
    }

    /// Every key of the range lies in `start..end`, and every entry there belongs to it.
    pub(crate) fn bounds(&self) -> (String, String) {
        let (start, end) = self.prefix.bounds();
        match (&self.after, self.order) {
            (None, _) => (start, end),
            // The least text above the key: no key holds a NUL.
            (Some(after), Order::Ascending) => (start.max(format!("{after}\0")), end),
            (Some(after), Order::Descending) => (start, end.min(after.to_string())),
        }
    }
}

/// Entries of one range, read at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the range's order.
    pub entries: Vec<Entry>,
    /// Whether the limit left entries out.
    pub more: bool,
    /// The store's revision when it was read: [`WatchFrom::After`] this misses nothing.
    pub revision: Revision,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the first change after the watch was made.
    Now,
    /// With the first change after this revision: that of a page that was read, or of the last changes seen.
    After(Revision),
}

/// All that one transaction changed under the watched prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The transaction's revision; [`WatchFrom::After`] it goes on from here.
    pub revision: Revision,
    /// At least one change, each of another key, in the order of the keys.
    pub changes: Vec<Change>,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was put, new or in place of an older value.
    Put(Entry),
    /// It was deleted.
    Deleted(Key),
}

impl Change {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted(key) => key,
        }
    }
}
