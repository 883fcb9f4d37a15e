//! The root seal of the embedded default: a file with 32 random bytes beside the store.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cadenas_secret::{SecretBytes, aead};

use super::root_key::{Origin, RootKeySeal};
use crate::private_file::{self, OWNER_ONLY};

/// Why a root key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("the root key {} is missing", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error("the root key {path} is open to others (mode {mode:04o}); run `chmod 600 {path}`, and rotate the providers if anyone read it", path = path.display())]
    OpenToOthers {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file of 32 bytes.
    #[error("{} is not a root key: it must be a file of {} bytes; put back a copy of it", path.display(), aead::KEY_BYTES)]
    NotAKey {
        /// Where it is.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("could not {operation} the root key {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl RootKeySeal {
    /// Reads the key in the file at `path`: a regular file of 32 bytes that its owner alone may read.
    pub fn open_key_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| io_error("read", path, source);
        let missing = || KeyFileError::Missing { path: path.to_owned() };
        let mut file = private_file::open(path).map_err(failed)?.ok_or_else(missing)?;
        check(&file.metadata().map_err(failed)?, path)?;
        let key = SecretBytes::try_new_with(aead::KEY_BYTES, |bytes| file.read_exact(bytes)).map_err(failed)?;
        Ok(Self::new(key, Origin::KeyFile(path.to_owned())))
    }

    /// Makes a new key and its file. The file appears whole and flushed, or not at all; one that is there is replaced.
    pub fn create_key_file(path: &Path) -> Result<Self, KeyFileError> {
        let key = SecretBytes::random(aead::KEY_BYTES);
        private_file::replace(path, key.expose()).map_err(|source| io_error("make", path, source))?;
        Ok(Self::new(key, Origin::KeyFile(path.to_owned())))
    }
}

fn check(metadata: &fs::Metadata, path: &Path) -> Result<(), KeyFileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    let is_key = metadata.is_file() && usize::try_from(metadata.size()) == Ok(aead::KEY_BYTES);
    match (is_key, mode & !OWNER_ONLY) {
        (false, _) => Err(KeyFileError::NotAKey { path: path.to_owned() }),
        (true, 0) => Ok(()),
        (true, _) => Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode }),
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let (_folder, path) = fresh();
        RootKeySeal::create_key_file(&path).expect("a writable folder");
        for mode in [0o640, 0o604, 0o666, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our file");
            let error = RootKeySeal::open_key_file(&path).expect_err("open to others").to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("our file");
        assert!(RootKeySeal::open_key_file(&path).is_ok());
    }

    #[test]
    fn only_a_regular_file_of_32_bytes_is_a_root_key() {
        let (folder, path) = fresh();
        assert!(matches!(RootKeySeal::open_key_file(&path), Err(KeyFileError::Missing { .. })));
        for bytes in [0, 31, 33] {
            fs::write(&path, vec![7; bytes]).expect("a writable folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
            assert!(matches!(RootKeySeal::open_key_file(&path), Err(KeyFileError::NotAKey { .. })), "{bytes} bytes");
        }
        let link = folder.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).expect("a writable folder");
        assert!(RootKeySeal::open_key_file(&link).is_err());
    }

    #[test]
    fn a_draft_left_by_a_crash_does_not_matter() {
        let (folder, path) = fresh();
        fs::write(folder.path().join("root.key.new"), b"half").expect("a writable folder");
        RootKeySeal::create_key_file(&path).expect("the draft is replaced");
        assert!(RootKeySeal::open_key_file(&path).is_ok());
        assert!(!folder.path().join("root.key.new").exists());
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("root.key");
        (folder, path)
    }
}
