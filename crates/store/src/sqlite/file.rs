//! Opening the file: whose it is, who may read it, and how `SQLite` is to treat it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};
use thiserror::Error;

/// Marks a `SQLite` file as ours ("cdns"; <https://sqlite.org/fileformat2.html>, offset 68).
const APPLICATION_ID: i32 = 0x6364_6e73;
/// The schema below; kept at offset 60.
const SCHEMA_VERSION: i32 = 1;
const OWNER_ONLY: u32 = 0o600;

const SCHEMA: &str = "
    -- What is.
    CREATE TABLE entry (
        key      TEXT    NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        value    BLOB    NOT NULL
    ) STRICT;
    -- What became so, for watches; no value: deleted.
    CREATE TABLE change (
        revision INTEGER NOT NULL,
        key      TEXT    NOT NULL,
        value    BLOB,
        PRIMARY KEY (revision, key)
    ) STRICT, WITHOUT ROWID;
    -- One row: the last revision, and the last whose changes are gone.
    CREATE TABLE state (
        id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        revision  INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    ) STRICT;
    INSERT INTO state VALUES (1, 0, 0);
";

/// Why a store could not be opened. Nothing of it was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file or its folder cannot be reached, or the file cannot be made.
    #[error("could not make or reach the data file {}: check that its folder exists and can be written", path.display())]
    File {
        /// The data file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the data file {} is in use: another server runs on it; stop that one first", path.display())]
    InUse {
        /// The data file.
        path: PathBuf,
    },
    /// Not a file of this program.
    #[error("the data file {} belongs to another program: choose another data folder", path.display())]
    NotOurs {
        /// The data file.
        path: PathBuf,
    },
    /// A file of a later program.
    #[error(
        "the data file {} has schema {found}, and this program knows {SCHEMA_VERSION}: start the newer program again",
        path.display()
    )]
    NewerSchema {
        /// The data file.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// The file, its folder or its file system takes no writes.
    #[error("the data file {} cannot be written: make it and its folder writable", path.display())]
    ReadOnly {
        /// The data file.
        path: PathBuf,
    },
    /// No space for its log.
    #[error("no space is left for the data file {}: make room and try again", path.display())]
    Full {
        /// The data file.
        path: PathBuf,
    },
    /// The file is ours and not sound.
    #[error("the data file {} is damaged: put back a copy of it", path.display())]
    Damaged {
        /// The data file.
        path: PathBuf,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// `SQLite` failed otherwise.
    #[error("could not open the data file {}: check its disk and folder", path.display())]
    Sqlite {
        /// The data file.
        path: PathBuf,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system gave no thread.
    #[error("could not start the thread for the data file {}: check the system's limits", path.display())]
    Thread {
        /// The data file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A connection to a checked, locked, writable file with our schema.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    create_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let fail = |source| from_sqlite(path, source);
    let mut connection = connect(path).map_err(fail)?;
    // Asked before the first read, which would fail on a file that cannot be locked for writing.
    if connection.is_readonly(MAIN_DB).map_err(fail)? {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    let schema = identify(&connection, path)?;
    restrict(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    make_durable(&connection).map_err(fail)?;
    if schema == Schema::None {
        create_schema(&mut connection).map_err(fail)?;
    }
    Ok(connection)
}

/// Makes an empty file that was never open to others. One that exists is left alone, and not even opened: closing it again
/// would drop the locks that another store in this process may hold on it (fcntl(2)).
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A read-only file system says so first, even where the file exists: what is there is looked at all the same.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && path.exists() => Ok(()),
        other => other.map(drop),
    }
}

/// Takes away what others may do with a file that was put here with wider permissions, as by a restore.
fn restrict(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o777 == OWNER_ONLY {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // A second server is to be refused at once, not to wait.
    connection.busy_timeout(Duration::ZERO)?;
    // Held until the file is closed; it also keeps the log's index in memory instead of in a third file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

#[derive(PartialEq, Eq)]
enum Schema {
    None,
    Present,
}

fn identify(connection: &Connection, path: &Path) -> Result<Schema, OpenError> {
    let read = || -> Result<_, rusqlite::Error> {
        let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((application, version, objects))
    };
    match read().map_err(|source| from_sqlite(path, source))? {
        (0, 0, 0) => Ok(Schema::None),
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(Schema::Present),
        (APPLICATION_ID, found, _) if found > SCHEMA_VERSION => {
            Err(OpenError::NewerSchema { path: path.to_owned(), found })
        }
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

fn make_durable(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // The log is flushed before a commit is told (<https://sqlite.org/pragma.html#pragma_synchronous>).
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted, sealed keys among it, does not stay in free pages.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}

fn create_schema(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn from_sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::NotADatabase) => OpenError::NotOurs { path },
        // With the file itself at hand, what cannot be opened is the log beside it.
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => OpenError::ReadOnly { path },
        Some(ErrorCode::DiskFull) => OpenError::Full { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, source },
        _ => OpenError::Sqlite { path, source },
    }
}
