//! Whether a file was changed since it was looked at.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, StatxTimestamp, statx};

/// Two changes less than this apart may carry the same time: the clock of a file system ticks, on some once a second.
const TICK: Duration = Duration::from_secs(2);

/// How a regular file or a folder looked at one moment. One that looks the same later was not changed since: of what is written
/// in place the time of change tells, which nobody can set back, and what is renamed into place is another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: (u32, u32),
    inode: u64,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Stamp {
    /// How it looks now, as its server tells if it has one. `None` if that would not tell a later change: it was changed only a
    /// moment ago, is no file (a device grows without a trace, a link says nothing of what it leads to), or cannot be reached.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let now = SystemTime::now();
        // A network file system would else answer from memory.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
        let told = statx(CWD, path, flags, StatxFlags::BASIC_STATS).ok()?;
        let tells = StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::BASIC_STATS)
            && matches!(FileType::from_raw_mode(told.stx_mode.into()), FileType::RegularFile | FileType::Directory)
            && moment(told.stx_ctime)? + TICK < now;
        tells.then(|| Self::from(&told))
    }
}

impl From<&Statx> for Stamp {
    fn from(told: &Statx) -> Self {
        Self {
            device: (told.stx_dev_major, told.stx_dev_minor),
            inode: told.stx_ino,
            size: told.stx_size,
            modified: (told.stx_mtime.tv_sec, told.stx_mtime.tv_nsec),
            changed: (told.stx_ctime.tv_sec, told.stx_ctime.tv_nsec),
        }
    }
}

fn moment(time: StatxTimestamp) -> Option<SystemTime> {
    let since_epoch = Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, os::unix::fs::symlink, thread};

    use super::*;

    /// Waits until what was written before tells its changes.
    pub(crate) fn settle() {
        thread::sleep(TICK + Duration::from_millis(50));
    }

    #[test]
    fn a_file_that_was_changed_a_moment_ago_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "one").expect("written");
        assert_eq!(Stamp::of(&path), None);
        settle();
        assert!(Stamp::of(&path).is_some());
        assert_eq!(Stamp::of(&path), Stamp::of(&path));
        fs::write(&path, "two").expect("written in place");
        assert_eq!(Stamp::of(&path), None);
    }

    #[test]
    fn a_change_that_hides_its_time_is_told_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&path, "one").expect("written");
        fs::write(&other, "two").expect("written");
        settle();
        let before = Stamp::of(&path).expect("settled");
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("known");
        fs::write(&path, "six").expect("written in place");
        fs::File::open(&path).and_then(|file| file.set_modified(modified)).expect("set back");
        settle();
        assert_ne!(Stamp::of(&path), Some(before), "as long, and as old as it pretends");
        let before = Stamp::of(&path).expect("settled");
        fs::rename(&other, &path).expect("replaced");
        settle();
        assert_ne!(Stamp::of(&path), Some(before));
    }

    #[test]
    fn links_devices_and_what_is_not_there_have_none() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "one").expect("written");
        symlink("file", folder.path().join("link")).expect("a link");
        settle();
        assert!(Stamp::of(folder.path()).is_some());
        for name in ["link", "none", "/dev/null"] {
            assert_eq!(Stamp::of(&folder.path().join(name)), None, "{name}");
        }
    }
}
