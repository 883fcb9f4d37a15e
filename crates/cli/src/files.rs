//! Files that must be whole or not there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Advice, CWD, RenameFlags},
    io::Errno,
};
use uuid::Uuid;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there already.
    #[error("{} is there already and was not touched", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A folder, device or pipe stands there.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is not a file.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is too large to be what it should be.
    #[error("{} is larger than {largest} bytes, so it is not what it should be", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it may have, in bytes.
        largest: u64,
    },
    /// It should be text.
    #[error("{} is not text; certificates are taken in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
    },
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => Some("name another file, or say --force to replace it".to_owned()),
            Self::NotPem { .. } => {
                Some("turn DER into PEM with `openssl x509 -inform der -in FILE -out FILE.pem`".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether a new file may replace one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    Yes,
    No,
}

/// No backup is nearly as large; what is larger is not read into memory.
const LARGEST_BACKUP: u64 = 16 << 20;
/// Some hundred certificates.
const LARGEST_PEM: u64 = 1 << 20;

/// Refuses early what [`write_private`] would refuse.
pub(crate) fn may_write(path: &Path, replace: Replace) -> Result<(), FileError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::Write { path: path.to_owned(), source }),
        Ok(there) if !there.is_file() => Err(FileError::NotAFile { path: path.to_owned() }),
        Ok(_) if replace == Replace::No => Err(FileError::Exists { path: path.to_owned() }),
        Ok(_) => Ok(()),
    }
}

/// Writes a file that only its owner can read, flushed to the medium with its folder. It appears under its name whole or not
/// at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8], replace: Replace) -> Result<(), FileError> {
    let refused = |source| FileError::Write { path: path.to_owned(), source };
    may_write(path, replace)?;
    let staged = beside(path);
    let written = stage(&staged, bytes).and_then(|()| publish(&staged, path, replace));
    if let Err(source) = written {
        // It may never have been made; the error that matters is the first.
        let _ = fs::remove_file(&staged);
        return Err(if source.kind() == io::ErrorKind::AlreadyExists {
            FileError::Exists { path: path.to_owned() }
        } else {
            refused(source)
        });
    }
    flush_folder_of(path).map_err(refused)
}

/// Reads a backup file, from the medium rather than from the cache where the system can be asked to.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_bounded(path, LARGEST_BACKUP)
}

/// Reads certificates in PEM; what they are is for the server to say.
pub(crate) fn read_pem(path: &Path) -> Result<String, FileError> {
    let bytes = read_bounded(path, LARGEST_PEM)?;
    String::from_utf8(bytes).map_err(|_| FileError::NotPem { path: path.to_owned() })
}

fn read_bounded(path: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    let refused = |source| FileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(refused)?;
    // Advice that a file system does not take changes nothing.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(refused)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= largest) {
        Ok(bytes)
    } else {
        Err(FileError::TooLarge { path: path.to_owned(), largest })
    }
}

/// The path as the server finds it, which works in another folder than the user.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(path).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", Uuid::new_v4().simple()))
}

fn stage(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn publish(staged: &Path, path: &Path, replace: Replace) -> io::Result<()> {
    if replace == Replace::Yes {
        return fs::rename(staged, path);
    }
    match rustix::fs::renameat_with(CWD, staged, CWD, path, RenameFlags::NOREPLACE) {
        // A file system without that flag (NFS): an empty file of ours takes the name first.
        Err(Errno::INVAL | Errno::NOSYS) => {
            File::options().write(true).create_new(true).open(path)?;
            fs::rename(staged, path)
        }
        result => Ok(result?),
    }
}

fn flush_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_alone_in_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nkp.p12");
        write_private(&path, b"whole", Replace::No).expect("written");
        assert_eq!(read(&path).expect("read"), b"whole");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nkp.p12");
        fs::write(&path, b"old").expect("written");
        assert!(matches!(write_private(&path, b"new", Replace::No), Err(FileError::Exists { .. })));
        assert_eq!(fs::read(&path).expect("read"), b"old");
        write_private(&path, b"new", Replace::Yes).expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }

    #[test]
    fn a_name_taken_at_the_last_moment_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (staged, path) = (folder.path().join("staged"), folder.path().join("nkp.p12"));
        fs::write(&staged, b"new").expect("written");
        fs::write(&path, b"old").expect("written");
        let error = publish(&staged, &path, Replace::No).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("read"), b"old");
    }

    #[test]
    fn a_device_or_folder_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path(), Path::new("/dev/null")] {
            assert!(matches!(write_private(path, b"", Replace::Yes), Err(FileError::NotAFile { .. })));
        }
    }

    #[test]
    fn an_endless_file_is_not_read_into_memory() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(FileError::TooLarge { .. })));
        assert!(matches!(read_pem(Path::new("/dev/zero")), Err(FileError::TooLarge { .. })));
    }

    #[test]
    fn a_certificate_that_is_no_text_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.der");
        fs::write(&path, b"\x30\x82\xff").expect("written");
        assert!(matches!(read_pem(&path), Err(FileError::NotPem { .. })));
    }
}
