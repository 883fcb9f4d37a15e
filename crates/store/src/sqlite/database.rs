//! The operations as SQL, on the thread that owns the connection.

use std::path::Path;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};

use super::{
    KEPT_REVISIONS,
    file::{self, OpenError},
};
use crate::{
    Change, Changes, CommitOutcome, Entry, Key, Order, Page, Prefix, Range, Revision, StoreError, Txn, WatchFrom,
    txn::{Compare, Write},
};

/// Bytes of changes that one read for a watch gathers, before it stops at a revision's end.
const MAX_READ_BYTES: usize = 4 << 20;

pub(super) struct Database {
    connection: Connection,
    name: String,
    state: State,
}

/// The row of `state` as last committed.
#[derive(Clone, Copy)]
struct State {
    revision: Revision,
    /// The last revision whose changes are gone.
    compacted: Revision,
}

/// What a watch reads at once.
pub(super) struct ReadChanges {
    pub(super) changes: Vec<Changes>,
    /// There is no other change under the prefix up to here.
    pub(super) through: Revision,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = file::open(path)?;
        let state = read_state(&connection).map_err(|source| OpenError::Damaged { path: path.to_owned(), source })?;
        Ok(Self { connection, name: path.display().to_string(), state })
    }

    pub(super) fn revision(&self) -> Revision {
        self.state.revision
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        find(&self.connection, key).map_err(|source| self.failure("read an entry", source))
    }

    pub(super) fn range(&self, range: &Range) -> Result<Page, StoreError> {
        let mut entries = read_range(&self.connection, range).map_err(|source| self.failure("read entries", source))?;
        let limit = range.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(Page { entries, more, revision: self.state.revision })
    }

    /// Applies the transactions in order and flushes once. If anything fails, all of them do.
    pub(super) fn commit(&mut self, txns: &[Txn]) -> Vec<Result<CommitOutcome, StoreError>> {
        match commit_group(&mut self.connection, self.state, txns) {
            Ok((outcomes, state)) => {
                self.state = state;
                outcomes.into_iter().map(Ok).collect()
            }
            // An error belongs to one request, so a group's members are tried again by themselves: one too large for a
            // disk that is nearly full does not fail its neighbours.
            Err(_) if txns.len() > 1 => txns.chunks(1).flat_map(|txn| self.commit(txn)).collect(),
            Err(source) => vec![Err(self.failure("commit a transaction", source))],
        }
    }

    pub(super) fn watch_start(&self, from: WatchFrom) -> Result<Revision, StoreError> {
        match from {
            WatchFrom::Now => Ok(self.state.revision),
            WatchFrom::After(after) => self.check_reached(after).and_then(|()| self.check_kept(after)).map(|()| after),
        }
    }

    pub(super) fn changes(&self, prefix: &Prefix, after: Revision) -> Result<ReadChanges, StoreError> {
        self.check_kept(after)?;
        read_changes(&self.connection, prefix, after, self.state.revision)
            .map_err(|source| self.failure("read changes", source))
    }

    pub(super) fn compact(&mut self, through: Revision) -> Result<(), StoreError> {
        self.check_reached(through)?;
        if through <= self.state.compacted {
            return Ok(());
        }
        let state = State { compacted: through, ..self.state };
        drop_changes(&mut self.connection, state).map_err(|source| self.failure("drop old changes", source))?;
        self.state = state;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_pragma(&self, name: &str, number: i64) -> Result<(), StoreError> {
        self.connection.pragma_update(None, name, number).map_err(|source| self.failure("set a pragma", source))
    }

    fn check_reached(&self, asked: Revision) -> Result<(), StoreError> {
        let current = self.state.revision;
        if asked > current { Err(StoreError::Future { asked, current }) } else { Ok(()) }
    }

    fn check_kept(&self, after: Revision) -> Result<(), StoreError> {
        let compacted = self.state.compacted;
        if after < compacted { Err(StoreError::Compacted { after, compacted }) } else { Ok(()) }
    }

    fn failure(&self, operation: &'static str, source: rusqlite::Error) -> StoreError {
        let store = self.name.clone();
        let code = source.sqlite_error_code();
        let source = Box::new(source);
        match code {
            Some(ErrorCode::DiskFull) => StoreError::Full { store, source },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => StoreError::ReadOnly { store, source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { store, source },
            _ => StoreError::Failed { operation, store, source },
        }
    }
}

fn read_state(connection: &Connection) -> Result<State, rusqlite::Error> {
    connection.query_row("SELECT revision, compacted FROM state", [], |row| {
        Ok(State { revision: row.get(0)?, compacted: row.get(1)? })
    })
}

fn write_state(transaction: &Transaction<'_>, state: State) -> Result<(), rusqlite::Error> {
    let mut update = transaction.prepare_cached("UPDATE state SET revision = ?1, compacted = ?2")?;
    update.execute(params![state.revision, state.compacted]).map(drop)
}

fn find(connection: &Connection, key: &Key) -> Result<Option<Entry>, rusqlite::Error> {
    let mut query = connection.prepare_cached("SELECT key, revision, value FROM entry WHERE key = ?1")?;
    query.query_row([key], entry_of).optional()
}

fn entry_of(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    Ok(Entry { key: row.get(0)?, revision: row.get(1)?, value: row.get(2)? })
}

/// One entry more than the limit, if there is one: it tells that there are more.
fn read_range(connection: &Connection, range: &Range) -> Result<Vec<Entry>, rusqlite::Error> {
    let (start, end) = range.bounds();
    let limit = range.limit.map_or(-1, |limit| i64::from(limit) + 1);
    let mut query = connection.prepare_cached(match range.order {
        Order::Ascending => "SELECT key, revision, value FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        Order::Descending => {
            "SELECT key, revision, value FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
        }
    })?;
    query.query_map(params![start, end, limit], entry_of)?.collect()
}

