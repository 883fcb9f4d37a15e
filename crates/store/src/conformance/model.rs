//! Random operations on the store and on a map must give the same answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use tokio::{runtime::Handle, task::block_in_place};

use super::key;
use crate::{Change, Changes, CommitOutcome, Entry, Key, Order, Page, Prefix, Range, Revision, Store, Txn, WatchFrom};

const CASES: u32 = 48;
/// Few keys, at several depths, so that operations meet.
const KEYS: [&str; 7] = ["a", "a/1", "a/2", "a/2/x", "a-1", "b/1", "b/2"];

/// Any sequence of transactions and reads is answered as an ordered map would, and a watch tells it all in the end.
pub async fn agrees_with_a_model<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = open().await;
    let case = AtomicU32::new(0);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = block_in_place(|| {
        TestRunner::new(config).run(&vec(operation(), 1..24), |operations| {
            // Each case works below a prefix of its own, where the store is empty.
            let root = key(&format!("case-{}", case.fetch_add(1, Ordering::Relaxed)));
            Handle::current().block_on(compare(&store, root, operations));
            Ok(())
        })
    });
    outcome.expect("the store answers as the model does");
}

#[derive(Clone, Debug)]
enum Operation {
    Commit { compares: Vec<(usize, Expected)>, writes: Vec<(usize, Option<u8>)> },
    Get(usize),
    Range { below: Option<usize>, order: Order, after: Option<usize>, limit: Option<u32> },
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Absent,
    /// The key's own revision, or the store's where it has none.
    Current,
    /// A revision of before the first operation.
    Older,
}

fn operation() -> impl Strategy<Value = Operation> {
    let index = || 0..KEYS.len();
    let expected = prop_oneof![Just(Expected::Absent), Just(Expected::Current), Just(Expected::Older)];
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    prop_oneof![
        3 => (vec((index(), expected), 0..3), vec((index(), option::of(any::<u8>())), 0..4))
            .prop_map(|(compares, writes)| Operation::Commit { compares, writes }),
        1 => index().prop_map(Operation::Get),
        1 => (option::of(index()), order, option::of(index()), option::of(0..4_u32))
            .prop_map(|(below, order, after, limit)| Operation::Range { below, order, after, limit }),
    ]
}

async fn compare(store: &Arc<dyn Store>, root: Key, operations: Vec<Operation>) {
    let below = Prefix::below(&root);
    let start = store.range(&Range::of(below.clone())).await.expect("the store reads").revision;
    let mut model = Model { root, entries: BTreeMap::new(), log: Vec::new(), revision: start, start };
    for operation in operations {
        model.step(store, operation).await;
    }
    let mut watch = store.watch(&below, WatchFrom::After(start)).await.expect("the history is kept");
    for expected in &model.log {
        assert_eq!(watch.next().await.expect("the watch goes on"), *expected);
    }
}

struct Model {
    root: Key,
    entries: BTreeMap<Key, Entry>,
    log: Vec<Changes>,
    revision: Revision,
    start: Revision,
}

impl Model {
    async fn step(&mut self, store: &Arc<dyn Store>, operation: Operation) {
        match operation {
            Operation::Get(index) => {
                let key = self.key(index);
                assert_eq!(store.get(&key).await.expect("the store reads").as_ref(), self.entries.get(&key));
            }
            Operation::Range { below, order, after, limit } => {
                let prefix = Prefix::below(&below.map_or_else(|| self.root.clone(), |index| self.key(index)));
                let after = after.map(|index| self.key(index));
                let range = Range { prefix, order, after, limit };
                assert_eq!(store.range(&range).await.expect("the store reads"), self.page(&range));
            }
            Operation::Commit { compares, writes } => {
                let (txn, conflicts) = self.txn(&compares, &writes);
                match store.commit(txn).await.expect("the store takes a commit") {
                    CommitOutcome::Conflict { keys } => assert_eq!(keys, conflicts),
                    CommitOutcome::Committed { revision } => {
                        assert!(conflicts.is_empty(), "{conflicts:?} should conflict");
                        self.apply(&writes, revision);
                    }
                }
            }
        }
    }

    fn key(&self, index: usize) -> Key {
        key(&format!("{}/{}", self.root, KEYS[index]))
    }

    /// The transaction, and the keys whose comparisons must fail.
    fn txn(&self, compares: &[(usize, Expected)], writes: &[(usize, Option<u8>)]) -> (Txn, Vec<Key>) {
        let (mut txn, mut conflicts) = (Txn::new(), Vec::new());
        for (index, expected) in compares {
            let key = self.key(*index);
            let current = self.entries.get(&key).map(|entry| entry.revision);
            let revision = match expected {
                Expected::Absent => None,
                Expected::Current => Some(current.unwrap_or(self.revision)),
                Expected::Older => Some(self.start),
            };
            txn = match revision {
                None => txn.if_absent(key.clone()),
                Some(revision) => txn.if_revision(key.clone(), revision),
            };
            if revision != current {
                conflicts.push(key);
            }
        }
        for (index, value) in writes {
            txn = match value {
                Some(byte) => txn.put(self.key(*index), [*byte]),
                None => txn.delete(self.key(*index)),
            };
        }
        (txn, conflicts)
    }

    fn apply(&mut self, writes: &[(usize, Option<u8>)], revision: Revision) {
        let last: BTreeMap<Key, Option<u8>> = writes.iter().map(|(index, value)| (self.key(*index), *value)).collect();
        let changes: Vec<Change> =
            last.into_iter().filter_map(|(key, value)| self.write(key, value, revision)).collect();
        if changes.is_empty() {
            assert_eq!(revision, self.revision, "a revision without a change");
            return;
        }
        assert!(revision > self.revision, "{revision} does not follow {}", self.revision);
        self.revision = revision;
        self.log.push(Changes { revision, changes });
    }

    fn write(&mut self, key: Key, value: Option<u8>, revision: Revision) -> Option<Change> {
        match value {
            Some(byte) => {
                let entry = Entry { key: key.clone(), value: vec![byte], revision };
                self.entries.insert(key, entry.clone());
                Some(Change::Put(entry))
            }
            None => self.entries.remove(&key).map(|_| Change::Deleted(key)),
        }
    }

    fn page(&self, range: &Range) -> Page {
        let mut entries: Vec<Entry> =
            self.entries.values().filter(|entry| range.prefix.contains(&entry.key)).cloned().collect();
        if range.order == Order::Descending {
            entries.reverse();
        }
        if let Some(after) = &range.after {
            entries.retain(|entry| match range.order {
                Order::Ascending => entry.key > *after,
                Order::Descending => entry.key < *after,
            });
        }
        let limit = range.limit.map_or(usize::MAX, |limit| usize::try_from(limit).expect("a small limit"));
        let more = entries.len() > limit;
        entries.truncate(limit);
        Page { entries, more, revision: self.revision }
    }
}
