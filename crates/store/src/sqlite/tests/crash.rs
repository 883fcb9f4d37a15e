//! A process that is killed, a log that is cut, a file that is damaged.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{open, put};
use crate::{CommitOutcome, Prefix, Range, SqliteStore, Store, Txn};

/// Set by [`killing_the_process_loses_no_acknowledged_commit`] for the process that it starts.
const KILLED_FILE: &str = "CADENAS_STORE_TEST_KILLED_FILE";
const ROUNDS: u32 = 6;
const WRITERS: usize = 4;

#[tokio::test]
async fn killing_the_process_loses_no_acknowledged_commit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = start_writer(&path);
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let killer = thread::spawn(move || kill_after(child, Duration::from_millis(150 + u64::from(round) * 37)));
        for line in lines.map_while(Result::ok) {
            note(&mut acknowledged, &line);
        }
        killer.join().expect("the writer is killed");
        assert_whole(&path, &acknowledged).await;
    }
    assert!(acknowledged.values().all(|number| *number > u64::from(ROUNDS)), "hardly written: {acknowledged:?}");
}

/// Commits pairs without end and tells each that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the test above"]
async fn writer_without_end() {
    let path = std::env::var(KILLED_FILE).expect("the parent sets the file");
    let store = std::sync::Arc::new(open(Path::new(&path)));
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_pairs(store.clone(), writer))).collect();
    for writer in writers {
        writer.await.expect("the writer goes on until it is killed");
    }
}

async fn write_pairs(store: std::sync::Arc<SqliteStore>, writer: usize) {
    let page = store.range(&below(&format!("left/{writer}"))).await.expect("the store reads");
    for number in page.entries.len().. {
        let put_side =
            |txn: Txn, side| txn.put(super::key(&format!("{side}/{writer}/{number:06}")), number.to_string());
        let txn = ["left", "right"].into_iter().fold(Txn::new(), put_side);
        let outcome = store.commit(txn).await.expect("the store takes a commit");
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
        // One write for a line, so that none is torn by the kill.
        std::io::stdout().write_all(format!("acknowledged {writer} {number}\n").as_bytes()).expect("the parent reads");
    }
}

fn start_writer(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("the test knows its program"))
        .args(["--exact", "sqlite::tests::crash::writer_without_end", "--ignored", "--nocapture"])
        .env(KILLED_FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts")
}

fn kill_after(mut child: Child, time: Duration) {
    thread::sleep(time);
    child.kill().expect("SIGKILL is sent");
    child.wait().expect("the writer ends");
}

fn note(acknowledged: &mut BTreeMap<usize, u64>, line: &str) {
    if let Some((_, words)) = line.split_once("acknowledged ")
        && let Some((writer, number)) = words.split_once(' ')
    {
        acknowledged.insert(writer.parse().expect("a number"), number.parse().expect("a number"));
    }
}

async fn assert_whole(path: &Path, acknowledged: &BTreeMap<usize, u64>) {
    let store = open(path);
    for (writer, last) in acknowledged {
        let left = store.range(&below(&format!("left/{writer}"))).await.expect("the store reads").entries;
        let right = store.range(&below(&format!("right/{writer}"))).await.expect("the store reads").entries;
        let expected = usize::try_from(*last).expect("a small number") + 1;
        assert!(left.len() >= expected, "writer {writer}: {} of {expected} acknowledged commits are there", left.len());
        let parts = |entries: &[crate::Entry]| -> Vec<_> {
            entries.iter().map(|entry| (entry.key.last_segment().to_owned(), entry.revision)).collect()
        };
        assert_eq!(parts(&left), parts(&right), "half a transaction of writer {writer}");
    }
}

/// A power cut may leave any part of the log: whatever its length, what is read is the state after one of the commits.
#[tokio::test]
async fn a_log_cut_anywhere_leaves_a_whole_state() {
    const COMMITS: u64 = 12;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    for number in 0..COMMITS {
        let txn = Txn::new().put(super::key("left"), number.to_string()).put(super::key("right"), number.to_string());
        let outcome = store.commit(txn).await.expect("the store takes a commit");
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    }
    let (file, log) = (fs::read(&path).expect("the file reads"), fs::read(log_of(&path)).expect("the log reads"));
    drop(store);
    let mut seen = std::collections::BTreeSet::new();
    let cut = folder.path().join("cut.db");
    for len in (0..=log.len()).rev().step_by(997) {
        fs::write(&cut, &file).expect("a copy");
        fs::write(log_of(&cut), &log[..len]).expect("a copy");
        seen.insert(state_after_cut(&cut).await);
    }
    assert!(seen.len() > 5, "too few different states: {seen:?}");
    assert_eq!(seen.last(), Some(&COMMITS), "the whole log gives the last state");
}

/// The revision of the state, whose two values must belong to it.
async fn state_after_cut(path: &Path) -> u64 {
    let store = open(path);
    let page = store.range(&Range::of(Prefix::all())).await.expect("the store reads");
    let values: Vec<_> = page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
    let revision = page.revision.number();
    match revision.checked_sub(1) {
        None => assert!(values.is_empty()),
        Some(number) => assert_eq!(values, [number.to_string(), number.to_string()]),
    }
    revision
}

/// Damage is an error, or is not noticed; it is never a crash or a hang.
#[tokio::test]
async fn a_damaged_file_is_survived() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    for number in 0..40 {
        put(&store, &format!("n/{number}"), vec![b'x'; 300]).await;
    }
    drop(store);
    let sound = fs::read(&path).expect("the file reads");
    let damaged = folder.path().join("damaged.db");
    for position in (0..sound.len()).step_by(151).chain(0..100) {
        let mut bytes = sound.clone();
        bytes[position] ^= 0xff;
        fs::write(&damaged, &bytes).expect("a copy");
        let _ = fs::remove_file(log_of(&damaged));
        if let Ok(store) = SqliteStore::open(&damaged) {
            let _ = store.range(&Range::of(Prefix::all())).await;
            let _ = store.commit(Txn::new().put(super::key("n/0"), "again")).await;
        }
    }
}

fn below(prefix: &str) -> Range {
    Range::of(prefix.parse().expect("a good prefix"))
}

fn log_of(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}
