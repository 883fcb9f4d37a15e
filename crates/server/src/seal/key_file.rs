//! The root seal of the embedded default: a file with 32 random bytes beside the store.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cadenas_secret::{SecretBytes, aead, random};
use rustix::fs::OFlags;

use super::{Seal, SealError, SealedPlace};

const OWNER_ONLY: u32 = 0o600;

/// AES-256-GCM under the key in a file. Sealed is: nonce (12 bytes), ciphertext, tag (16 bytes).
///
/// Few secrets are ever sealed (one for each version of a key), so random nonces of 96 bits do not meet.
#[derive(Debug)]
pub struct KeyFileSeal {
    path: PathBuf,
    key: SecretBytes,
}

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

impl KeyFileSeal {
    /// Reads the key in the file at `path`: a regular file of 32 bytes that its owner alone may read.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| io_error("read", path, source);
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("open(2) takes an int");
        let mut file = match fs::OpenOptions::new().read(true).custom_flags(no_follow).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFileError::Missing { path: path.to_owned() });
            }
            opened => opened.map_err(failed)?,
        };
        check(&file.metadata().map_err(failed)?, path)?;
        let key = SecretBytes::try_new_with(aead::KEY_BYTES, |bytes| file.read_exact(bytes)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), key })
    }

    /// Makes a new key and its file. The file appears whole and flushed, or not at all; one that is there is replaced.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let key = SecretBytes::random(aead::KEY_BYTES);
        let draft = path.with_extension("key.new");
        let written = write_new(&draft, &key).and_then(|()| fs::rename(&draft, path)).and_then(|()| sync_folder(path));
        written.map_err(|source| io_error("make", path, source))?;
        Ok(Self { path: path.to_owned(), key })
    }
}

impl Seal for KeyFileSeal {
    fn name(&self) -> &'static str {
        "key-file"
    }

    fn hardware_bound(&self) -> bool {
        false
    }

    fn description(&self) -> String {
        format!("key file {}", self.path.display())
    }

    fn seal(&self, place: SealedPlace, secret: &SecretBytes) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; aead::NONCE_BYTES] = random::array();
        let mut sealed = nonce.to_vec();
        sealed.extend(aead::seal(&self.key, nonce, &place.associated_data(), secret.expose()));
        Ok(sealed)
    }

    fn unseal(&self, place: SealedPlace, sealed: &[u8]) -> Result<SecretBytes, SealError> {
        let (nonce, ciphertext) = sealed.split_first_chunk().ok_or(SealError::NotAuthentic)?;
        aead::open(&self.key, *nonce, &place.associated_data(), ciphertext).map_err(|_| SealError::NotAuthentic)
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

fn write_new(draft: &Path, key: &SecretBytes) -> io::Result<()> {
    // A draft of an earlier, interrupted start was never used.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    file.write_all(key.expose())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use cadenas_keys::{KeyId, ProviderId};

    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let (_folder, path) = fresh();
        let seal = KeyFileSeal::create(&path).expect("a writable folder");
        let place = key_place();
        let sealed = seal.seal(place, &SecretBytes::take_from(b"kdk".to_vec())).expect("a key file always seals");
        let again = KeyFileSeal::open(&path).expect("just made");
        assert!(again.unseal(place, &sealed).expect("same place").equals(b"kdk"));
        assert!(again.unseal(key_place(), &sealed).is_err());
        assert!(again.unseal(SealedPlace::Proof, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(again.unseal(place, &changed).is_err(), "byte {at}");
            assert!(again.unseal(place, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let (_folder, path) = fresh();
        KeyFileSeal::create(&path).expect("a writable folder");
        for mode in [0o640, 0o604, 0o666, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our file");
            let error = KeyFileSeal::open(&path).expect_err("open to others").to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("our file");
        assert!(KeyFileSeal::open(&path).is_ok());
    }

    #[test]
    fn only_a_regular_file_of_32_bytes_is_a_root_key() {
        let (folder, path) = fresh();
        assert!(matches!(KeyFileSeal::open(&path), Err(KeyFileError::Missing { .. })));
        for bytes in [0, 31, 33] {
            fs::write(&path, vec![7; bytes]).expect("a writable folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
            assert!(matches!(KeyFileSeal::open(&path), Err(KeyFileError::NotAKey { .. })), "{bytes} bytes");
        }
        let link = folder.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).expect("a writable folder");
        assert!(KeyFileSeal::open(&link).is_err());
    }

    #[test]
    fn a_draft_left_by_a_crash_does_not_matter() {
        let (folder, path) = fresh();
        fs::write(folder.path().join("root.key.new"), b"half").expect("a writable folder");
        KeyFileSeal::create(&path).expect("the draft is replaced");
        assert!(KeyFileSeal::open(&path).is_ok());
        assert!(!folder.path().join("root.key.new").exists());
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("root.key");
        (folder, path)
    }

    fn key_place() -> SealedPlace {
        SealedPlace::Key { provider: ProviderId::random(), key: KeyId::random() }
    }
}
