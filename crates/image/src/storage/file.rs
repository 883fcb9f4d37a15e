//! A regular file as storage.
//!
//! Large requests bypass the page cache where the file system lets them: that costs less of the processor, and a conversion does not
//! push other programs' files out of memory. Bypassing needs aligned offsets, lengths and buffers, so that the rest goes through the
//! cache. The kernel keeps both views of the file alike.

use std::{
    fs, io,
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, SeekFrom},
    io::Errno,
};

use super::{
    Storage,
    aligned::AlignedBuf,
    lock::{self, ImageLock, LockError, Locking},
    write_zeros,
};
use crate::ImageError;

/// What an image file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading alone: every write fails.
    Read,
    /// Reading and writing.
    Write,
}

/// An image in a regular file.
#[derive(Debug)]
pub struct File {
    /// Holds the image locks.
    cached: Arc<fs::File>,
    /// The same file without the page cache.
    direct: Option<fs::File>,
    path: PathBuf,
}

impl File {
    /// Opens an image that exists. Anything but a regular file (a device, a pipe, a folder) is refused.
    pub fn open(path: &Path, access: Access) -> Result<Self, ImageError> {
        let refused = |source| ImageError::Open { image: path.display().to_string(), source };
        let file = fs::OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            // A named pipe would otherwise wait for its other end.
            .custom_flags(nonblocking())
            .open(path)
            .map_err(refused)?;
        if !file.metadata().map_err(refused)?.is_file() {
            return Err(ImageError::NotAFile { image: path.display().to_string() });
        }
        Ok(Self::over(file, access, path))
    }

    /// Makes an empty image with mode 0600; a file that already exists is an error and stays as it is.
    pub fn create_new(path: &Path) -> Result<Self, ImageError> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| ImageError::Create { image: path.display().to_string(), source })?;
        Ok(Self::over(file, Access::Write, path))
    }

    fn over(file: fs::File, access: Access, path: &Path) -> Self {
        Self { direct: without_cache(&file, access), cached: Arc::new(file), path: path.to_owned() }
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the image as QEMU does, so that it and QEMU's programs refuse each other; held until the guard and this file
    /// are both dropped or the guard alone is. A file holds one lock at a time.
    pub fn lock(&self, locking: Locking) -> Result<ImageLock, LockError> {
        lock::take(&self.cached, &self.path, locking)
    }
}

impl Storage for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let done = match &self.direct {
            Some(direct) => directly(offset, buf.as_ptr(), buf.len(), |at, part| direct.read_at(&mut buf[part], at))?,
            None => 0,
        };
        self.cached.read_exact_at(&mut buf[done..], offset + to_u64(done))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let done = match &self.direct {
            Some(direct) => directly(offset, buf.as_ptr(), buf.len(), |at, part| direct.write_at(&buf[part], at))?,
            None => 0,
        };
        self.cached.write_all_at(&buf[done..], offset + to_u64(done))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.cached.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.cached.sync_data()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        match rustix::fs::seek(&*self.cached, SeekFrom::Data(from)) {
            Ok(start) => Ok(Some(start..rustix::fs::seek(&*self.cached, SeekFrom::Hole(start))?)),
            // lseek(2): no data from here to the end.
            Err(Errno::NXIO) => Ok(None),
            // A file system that knows no holes: all of it is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                let len = self.len()?;
                Ok((from < len).then_some(from..len))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&*self.cached, punch, range.start, range.end - range.start) {
            // A file system without holes.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(self, range),
            done => Ok(done?),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The file once more, so that what is read and written does not go through the page cache; `None` where the file system refuses that
/// or `/proc` is missing.
fn without_cache(file: &fs::File, access: Access) -> Option<fs::File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::OpenOptions::new()
        .read(true)
        .write(access == Access::Write)
        .custom_flags(nix::fcntl::OFlag::O_DIRECT.bits())
        .open(path)
        .ok()
}

