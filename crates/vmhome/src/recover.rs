//! Recover: what opens the disks without Cadenas, from a backup of the provider and the descriptor alone.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use cadenas_keys::{Backup, DifferentKey, Kdk, KeyRing, NeededKey, ObjectName, ProviderId};
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

/// Writes `TARGET.passphrase` for each disk and `NAME.xml` of the VM whose home or descriptor is at `path` into the folder
/// `out`, which is made (mode 0700) if it is not there. No file is overwritten.
pub fn recover(path: &Path, backup: &Backup, out: &Path) -> Result<Recovery, RecoverError> {
    let home = VmHome::open(path)?;
    let keyring = ring(backup)?;
    if let Some(needed) = home.missing_keys(&keyring).into_iter().next() {
        return Err(RecoverError::OtherBackup { provider: backup.provider, name: home.name().to_string(), needed });
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

fn ring(backup: &Backup) -> Result<KeyRing, DifferentKey> {
    let ring = KeyRing::new();
    for key in &backup.keys {
        let bytes = key.kdk.expose();
        let copy = SecretBytes::new_with(bytes.len(), |out| out.copy_from_slice(bytes.expose()));
        ring.insert(backup.provider, key.id, Kdk::from_secret(copy).expect("as long as the one it was copied from"))?;
    }
    Ok(ring)
}

fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(FileError::on("creating the folder", path))
}
