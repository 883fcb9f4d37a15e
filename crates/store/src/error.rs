//! Why a store could not do what was asked.

use std::error::Error as StdError;

use thiserror::Error;

use crate::{Key, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, MAX_VALUE_BYTES, Revision};

/// A failed operation on a store. A comparison that does not hold is no failure: see [`crate::CommitOutcome`].
#[derive(Debug, Error)]
pub enum StoreError {
    /// A value above [`MAX_VALUE_BYTES`].
    #[error("the value of {key} has {len} bytes: at most {MAX_VALUE_BYTES} can be stored")]
    ValueTooLarge {
        /// Where it was to be put.
        key: Key,
        /// Its bytes.
        len: usize,
    },
    /// A transaction above [`MAX_TXN_OPERATIONS`] or [`MAX_TXN_BYTES`].
    #[error(
        "a transaction of {operations} operations and {bytes} bytes is too large: \
         split it into parts of at most {MAX_TXN_OPERATIONS} operations and {MAX_TXN_BYTES} bytes"
    )]
    TxnTooLarge {
        /// The greater of its number of comparisons and its number of writes.
        operations: usize,
        /// Bytes of its keys and values.
        bytes: usize,
    },
    /// The changes asked for are not kept any more.
    #[error("the changes after revision {after} are gone up to {compacted}: read again, and watch from there")]
    Compacted {
        /// Where the watch stood or was to begin.
        after: Revision,
        /// The last revision whose changes are gone.
        compacted: Revision,
    },
    /// A revision that this store has not reached: it belongs to other data, as before a backup was put back.
    #[error("revision {asked} is not reached yet, the store is at {current}: read again, and watch from there")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The store's revision.
        current: Revision,
    },
    /// A value that is not JSON of the expected form.
    #[error("the value of {key} cannot be read: it was damaged, or written by another program")]
    BrokenValue {
        /// Where it stands.
        key: Key,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A value of a later form than this program knows.
    #[error("the value of {key} has form {found}, and this program knows {known}: start the newer program again")]
    UnknownVersion {
        /// Where it stands.
        key: Key,
        /// The form it has.
        found: u32,
        /// The form that this program reads.
        known: u32,
    },
    /// A value that has no JSON form.
    #[error("the value for {key} cannot be written as JSON")]
    NotStorable {
        /// Where it was to be put.
        key: Key,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// No space for a write. Reads go on.
    #[error("no space is left for {store}: make room and try again; reads still work")]
    Full {
        /// The store's file or address.
        store: String,
        /// What the store said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The store takes no writes. Reads go on.
    #[error("{store} cannot be written: make its folder writable and try again; reads still work")]
    ReadOnly {
        /// The store's file or address.
        store: String,
        /// What the store said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The store's content is not sound.
    #[error("{store} is damaged: stop the server, and put back a copy of it")]
    Damaged {
        /// The store's file or address.
        store: String,
        /// What the store said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Anything else that failed below.
    #[error("could not {operation} in {store}: check its disk and folder, and try again")]
    Failed {
        /// What was asked, as "read an entry".
        operation: &'static str,
        /// The store's file or address.
        store: String,
        /// What the store said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The store was closed while the request waited.
    #[error("{store} is closed: the server is stopping")]
    Closed {
        /// The store's file or address.
        store: String,
    },
}
