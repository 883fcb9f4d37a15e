//! Writes that fail, and history that ends.

use std::{path::Path, process::Command};

use super::{super::KEPT_REVISIONS, key, open, put, value};
use crate::{OpenError, Prefix, SqliteStore, Store, StoreError, Txn, WatchFrom};

/// Set by [`a_full_and_a_read_only_file_system_are_told_and_reads_go_on`] for the process that it starts.
const FULL_FOLDER: &str = "CADENAS_STORE_TEST_FULL_FOLDER";

#[tokio::test]
async fn a_full_disk_fails_the_write_alone_and_room_mends_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("store.db"));
    put(&store, "a", "kept").await;
    set(&store, "max_page_count", 20).await;
    let large = store.commit(Txn::new().put(key("a"), "lost").put(key("b"), vec![1; 200_000]));
    let small = store.commit(Txn::new().put(key("c"), "small"));
    let (large, small) = tokio::join!(large, small);
    assert!(matches!(large, Err(StoreError::Full { .. })), "{large:?}");
    assert!(small.is_ok(), "a neighbour in the same flush fails too: {small:?}");
    assert_eq!(value(&store, "a").await, Some(b"kept".to_vec()));
    set(&store, "max_page_count", 1000).await;
    put(&store, "b", vec![1; 200_000]).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so_and_reads_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("store.db"));
    put(&store, "a", "kept").await;
    set(&store, "query_only", 1).await;
    let refused = store.commit(Txn::new().put(key("a"), "lost")).await.expect_err("nothing can be written");
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused:?}");
    assert!(refused.to_string().contains("store.db"));
    assert_eq!(value(&store, "a").await, Some(b"kept".to_vec()));
}

/// On real file systems, which a user namespace may mount; where the machine forbids those, the two tests above remain.
#[test]
fn a_full_and_a_read_only_file_system_are_told_and_reads_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!("mount -t tmpfs -o size=400k none \"${FULL_FOLDER}\" && exec \"$@\"");
    let namespace = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("not run: this machine has no user namespaces");
        return;
    }
    let child = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().expect("the test knows its program"))
        .args(["--exact", "sqlite::tests::writing::inside_a_small_file_system", "--ignored", "--nocapture"])
        .env(FULL_FOLDER, folder.path())
        .output()
        .expect("unshare starts");
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&child.stderr));
}

#[tokio::test]
#[ignore = "needs a small file system of its own: started by the test above"]
async fn inside_a_small_file_system() {
    let folder = std::env::var(FULL_FOLDER).expect("the parent sets the folder");
    let path = Path::new(&folder).join("store.db");
    let store = open(&path);
    let mut stored = 0;
    let refused = loop {
        match store.commit(Txn::new().put(key(&format!("n/{stored}")), vec![7; 9_000])).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(stored > 5, "only {stored} were stored");
    for number in 0..stored {
        assert_eq!(value(&store, &format!("n/{number}")).await, Some(vec![7; 9_000]));
    }
    drop(store);
    let status = Command::new("mount").args(["-o", "remount,ro", &folder]).status().expect("mount starts");
    assert!(status.success());
    let refused = SqliteStore::open(&path).map(drop).expect_err("the file system is read-only");
    assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused:?}");
    let refused = SqliteStore::open(&path.with_extension("new")).map(drop).expect_err("the file system is read-only");
    assert!(matches!(refused, OpenError::File { .. }), "{refused:?}");
}

#[tokio::test]
async fn old_changes_go_by_themselves_and_the_promised_number_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("store.db"));
    let first = put(&store, "n", "0").await;
    let mut revisions = vec![first];
    for number in 1..KEPT_REVISIONS + KEPT_REVISIONS / 4 {
        revisions.push(put(&store, "n", number.to_string()).await);
    }
    let refused = store.watch(&Prefix::all(), WatchFrom::After(first)).await.err();
    assert!(matches!(refused, Some(StoreError::Compacted { .. })), "{refused:?}");
    let kept = usize::try_from(KEPT_REVISIONS).expect("a small number");
    let from = revisions[revisions.len() - 1 - kept];
    let mut watch = store.watch(&Prefix::all(), WatchFrom::After(from)).await;
    let watch = watch.as_mut().expect("so many are kept");
    for expected in &revisions[revisions.len() - kept..] {
        assert_eq!(watch.next().await.expect("the watch goes on").revision, *expected);
    }
}

#[tokio::test]
async fn a_watch_that_outlives_its_store_is_told_that_it_is_closed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("store.db"));
    let mut watch = store.watch(&Prefix::all(), WatchFrom::Now).await.expect("the store watches");
    drop(store);
    assert!(matches!(watch.next().await, Err(StoreError::Closed { .. })));
}

async fn set(store: &SqliteStore, pragma: &'static str, number: i64) {
    let requests = store.worker.requests();
    requests.write(move |database| database.set_pragma(pragma, number)).await.expect("the pragma is set");
}
