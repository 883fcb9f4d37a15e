//! The Unix socket: where it may be made, and when one that is there may be removed.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// The longest path of a Unix socket in bytes (unix(7): 108 with the NUL that ends it).
const LONGEST_PATH: usize = 107;
/// Root and the server's own user are served, so nobody else needs to connect.
const OWNER_ONLY: u32 = 0o600;

/// A listening socket whose file is removed with it.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is longer than the system takes.
    #[error(
        "the socket path {} has {} bytes; the system takes at most {LONGEST_PATH}; choose a shorter one with --socket",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} exists and is not a socket; remove it, or choose another path with --socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another program listens there.
    #[error("another server listens at {}; stop it, or choose another path with --socket", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not {operation} the socket {}; check its folder, or choose another path with --socket", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Socket {
    /// Listens at `path`, for the owner alone. A socket that nobody listens at any more is replaced; a missing folder is made.
    ///
    /// The caller holds the lock of its data folder, so that no two servers of the same data replace each other's socket.
    pub(crate) fn listen(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        let failed = |operation| move |source| SocketError::Io { operation, path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed("make"))?;
        let socket = Self { path: path.to_owned(), listener };
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY)).map_err(failed("restrict"))?;
        Ok(socket)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, and the guard that removes its file when it is dropped.
    pub(crate) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, SocketFile(self.path))
    }
}

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A socket that stays is replaced at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |operation| move |source| SocketError::Io { operation, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(SocketError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("remove the old file of"))
        }
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(source) => Err(failed("try")(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let (_folder, path) = fresh();
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
        let socket = Socket::listen(&path).expect("nobody listens");
        assert_eq!(path.metadata().expect("made").permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::listen(&path), Err(SocketError::InUse { .. })));
        drop(socket.into_parts());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let (_folder, path) = fresh();
        fs::write(&path, "precious").expect("a writable folder");
        assert!(matches!(Socket::listen(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told_with_its_length() {
        let (folder, _) = fresh();
        let path = folder.path().join("x".repeat(120));
        let error = Socket::listen(&path).expect_err("too long").to_string();
        assert!(error.contains("at most 107"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_folder_is_made() {
        let (folder, _) = fresh();
        Socket::listen(&folder.path().join("run/cadenas/s")).expect("can be made");
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s");
        (folder, path)
    }
}
