//! Files and folders, with errors that name them, and with the flushes that make a change last.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FlockOperation, OFlags, RenameFlags},
    io::Errno,
};

/// An operation on a file or folder failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {} failed", .path.display())]
pub struct FileError {
    /// What was tried: "reading", "renaming to", …
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub(crate) fn on<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self { operation, path: path.to_owned(), source: source.into() }
    }
}

/// What a path is, without following a link at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    File,
    Folder,
    /// Anything else, in words for people.
    Other(&'static str),
}

impl Kind {
    pub(crate) fn of(path: &Path) -> Result<Self, FileError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Self::from(&metadata)),
            Err(error) if is_absent(&error) => Ok(Self::Nothing),
            Err(error) => Err(FileError::on("looking at", path)(error)),
        }
    }

    /// The kind in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Nothing => "missing",
            Self::File => "a regular file",
            Self::Folder => "a folder",
            Self::Other(words) => words,
        }
    }
}

impl From<&fs::Metadata> for Kind {
    fn from(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = metadata.file_type();
        match () {
            () if kind.is_file() => Self::File,
            () if kind.is_dir() => Self::Folder,
            () if kind.is_symlink() => Self::Other("a symbolic link"),
            () if kind.is_block_device() => Self::Other("a block device"),
            () if kind.is_char_device() => Self::Other("a character device"),
            () if kind.is_fifo() => Self::Other("a named pipe"),
            () => Self::Other("a socket"),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether anything has this path, a dangling link included.
pub(crate) fn exists(path: &Path) -> Result<bool, FileError> {
    Ok(Kind::of(path)? != Kind::Nothing)
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// `path` without links, `.` and `..`; its last component need not exist.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    match fs::canonicalize(path) {
        Ok(absolute) => Ok(absolute),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => {
            let folder = fs::canonicalize(parent(path)).map_err(FileError::on("looking at", parent(path)))?;
            Ok(folder.join(path.file_name().expect("checked")))
        }
        Err(error) => Err(FileError::on("looking at", path)(error)),
    }
}

/// Why a small file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is a link, a device, a pipe or a folder.
    #[error("{} is {kind}, not a regular file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// It is larger than such a file can be.
    #[error("{} is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// Reading failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The bytes of a regular file of at most `limit` bytes; links are not followed. `None` if nothing is there.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match fs::OpenOptions::new().read(true).custom_flags(bits(flags)).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let metadata = file.metadata().map_err(FileError::on("looking at", path))?;
    match Kind::from(&metadata) {
        Kind::File if metadata.len() > limit => return Err(ReadError::TooLarge { path: path.to_owned(), limit }),
        Kind::File => {}
        other => return Err(ReadError::NotAFile { path: path.to_owned(), kind: other.words() }),
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes).map_err(FileError::on("reading", path))?;
    Ok(Some(bytes))
}

/// `O_NOFOLLOW` answers a link with ELOOP and a socket with ENXIO: say what it is rather than that.
fn unreadable(path: &Path, error: io::Error) -> ReadError {
    match Kind::of(path) {
        Ok(Kind::Other(kind)) => ReadError::NotAFile { path: path.to_owned(), kind },
        _ => FileError::on("opening", path)(error).into(),
    }
}

/// Makes a file of mode 0600 that was not there, and flushes its bytes. Its folder is not flushed.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create_with(path, bytes)?.sync_all().map_err(FileError::on("flushing", path))
}

fn create_with(path: &Path, bytes: &[u8]) -> Result<fs::File, FileError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(FileError::on("creating", path))?;
    file.write_all(bytes).map_err(FileError::on("writing", path))?;
    Ok(file)
}

/// Flushes a file that was written unflushed.
pub(crate) fn sync(path: &Path) -> Result<(), FileError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(FileError::on("flushing", path))
}

/// Gives a file that was somebody else's the owner and the mode of the files that we make.
pub(crate) fn make_private(path: &Path) -> Result<(), FileError> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    chown(path, Some(user), Some(group)).map_err(FileError::on("changing the owner of", path))?;
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, mode).map_err(FileError::on("changing the mode of", path))
}

/// As [`write_new`], in the place of what an earlier attempt left under this name, which is ours alone.
pub(crate) fn write_staged(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    remove(path)?;
    write_new(path, bytes)
}

/// As [`write_staged`], without a flush: [`Folder::sync_file_system`] comes later, for many files at once.
pub(crate) fn write_staged_unflushed(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    remove(path)?;
    create_with(path, bytes).map(drop)
}

