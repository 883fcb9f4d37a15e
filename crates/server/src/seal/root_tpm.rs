//! A root key that a TPM 2.0 sealed: `root.tpm` beside the store.
//!
//! `docs/formats.md` specifies it. Nothing in the file is secret; the TPM that made it opens it, and nothing else does.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cadenas_secret::{SecretBytes, aead};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    root_key::{Origin, RootKeySeal},
    tpm::{SealedObject, Tpm, TpmAddress, TpmError},
};
use crate::private_file;

const VERSION: u32 = 1;
/// Far more than any TPM's objects need.
const MOST: u64 = 64 * 1024;

/// Why a root key that a TPM sealed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootTpmError {
    /// There is none.
    #[error("the sealed root key {} is missing", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Not a file as we write it.
    #[error("{} is not a root key that a TPM sealed; put back a copy of it", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
    },
    /// Written by a later Cadenas.
    #[error("{} has version {version}, which this version of Cadenas does not know; use a newer one", path.display())]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// Sealed by another TPM, or by this one before it was cleared.
    #[error("the TPM at {address} is not the one that sealed {}, or it was cleared since", path.display())]
    OtherTpm {
        /// The TPM at hand.
        address: TpmAddress,
        /// The file.
        path: PathBuf,
    },
    /// The TPM did not do its part.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// The file system refused.
    #[error("could not {operation} the sealed root key {}", path.display())]
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootTpmFile {
    #[serde(rename = "cadenas")]
    version: u32,
    storage_root: Base64Url,
    public: Base64Url,
    private: Base64Url,
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "cadenas")]
    version: u32,
}

/// Bytes as every file of ours carries them in JSON: base64url without padding.
struct Base64Url(Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// Has the TPM unseal the root key in the file at `path`.
pub(super) fn open(path: &Path, address: &TpmAddress) -> Result<RootKeySeal, RootTpmError> {
    let file = read(path)?;
    let mut tpm = Tpm::open(address)?;
    let root = tpm.storage_root()?;
    if root.name() != file.storage_root.0 {
        return Err(RootTpmError::OtherTpm { address: address.clone(), path: path.to_owned() });
    }
    let key = tpm.unseal(&root, &SealedObject { public: file.public.0, private: file.private.0 })?;
    if key.len() != aead::KEY_BYTES {
        return Err(RootTpmError::Damaged { path: path.to_owned() });
    }
    Ok(sealed_with(key, path, address))
}

/// Makes a new root key and its file, once the TPM proved that it unseals what it sealed.
pub(super) fn create(path: &Path, address: &TpmAddress) -> Result<RootKeySeal, RootTpmError> {
    let key = SecretBytes::random(aead::KEY_BYTES);
    let mut tpm = Tpm::open(address)?;
    let root = tpm.storage_root()?;
    let SealedObject { public, private } = tpm.seal(&root, &key)?;
    let file = RootTpmFile {
        version: VERSION,
        storage_root: Base64Url(root.name().to_vec()),
        public: Base64Url(public),
        private: Base64Url(private),
    };
    let bytes = serde_json::to_vec_pretty(&file).expect("bytes and a number are JSON");
    drop(tpm);
    private_file::replace(path, &bytes).map_err(|source| io_error("write", path, source))?;
    // What cannot be opened again must not seal a first secret.
    open(path, address)
}

fn sealed_with(key: SecretBytes, path: &Path, address: &TpmAddress) -> RootKeySeal {
    RootKeySeal::new(key, Origin::Tpm { path: path.to_owned(), address: address.clone() })
}

fn read(path: &Path) -> Result<RootTpmFile, RootTpmError> {
    let failed = |source| io_error("read", path, source);
    let file =
        private_file::open(path).map_err(failed)?.ok_or_else(|| RootTpmError::Missing { path: path.to_owned() })?;
    let damaged = || RootTpmError::Damaged { path: path.to_owned() };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(damaged());
    }
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).map_err(failed)?;
    let Versioned { version } = serde_json::from_slice(&text).map_err(|_| damaged())?;
    if version > VERSION {
        return Err(RootTpmError::Newer { path: path.to_owned(), version });
    }
    serde_json::from_slice(&text).map_err(|_| damaged())
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> RootTpmError {
    RootTpmError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SOUND: &str = r#"{"cadenas":1,"storage_root":"AAs","public":"AAg","private":"AA"}"#;

    #[test]
    fn a_file_that_is_not_ours_is_refused_before_any_tpm_is_asked() {
        let (_folder, path) = fresh();
        assert!(matches!(refused(&path), RootTpmError::Missing { .. }));
        for text in ["", "{}", "[]", &SOUND.replace("AAs", "AAs="), &SOUND.replace("1,", "0.5,"), &format!("{SOUND}x")]
        {
            fs::write(&path, text).expect("a writable folder");
            assert!(matches!(refused(&path), RootTpmError::Damaged { .. }), "{text}");
        }
        fs::write(&path, SOUND.replace("1,", "2,")).expect("a writable folder");
        assert!(refused(&path).to_string().contains("newer"));
        fs::write(&path, SOUND).expect("a writable folder");
        assert!(matches!(refused(&path), RootTpmError::Tpm(TpmError::Unreachable { .. })));
    }

    #[test]
    fn without_a_tpm_no_file_is_made() {
        let (_folder, path) = fresh();
        let error = create(&path, &nowhere()).expect_err("no TPM");
        assert!(error.to_string().contains("--tpm"), "{error}");
        assert!(!path.exists());
    }

    fn refused(path: &Path) -> RootTpmError {
        open(path, &nowhere()).expect_err("refused")
    }

    fn nowhere() -> TpmAddress {
        TpmAddress::Device("/nowhere/tpmrm0".into())
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("root.tpm");
        (folder, path)
    }
}
