//! A regular file as storage.

use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{fs::SeekFrom, io::Errno};

use super::{
    Storage,
    lock::{self, ImageLock, LockError, Locking},
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
    file: Arc<fs::File>,
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
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
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
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the image as QEMU does, so that it and QEMU's programs refuse each other; held until the guard and this file
    /// are both dropped or the guard alone is. A file holds one lock at a time.
    pub fn lock(&self, locking: Locking) -> Result<ImageLock, LockError> {
        lock::take(&self.file, &self.path, locking)
    }
}

impl Storage for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        match rustix::fs::seek(&*self.file, SeekFrom::Data(from)) {
            Ok(start) => Ok(Some(start..rustix::fs::seek(&*self.file, SeekFrom::Hole(start))?)),
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

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn nonblocking() -> i32 {
    nix::fcntl::OFlag::O_NONBLOCK.bits()
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
    fn reading_past_the_end_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create_new(&folder.path().join("disk")).expect("created");
        file.set_len(10).expect("grown");
        let storage: &dyn Storage = &file;
        let error = storage.read(5, &mut [0; 6]).expect_err("past the end");
        assert!(error.to_string().contains("disk"), "{error}");
    }
}
