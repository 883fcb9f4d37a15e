//! Recover: what opens the disks without Cadenas, from a backup of the provider (or the key of a key server) and the
//! descriptor alone.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use cadenas_keys::{Backup, DifferentKey, Kek, KeyRing, NeededKey, ObjectName, Origin, ProviderId, ProviderKey};
use cadenas_secret::SecretBytes;

use crate::{
    descriptor::HomeError,
    files::{self, FileError},
    home::{UnlockError, VmHome},
};

/// What was recovered, and what could not be.
#[derive(Debug)]
pub struct Recovery {
    /// Each of mode 0600.
    pub files: Vec<RecoveredFile>,
    /// What is damaged in the descriptor; the rest was recovered all the same.
    pub problems: Vec<UnlockError>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredFile {
    /// A disk, whose LUKS passphrase is in the file without a newline; or the configuration, whose domain XML is.
    pub object: ObjectName,
    /// Where.
    pub path: PathBuf,
}

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// No usable descriptor.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The backup is of another provider, or too old.
    #[error(
        "the backup of provider {provider} does not open VM {name}, which needs {needed}; take the right backup, or a later \
         one"
    )]
    OtherBackup {
        /// The backup's provider.
        provider: ProviderId,
        /// The VM.
        name: String,
        /// What it needs.
        needed: NeededKey,
    },
    /// The key is another one.
    #[error("the key does not open VM {name}, which needs {needed}; fetch that one from the key server")]
    OtherKey {
        /// The VM.
        name: String,
        /// What it needs.
        needed: NeededKey,
    },
    /// The backup has two keys under one ID.
    #[error("the backup contradicts itself")]
    Backup(#[from] DifferentKey),
    /// A file is there already.
    #[error("{} is there already and is not overwritten; name another folder", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a VM is recovered with.
#[derive(Debug, Clone, Copy)]
pub enum RecoveryKey<'a> {
    /// A backup of its native provider.
    Backup(&'a Backup),
    /// Its key, as the key server of its standard provider gives it.
    Kek(&'a Kek),
}

/// Writes `TARGET.passphrase` for each disk and `NAME.xml` of the VM whose home or descriptor is at `path` into the folder
/// `out`, which is made (mode 0700) if it is not there. No file is overwritten.
pub fn recover(path: &Path, key: RecoveryKey<'_>, out: &Path) -> Result<Recovery, RecoverError> {
    let home = VmHome::open(path)?;
    let keyring = key.ring(&home)?;
    if let Some(needed) = home.missing_keys(&keyring).into_iter().next() {
        return Err(key.lacks(&home, needed));
    }
    make_folder(out)?;
    let passphrases = home.disks().iter().map(|disk| {
        let secret = home.dek(&keyring, &disk.dek).map(|dek| dek.luks_passphrase());
        (disk.dek.clone(), out.join(format!("{}.passphrase", disk.target)), secret)
    });
    let xml = home.configuration(&keyring).map(|configuration| SecretBytes::take_from(configuration.domain_xml.into()));
    let xml = (ObjectName::configuration(), out.join(format!("{}.xml", home.name())), xml);
    let all: Vec<_> = passphrases.chain([xml]).collect();
    if let Some((_, path, _)) = all.iter().find(|(_, path, _)| path.symlink_metadata().is_ok()) {
        return Err(RecoverError::Exists(path.clone()));
    }
    let mut recovery = Recovery { files: Vec::new(), problems: Vec::new() };
    for (object, path, secret) in all {
        match secret {
            Ok(secret) => {
                files::write_new(&path, secret.expose())?;
                recovery.files.push(RecoveredFile { object, path });
            }
            Err(problem) => recovery.problems.push(problem),
        }
    }
    Ok(recovery)
}

impl RecoveryKey<'_> {
    /// The keys that this gives for `home`.
    fn ring(self, home: &VmHome) -> Result<KeyRing, DifferentKey> {
        let ring = KeyRing::new();
        match self {
            Self::Backup(backup) => {
                for key in &backup.keys {
                    ring.insert(backup.provider, key.id, key.kdk.copy())?;
                }
            }
            // Which entries it is for, their fingerprints tell.
            Self::Kek(kek) => {
                let own = home.key_safe().entries().iter().filter(|entry| entry.fingerprint == kek.fingerprint());
                for entry in own {
                    if let Origin::KeyServer { kms_key } = &entry.origin {
                        let secret = ProviderKey::Kek { kek: kek.copy(), kms_key: kms_key.clone() };
                        ring.insert(entry.provider, entry.key, secret)?;
                    }
                }
            }
        }
        Ok(ring)
    }

    fn lacks(self, home: &VmHome, needed: NeededKey) -> RecoverError {
        let name = home.name().to_string();
        match self {
            Self::Backup(backup) => RecoverError::OtherBackup { provider: backup.provider, name, needed },
            Self::Kek(_) => RecoverError::OtherKey { name, needed },
        }
    }
}

fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(FileError::on("creating the folder", path))
}
