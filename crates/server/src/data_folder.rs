//! The data folder, and the lock that lets one server alone work in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

const LOCK_NAME: &str = "lock";

/// A data folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Never removed: a lock on a removed file would hold nobody off.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another server works in it.
    #[error(
        "the data folder {} is in use by another server{}; stop that one first, or choose another folder with --data",
        path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other server's process, when it could write it down.
        pid: Option<u32>,
    },
    /// It cannot be made.
    #[error("could not make the data folder {}; choose another one with --data, or mend its path", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its lock file cannot be used.
    #[error("could not lock the data folder {}; check that it is a folder that can be written", path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DataFolder {
    /// Makes the folder if it is missing (mode 0700) and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataFolderError> {
        make(path).map_err(|source| DataFolderError::Make { path: path.to_owned(), source })?;
        let failed = |source| DataFolderError::Lock { path: path.to_owned(), source };
        let mut lock = open_lock(&path.join(LOCK_NAME)).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => write_pid(&mut lock).map_err(failed)?,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DataFolderError::InUse { path: path.to_owned(), pid: read_pid(&mut lock) });
            }
            Err(error) => return Err(failed(error.into())),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_folder_is_made_for_its_owner_alone() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("a/b/data");
        let folder = DataFolder::open(&path).expect("can be made");
        assert_eq!(folder.path().metadata().expect("made").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_server_is_told_the_folder_and_the_process_of_the_first() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let first = DataFolder::open(parent.path()).expect("free");
        let error = DataFolder::open(parent.path()).expect_err("in use").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains(&parent.path().display().to_string()), "{error}");
        drop(first);
        DataFolder::open(parent.path()).expect("free again");
    }

    #[test]
    fn a_file_in_the_folders_place_is_told() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("data");
        fs::write(&path, "").expect("a writable folder");
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::Make { .. })));
    }
}