fn commit_group(
    connection: &mut Connection,
    mut state: State,
    txns: &[Txn],
) -> Result<(Vec<CommitOutcome>, State), rusqlite::Error> {
    let before = state.revision;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(txns.len());
    for txn in txns {
        outcomes.push(apply(&transaction, &mut state, txn)?);
    }
    if state.revision == before {
        return Ok((outcomes, state));
    }
    trim_history(&transaction, &mut state)?;
    write_state(&transaction, state)?;
    // The commit point: SQLite writes the log and flushes it.
    transaction.commit()?;
    Ok((outcomes, state))
}

fn apply(transaction: &Transaction<'_>, state: &mut State, txn: &Txn) -> Result<CommitOutcome, rusqlite::Error> {
    let keys = failing(transaction, &txn.compares)?;
    if !keys.is_empty() {
        return Ok(CommitOutcome::Conflict { keys });
    }
    let revision = Revision::new(state.revision.number() + 1);
    let mut changed = false;
    for (key, write) in &txn.writes {
        changed |= match write {
            Write::Put(value) => put(transaction, revision, key, value)?,
            Write::Delete => delete(transaction, revision, key)?,
        };
    }
    if changed {
        state.revision = revision;
    }
    Ok(CommitOutcome::Committed { revision: state.revision })
}

fn failing(transaction: &Transaction<'_>, compares: &[Compare]) -> Result<Vec<Key>, rusqlite::Error> {
    let mut keys = Vec::new();
    let mut query = transaction.prepare_cached("SELECT revision FROM entry WHERE key = ?1")?;
    for compare in compares {
        let found: Option<Revision> = query.query_row([&compare.key], |row| row.get(0)).optional()?;
        if found != compare.revision {
            keys.push(compare.key.clone());
        }
    }
    Ok(keys)
}

fn put(transaction: &Transaction<'_>, revision: Revision, key: &Key, value: &[u8]) -> Result<bool, rusqlite::Error> {
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO entry (key, revision, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET revision = ?2, value = ?3",
    )?;
    upsert.execute(params![key, revision, value])?;
    record(transaction, revision, key, Some(value))?;
    Ok(true)
}

fn delete(transaction: &Transaction<'_>, revision: Revision, key: &Key) -> Result<bool, rusqlite::Error> {
    let removed = transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key])?;
    if removed == 0 {
        return Ok(false);
    }
    record(transaction, revision, key, None)?;
    Ok(true)
}

fn record(
    transaction: &Transaction<'_>,
    revision: Revision,
    key: &Key,
    value: Option<&[u8]>,
) -> Result<(), rusqlite::Error> {
    let mut insert = transaction.prepare_cached("INSERT INTO change (revision, key, value) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![revision, key, value]).map(drop)
}

/// Drops the oldest changes, a quarter of the history at a time, so that few commits pay for it.
fn trim_history(transaction: &Transaction<'_>, state: &mut State) -> Result<(), rusqlite::Error> {
    let kept = state.revision.number() - state.compacted.number();
    if kept < KEPT_REVISIONS + KEPT_REVISIONS / 4 {
        return Ok(());
    }
    state.compacted = Revision::new(state.revision.number() - KEPT_REVISIONS);
    delete_changes(transaction, state.compacted)
}

fn drop_changes(connection: &mut Connection, state: State) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    delete_changes(&transaction, state.compacted)?;
    write_state(&transaction, state)?;
    transaction.commit()
}

fn delete_changes(transaction: &Transaction<'_>, through: Revision) -> Result<(), rusqlite::Error> {
    transaction.prepare_cached("DELETE FROM change WHERE revision <= ?1")?.execute([through]).map(drop)
}

fn read_changes(
    connection: &Connection,
    prefix: &Prefix,
    after: Revision,
    current: Revision,
) -> Result<ReadChanges, rusqlite::Error> {
    let (start, end) = prefix.bounds();
    let mut query = connection.prepare_cached(
        "SELECT key, revision, value FROM change
         WHERE revision > ?1 AND key >= ?2 AND key < ?3 ORDER BY revision, key",
    )?;
    let mut rows = query.query(params![after, start, end])?;
    let (mut changes, mut bytes): (Vec<Changes>, _) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (revision, change, len) = change_of(row)?;
        match changes.last_mut() {
            Some(last) if last.revision == revision => last.changes.push(change),
            Some(last) if bytes > MAX_READ_BYTES => {
                let through = last.revision;
                return Ok(ReadChanges { changes, through });
            }
            _ => changes.push(Changes { revision, changes: vec![change] }),
        }
        bytes += len;
    }
    Ok(ReadChanges { changes, through: current })
}

fn change_of(row: &Row<'_>) -> Result<(Revision, Change, usize), rusqlite::Error> {
    let (key, revision): (Key, Revision) = (row.get(0)?, row.get(1)?);
    let value: Option<Vec<u8>> = row.get(2)?;
    let len = key.as_str().len() + value.as_ref().map_or(0, Vec::len);
    let change = match value {
        Some(value) => Change::Put(Entry { key, value, revision }),
        None => Change::Deleted(key),
    };
    Ok((revision, change, len))
}

impl ToSql for Revision {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        let number =
            i64::try_from(self.number()).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(number.into())
    }
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self::new).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Key {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}