/// Moves as much of a request without the page cache as is aligned, by `call`, which is given offsets in the file and ranges of the
/// buffer and says how many bytes it moved. Returns how many were moved in all; the rest is for the page cache.
fn directly(
    offset: u64,
    buffer: *const u8,
    len: usize,
    mut call: impl FnMut(u64, Range<usize>) -> io::Result<usize>,
) -> io::Result<usize> {
    let block = AlignedBuf::ALIGNMENT;
    let end = len - len % block;
    if !offset.is_multiple_of(to_u64(block)) || !buffer.addr().is_multiple_of(block) {
        return Ok(0);
    }
    let mut done = 0;
    while done < end && done % block == 0 {
        match call(offset + to_u64(done), done..end) {
            // The end of the file.
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // This medium wants something else than aligned blocks.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn nonblocking() -> i32 {
    nix::fcntl::OFlag::O_NONBLOCK.bits()
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_never_replaces_another() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let file = File::create_new(&path).expect("created");
        file.write_at(0, b"kept").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(matches!(File::create_new(&path), Err(ImageError::Create { .. })));
        assert_eq!(fs::read(&path).expect("read"), b"kept");
    }

    #[test]
    fn a_folder_a_pipe_and_a_device_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(File::open(folder.path(), Access::Read), Err(ImageError::NotAFile { .. })));
        assert!(matches!(File::open(Path::new("/dev/null"), Access::Read), Err(ImageError::NotAFile { .. })));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(matches!(File::open(&pipe, Access::Read), Err(ImageError::NotAFile { .. })));
    }

    #[test]
    fn holes_are_skipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create_new(&folder.path().join("disk")).expect("created");
        file.set_len(4 << 20).expect("grown");
        assert_eq!(file.next_data(0).expect("sought"), None);
        file.write_at(2 << 20, &[1; 4096]).expect("written");
        let data = file.next_data(0).expect("sought").expect("data");
        assert!(data.contains(&(2 << 20)) && data.end < 4 << 20);
        assert_eq!(file.next_data(4 << 20).expect("sought"), None);
    }

    #[test]
    fn what_is_discarded_is_a_hole_of_zeros_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create_new(&folder.path().join("disk")).expect("created");
        file.write_at(0, &vec![7; 3 << 20]).expect("written");
        file.discard((1 << 20) - 100..(2 << 20) + 100).expect("discarded");
        file.discard(5..5).expect("nothing to do");
        file.discard(3 << 20..1 << 40).expect("behind the end");
        assert_eq!(file.len().expect("there"), 3 << 20);
        let mut bytes = vec![1; 3 << 20];
        file.read_at(0, &mut bytes).expect("read");
        let zeros = (1 << 20) - 100..(2 << 20) + 100;
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if zeros.contains(&at) { 0 } else { 7 }));
        file.sync().expect("synced");
        assert_eq!(file.next_data(1 << 20).expect("sought").expect("data").start, 2 << 20);
    }

    #[test]
    fn what_is_written_with_and_without_the_cache_is_read_alike() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create_new(&folder.path().join("disk")).expect("created");
        let mut aligned = AlignedBuf::zeroed(3 * 4096 + 17);
        for (number, byte) in aligned.iter_mut().enumerate() {
            *byte = u8::try_from(number % 251).expect("a byte");
        }
        file.write_at(0, &aligned).expect("mostly direct");
        file.write_at(4090, b"over a block's end").expect("through the cache");
        file.write_at(8192, &aligned[..4096]).expect("direct");
        let mut expected = aligned.to_vec();
        expected[4090..4108].copy_from_slice(b"over a block's end");
        expected[8192..12288].copy_from_slice(&aligned[..4096]);
        let mut direct = AlignedBuf::zeroed(expected.len());
        file.read_at(0, &mut direct).expect("mostly direct");
        let mut cached = vec![0; expected.len()];
        file.read_at(0, &mut cached).expect("through the cache");
        assert!(direct[..] == expected && cached == expected);
        file.read_at(4096, &mut direct).expect_err("past the end");
    }

    #[test]
    fn locks_and_permissions_are_those_of_the_file_that_was_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let writer = File::create_new(&path).expect("created");
        writer.write_at(0, &AlignedBuf::zeroed(4096)).expect("written");
        let lock = writer.lock(Locking::Exclusive).expect("locked");
        let reader = File::open(&path, Access::Read).expect("opened");
        assert!(matches!(reader.lock(Locking::Shared), Err(LockError::Busy { .. })));
        drop(lock);
        let _shared = reader.lock(Locking::Shared).expect("free");
        reader.write_at(0, &AlignedBuf::zeroed(4096)).expect_err("for reading alone");
    }

    #[test]
    fn reading_past_the_end_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create_new(&folder.path().join("disk")).expect("created");
        file.set_len(10).expect("grown");
        let storage: &dyn Storage = &file;
        let error = storage.read(5, &mut [0; 6]).expect_err("past the end");
        assert!(error.to_string().contains("disk"), "{error}");
    }
}
