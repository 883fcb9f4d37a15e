//! Transactions: comparisons and writes that stand or fall as one.

use std::collections::BTreeMap;

use crate::{Key, Revision, StoreError};

/// Largest value, in bytes: 1 MiB.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Most comparisons, and most writes, in one transaction: etcd's `--max-txn-ops`.
pub const MAX_TXN_OPERATIONS: usize = 128;
/// Most bytes of keys and values in one transaction: etcd's `--max-request-bytes`, less room for its framing.
pub const MAX_TXN_BYTES: usize = 1_400_000;

/// Comparisons, and the writes that take place if all of them hold.
///
/// ```
/// # use cadenas_store::{Key, Txn};
/// # let (provider, name): (Key, Key) = ("provider/1".parse().unwrap(), "provider-name/main".parse().unwrap());
/// let create = Txn::new().if_absent(name.clone()).put(name, "1").put(provider, "{}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Txn {
    pub(crate) compares: Vec<Compare>,
    /// One write for each key, so that a revision changes a key once.
    pub(crate) writes: BTreeMap<Key, Write>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compare {
    pub(crate) key: Key,
    /// The revision that must have last put the key; `None`: the key must be absent.
    pub(crate) revision: Option<Revision>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put(Vec<u8>),
    Delete,
}

impl Txn {
    /// No comparison and no write.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds if there is no entry under `key`.
    pub fn if_absent(mut self, key: Key) -> Self {
        self.compares.push(Compare { key, revision: None });
        self
    }

    /// Holds if the entry under `key` was last put by `revision`.
    pub fn if_revision(mut self, key: Key, revision: Revision) -> Self {
        self.compares.push(Compare { key, revision: Some(revision) });
        self
    }

    /// Puts `value` under `key`. Of several writes to one key in a transaction the last one counts.
    pub fn put(mut self, key: Key, value: impl Into<Vec<u8>>) -> Self {
        self.writes.insert(key, Write::Put(value.into()));
        self
    }

    /// Removes the entry under `key`, if there is one.
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.insert(key, Write::Delete);
        self
    }

    /// Refuses what some store would not take, so that a transaction fits all or none.
    pub(crate) fn check_size(&self) -> Result<(), StoreError> {
        for (key, write) in &self.writes {
            if let Write::Put(value) = write
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(StoreError::ValueTooLarge { key: key.clone(), len: value.len() });
            }
        }
        let operations = self.compares.len().max(self.writes.len());
        let bytes = self.bytes();
        if operations > MAX_TXN_OPERATIONS || bytes > MAX_TXN_BYTES {
            return Err(StoreError::TxnTooLarge { operations, bytes });
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let compares = self.compares.iter().map(|compare| compare.key.as_str().len());
        let writes = self.writes.iter().map(|(key, write)| key.as_str().len() + write.len());
        compares.chain(writes).sum()
    }
}

impl Write {
    fn len(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete => 0,
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum CommitOutcome {
    /// Every comparison held, and all writes are durable.
    Committed {
        /// The revision they made; the store's present one if they changed nothing.
        revision: Revision,
    },
    /// Nothing was written.
    Conflict {
        /// The keys whose comparisons did not hold.
        keys: Vec<Key>,
    },
}
