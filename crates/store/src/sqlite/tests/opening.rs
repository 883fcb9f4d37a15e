//! Which files are opened, and for whom.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rusqlite::Connection;

use super::{open, put, value};
use crate::{OpenError, SqliteStore};

#[tokio::test]
async fn the_file_and_its_log_are_for_the_owner_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    put(&store, "a", "1").await;
    for name in ["store.db", "store.db-wal"] {
        assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
    }
    drop(store);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the mode can be set");
    let store = open(&path);
    assert_eq!(mode(&path), 0o600, "wider permissions are taken away");
    assert_eq!(value(&store, "a").await, Some(b"1".to_vec()));
}

#[test]
fn commits_are_flushed_before_they_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let connection = super::super::file::open(&folder.path().join("store.db")).expect("the store opens");
    let pragma = |name: &str| -> String {
        let read = |row: &rusqlite::Row<'_>| row.get_ref(0).map(|value| format!("{value:?}"));
        connection.pragma_query_value(None, name, read).expect("the pragma reads")
    };
    // 2 is FULL: <https://sqlite.org/pragma.html#pragma_synchronous>.
    assert!(pragma("synchronous").contains("Integer(2)"), "{}", pragma("synchronous"));
    let wal = format!("{:?}", rusqlite::types::ValueRef::Text(b"wal"));
    assert_eq!(pragma("journal_mode"), wal);
}

#[tokio::test]
async fn a_second_store_on_the_file_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    put(&store, "a", "1").await;
    assert!(matches!(refusal(&path), OpenError::InUse { .. }));
    put(&store, "a", "2").await;
    assert!(matches!(refusal(&path), OpenError::InUse { .. }), "the first attempt did not drop the lock");
    drop(store);
    assert_eq!(value(&open(&path), "a").await, Some(b"2".to_vec()));
}

#[test]
fn files_of_other_programs_are_refused_and_left_as_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = folder.path().join("text");
    fs::write(&text, "an important letter, longer than the header of a database: ".repeat(20)).expect("a file");
    let database = folder.path().join("other.db");
    other_database(&database, "CREATE TABLE song (title TEXT)");
    let marked = folder.path().join("marked.db");
    other_database(&marked, "PRAGMA application_id = 7");
    for path in [text, database, marked] {
        let before = fs::read(&path).expect("the file reads");
        let refused = refusal(&path);
        assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused:?}");
        assert!(refused.to_string().contains(&path.display().to_string()));
        assert_eq!(fs::read(&path).expect("the file reads"), before);
    }
}

#[test]
fn a_file_of_a_later_program_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    drop(open(&path));
    other_database(&path, "PRAGMA user_version = 9");
    let refused = refusal(&path);
    assert!(matches!(refused, OpenError::NewerSchema { found: 9, .. }), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("schema 9") && text.contains("knows 1"), "{text}");
}

#[test]
fn a_missing_folder_and_a_folder_in_place_of_the_file_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = refusal(&folder.path().join("missing/store.db"));
    assert!(matches!(refused, OpenError::File { .. }), "{refused:?}");
    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::File { .. } | OpenError::ReadOnly { .. }), "{refused:?}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    File::create(&path).expect("a file");
    put(&open(&path), "a", "1").await;
    assert_eq!(value(&open(&path), "a").await, Some(b"1".to_vec()));
}

fn refusal(path: &Path) -> OpenError {
    SqliteStore::open(path).map(drop).expect_err("the file is refused")
}

fn other_database(path: &Path, sql: &str) {
    Connection::open(path).expect("a database").execute_batch(sql).expect("the statement runs");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}