/// Removes a file (a link itself, not what it points to). One that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if !was_absent(&error, path) => Err(FileError::on("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder if it is there and empty; tells whether nothing is there afterwards.
pub(crate) fn remove_empty_folder(path: &Path) -> Result<bool, FileError> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if was_absent(&error, path) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(FileError::on("removing", path)(error)),
    }
}

/// Whether there was nothing to remove. A read-only file system complains before it looks.
fn was_absent(error: &io::Error, path: &Path) -> bool {
    is_absent(error) || (error.kind() == io::ErrorKind::ReadOnlyFilesystem && matches!(exists(path), Ok(false)))
}

/// Renames within a folder, over what is there.
pub(crate) fn rename_over(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(FileError::on("renaming to", to))
}

/// Renames, never over anything: an error of kind `AlreadyExists` if something has the new name.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), FileError> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without this kind of rename (NFS): a hard link is never made over anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).map_err(FileError::on("renaming to", to))?;
            remove(from)
        }
        done => done.map_err(FileError::on("renaming to", to)),
    }
}

/// Whether both paths are one file, as an interrupted [`rename_new`] may leave it.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> Result<bool, FileError> {
    let id = |path| {
        fs::symlink_metadata(path)
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .map_err(FileError::on("looking at", path))
    };
    Ok(id(one)? == id(other)?)
}

/// Returns when what was created, renamed or removed in the folder would survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    Folder::open(path)?.sync()
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    file: fs::File,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(bits(OFlags::DIRECTORY))
            .open(path)
            .map_err(FileError::on("opening the folder", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// See [`sync_folder`].
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::on("flushing the folder", &self.path))
    }

    /// Returns when all that was written to the folder's file system would survive a power cut.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.file)?)
    }

    /// Whether [`Self::sync_file_system`] reaches the storage. Linux does not pass it on to the daemon of a FUSE file system
    /// (`fuse_sync_fs` in fs/fuse/inode.c): there each file has to be flushed.
    pub(crate) fn flushes_as_one(&self) -> Result<bool, FileError> {
        const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
        let told =
            rustix::fs::fstatfs(&self.file).map_err(FileError::on("looking at the file system of", &self.path))?;
        Ok(told.f_type != FUSE_SUPER_MAGIC)
    }

    /// The error of a folder whose file system was flushed by way of another folder, in vain.
    pub(crate) fn not_flushed(&self, error: &io::Error) -> FileError {
        let source = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        FileError { operation: "flushing the file system of", path: self.path.clone(), source }
    }

    /// Which file system the folder is on.
    pub(crate) fn file_system(&self) -> Result<u64, FileError> {
        Ok(self.file.metadata().map_err(FileError::on("looking at", &self.path))?.dev())
    }

    /// Keeps other writers of this folder out while `self` lives; tells whether that was possible.
    ///
    /// File systems without locks on folders (NFS) are taken as they are: there the image locks must do.
    pub(crate) fn try_lock(&self) -> Result<bool, FileError> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(Errno::BADF | Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(FileError::on("locking the folder", &self.path)(error)),
        }
    }
}

/// Free space for data on the file system of a folder, in bytes.
pub fn free_bytes(folder: &Path) -> Result<u64, FileError> {
    let stat = rustix::fs::statvfs(folder).map_err(FileError::on("asking for free space in", folder))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn bits(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).expect("open flags are small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_a_pipe_and_a_folder_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name| folder.path().join(name);
        fs::write(at("file"), b"text").expect("written");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
        rustix::fs::mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
        assert_eq!(read_small(&at("file"), 4).expect("read"), Some(b"text".to_vec()));
        assert_eq!(read_small(&at("none"), 4).expect("read"), None);
        assert!(matches!(read_small(&at("file"), 3), Err(ReadError::TooLarge { limit: 3, .. })));
        for (name, words) in [("link", "a symbolic link"), ("pipe", "a named pipe"), (".", "a folder")] {
            match read_small(&at(name), 4) {
                Err(ReadError::NotAFile { kind, .. }) => assert_eq!(kind, words),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_careful_rename_never_replaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name| folder.path().join(name);
        fs::write(at("a"), b"a").expect("written");
        fs::write(at("b"), b"b").expect("written");
        let error = rename_new(&at("a"), &at("b")).expect_err("b is there");
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        rename_new(&at("a"), &at("c")).expect("c is free");
        assert_eq!(fs::read(at("c")).expect("read"), b"a");
        assert_eq!(fs::read(at("b")).expect("read"), b"b");
    }

    #[test]
    fn only_one_holds_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = [(); 2].map(|()| Folder::open(folder.path()).expect("opened"));
        assert!(one.try_lock().expect("locks"));
        assert!(!other.try_lock().expect("locks"));
        drop(one);
        assert!(other.try_lock().expect("locks"));
    }
}
