//! Image locks as QEMU takes them (`block/file-posix.c`, `raw_apply_lock_bytes`), on single bytes of the file.
//!
//! Byte 100 + *p* is read-locked by whoever uses permission *p*, byte 200 + *p* by whoever does not let others use it. A user
//! first takes its locks, then tests whether another holds the opposite byte; if so, it lets go. The locks belong to the
//! open file description, so that they end with it, however the process dies.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// How an image will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Reading: others may read too, nobody may write or resize.
    Shared,
    /// Writing: nobody else may even read.
    Exclusive,
}

/// Why an image could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another opening in this one, uses it.
    #[error("{} is in use by another program; shut down the VM or end the program that has it open", .path.display())]
    Busy {
        /// The image.
        path: PathBuf,
    },
    /// The file system does not lock.
    #[error("locking {} failed", .path.display())]
    Failed {
        /// The image.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A lock on an image, let go when dropped.
#[derive(Debug)]
pub struct ImageLock {
    file: Arc<fs::File>,
}

impl Drop for ImageLock {
    fn drop(&mut self) {
        // Nothing to do about a failure: closing the file lets go as well.
        let _ = set(&self.file, libc::F_UNLCK, USED, 2 * (SHUT_OUT - USED));
    }
}

/// Takes the lock or nothing.
pub(super) fn take(file: &Arc<fs::File>, path: &Path, locking: Locking) -> Result<ImageLock, LockError> {
    let failed = |error: nix::Error| LockError::Failed { path: path.to_owned(), source: error.into() };
    let lock = ImageLock { file: Arc::clone(file) };
    let permissions = Permissions::of(locking);
    for byte in permissions.bytes() {
        set(file, libc::F_RDLCK, byte, 1).map_err(failed)?;
    }
    for byte in permissions.opposite_bytes() {
        if is_held_by_another(file, byte).map_err(failed)? {
            return Err(LockError::Busy { path: path.to_owned() });
        }
    }
    Ok(lock)
}

/// First byte of the permissions in use.
const USED: i64 = 100;
/// First byte of the permissions that others may not use.
const SHUT_OUT: i64 = 200;

/// QEMU's `BLK_PERM_*` bits: consistent read, write, write unchanged, resize.
struct Permissions {
    used: &'static [i64],
    shut_out: &'static [i64],
}

impl Permissions {
    fn of(locking: Locking) -> Self {
        match locking {
            Locking::Shared => Self { used: &[0], shut_out: &[1, 3] },
            Locking::Exclusive => Self { used: &[0, 1, 3], shut_out: &[0, 1, 2, 3] },
        }
    }

    fn bytes(&self) -> impl Iterator<Item = i64> {
        self.used.iter().map(|bit| USED + bit).chain(self.shut_out.iter().map(|bit| SHUT_OUT + bit))
    }

    /// The bytes that another user holds who stands in the way.
    fn opposite_bytes(&self) -> impl Iterator<Item = i64> {
        self.used.iter().map(|bit| SHUT_OUT + bit).chain(self.shut_out.iter().map(|bit| USED + bit))
    }
}

fn set(file: &fs::File, kind: i32, start: i64, len: i64) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind, start, len))).map(drop)
}

fn is_held_by_another(file: &fs::File, byte: i64) -> nix::Result<bool> {
    let mut found = range(libc::F_WRLCK, byte, 1);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("lock types are small"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("zero"),
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, File};

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let (_folder, path) = image();
        let [one, two, three] = [(); 3].map(|()| File::open(&path, Access::Read).expect("opened"));
        let first = one.lock(Locking::Shared).expect("first reader");
        let _second = two.lock(Locking::Shared).expect("second reader");
        assert!(matches!(three.lock(Locking::Exclusive), Err(LockError::Busy { .. })));
        drop(first);
        assert!(matches!(three.lock(Locking::Exclusive), Err(LockError::Busy { .. })));
    }

    #[test]
    fn a_writer_keeps_everybody_out_until_it_is_dropped() {
        let (_folder, path) = image();
        let [one, two] = [(); 2].map(|()| File::open(&path, Access::Write).expect("opened"));
        let writer = one.lock(Locking::Exclusive).expect("writer");
        assert!(matches!(two.lock(Locking::Shared), Err(LockError::Busy { .. })));
        assert!(matches!(two.lock(Locking::Exclusive), Err(LockError::Busy { .. })));
        drop(writer);
        drop(two.lock(Locking::Exclusive).expect("free again"));
        two.lock(Locking::Shared).expect("free again");
    }

    #[test]
    fn a_refused_lock_leaves_nothing_behind() {
        let (_folder, path) = image();
        let [one, two, three] = [(); 3].map(|()| File::open(&path, Access::Write).expect("opened"));
        let reader = one.lock(Locking::Shared).expect("reader");
        two.lock(Locking::Exclusive).expect_err("in use");
        three.lock(Locking::Shared).expect("the refused writer is not in the way");
        drop(reader);
    }

    fn image() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        File::create_new(&path).expect("created");
        (folder, path)
    }
}
