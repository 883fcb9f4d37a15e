//! What a read and a durable commit cost, the way to the store's thread included.

use std::{sync::Arc, thread};

use cadenas_store::{CommitOutcome, Key, Prefix, Range, SqliteStore, Store, Txn};
use divan::Bencher;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// About the size of a task's record.
const VALUE: [u8; 400] = [b'x'; 400];
const ENTRIES: usize = 100;
const WRITERS: usize = 16;

fn main() {
    divan::main();
}

#[divan::bench]
fn get(bencher: Bencher<'_, '_>) {
    let subject = Subject::new();
    bencher.bench_local(|| subject.runtime.block_on(subject.store.get(&key("entry/50"))));
}

#[divan::bench]
fn range_of_100(bencher: Bencher<'_, '_>) {
    let subject = Subject::new();
    bencher.bench_local(|| subject.runtime.block_on(subject.store.range(&Range::of(Prefix::below(&key("entry"))))));
}

#[divan::bench(sample_count = 500)]
fn commit(bencher: Bencher<'_, '_>) {
    let subject = Subject::new();
    bencher.bench_local(|| subject.runtime.block_on(put(&subject.store, "entry/50".to_owned())));
}

/// The time for all 16, which share flushes.
#[divan::bench]
fn commit_by_16_writers_at_once(bencher: Bencher<'_, '_>) {
    let subject = Subject::new();
    bencher.bench_local(|| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| (subject.store.clone(), format!("entry/{number}")))
            .map(|(store, text)| subject.runtime.spawn(async move { put(&store, text).await }))
            .collect();
        subject.runtime.block_on(async {
            for writer in writers {
                writer.await.expect("the writer ends well");
            }
        });
    });
}

/// What the disk itself takes: one write and one flush.
#[divan::bench(sample_count = 500)]
fn bare_write_and_flush(bencher: Bencher<'_, '_>) {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = std::fs::File::create(folder.path().join("file")).expect("a file");
    file.write_all_at(&vec![1; 1 << 20], 0).expect("the disk has room");
    bencher.bench_local(|| {
        file.write_all_at(&[2; 12 << 10], 4096).expect("the disk has room");
        file.sync_data().expect("the disk flushes");
    });
}

struct Subject {
    runtime: Runtime,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("store.db")).expect("the store opens");
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("a runtime");
        let subject = Self { runtime, store: Arc::new(store), _folder: folder };
        for number in 0..ENTRIES {
            subject.runtime.block_on(put(&subject.store, format!("entry/{number}")));
        }
        subject
    }
}

async fn put(store: &Arc<dyn Store>, text: String) {
    let outcome = store.commit(Txn::new().put(key(&text), VALUE)).await.expect("the store takes a commit");
    assert!(matches!(outcome, CommitOutcome::Committed { .. }));
}

fn key(text: &str) -> Key {
    text.parse().expect("a good key")
}
