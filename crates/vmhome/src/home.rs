//! The VM home as a folder that can be opened, and unlocked when its keys are here.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use cadenas_keys::{KeyRing, KeySafe, KeySafeEntry, NeededKey, ObjectName, UnwrapError, VmId};

use crate::{
    descriptor::{self, Descriptor, DiskEntry, Header, HomeError},
    disk::OpenDisk,
    names::{FileName, VmName},
    sealed::{Configuration, SealError},
    unlocked::Unlocked,
};

/// A VM home as its descriptor described it when it was opened. Nothing in it is proved before [`Self::unlock`].
#[derive(Debug, Clone)]
pub struct VmHome {
    folder: PathBuf,
    file: FileName,
    descriptor: Descriptor,
}

impl VmHome {
    /// Opens a VM home by the path of its folder or of the `.cadenas` file in it.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let (folder, file) = descriptor::locate(path)?;
        let at = folder.join(&file);
        let descriptor = descriptor::read(&at)?.ok_or(HomeError::Missing(at))?;
        Ok(Self { folder, file, descriptor })
    }

    /// A home whose descriptor is at hand and may not have its name yet.
    pub(crate) fn in_folder(folder: PathBuf, file: FileName, descriptor: Descriptor) -> Self {
        Self { folder, file, descriptor }
    }

    /// The folder, absolute and without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The descriptor's path.
    #[must_use]
    pub fn descriptor_path(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    /// The readable header.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.descriptor.header()
    }

    /// The VM.
    #[must_use]
    pub fn vm(&self) -> VmId {
        self.header().vm
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &VmName {
        &self.header().name
    }

    /// Its encrypted disks.
    #[must_use]
    pub fn disks(&self) -> &[DiskEntry] {
        &self.header().disks
    }

    /// The path of one of [`Self::disks`].
    #[must_use]
    pub fn disk_path(&self, disk: &DiskEntry) -> PathBuf {
        self.folder.join(&disk.path)
    }

    /// The wrapped DEKs, each with the key that it needs.
    #[must_use]
    pub fn key_safe(&self) -> &KeySafe {
        self.descriptor.key_safe()
    }

    /// The keys that the VM needs and `keyring` lacks; none if the VM is not locked.
    #[must_use]
    pub fn missing_keys(&self, keyring: &KeyRing) -> Vec<NeededKey> {
        let needed: BTreeSet<_> = self.key_safe().entries().iter().map(KeySafeEntry::needs).collect();
        needed.into_iter().filter(|needed| !keyring.has(needed.provider, needed.key)).collect()
    }

    /// Unwraps every DEK and opens the configuration, which proves the header too.
    pub fn unlock(&self, keyring: &KeyRing) -> Result<Unlocked, UnlockError> {
        let missing = self.missing_keys(keyring);
        if !missing.is_empty() {
            return Err(UnlockError::Locked { name: self.name().clone(), missing });
        }
        let configuration = self.configuration(keyring)?;
        let disks = self.disks().iter().zip(&configuration.disks).map(|(entry, sealed)| {
            let dek = self.dek(keyring, &entry.dek)?;
            Ok(OpenDisk { entry: entry.clone(), path: self.disk_path(entry), sealed: sealed.clone(), dek })
        });
        let disks = disks.collect::<Result<_, UnlockError>>()?;
        Ok(Unlocked { home: self.clone(), configuration, disks })
    }

    pub(crate) fn file(&self) -> &FileName {
        &self.file
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    pub(crate) fn configuration(&self, keyring: &KeyRing) -> Result<Configuration, UnlockError> {
        let dek = self.dek(keyring, &ObjectName::configuration())?;
        Configuration::open(self.header(), self.descriptor.configuration(), &dek)
            .map_err(|source| UnlockError::Configuration { descriptor: self.descriptor_path(), source })
    }

    pub(crate) fn dek(&self, keyring: &KeyRing, object: &ObjectName) -> Result<cadenas_keys::Dek, UnlockError> {
        let entry = self.key_safe().entry(object).expect("the descriptor was checked to have one for each object");
        keyring
            .unwrap(self.vm(), entry)
            .map_err(|source| UnlockError::Key { descriptor: self.descriptor_path(), source })
    }
}

/// Why a VM home does not unlock.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// Keys are not here.
    #[error("VM {name} is locked: {}; {}", list(.missing), way_to_unlock(.missing))]
    Locked {
        /// The VM.
        name: VmName,
        /// What it lacks.
        missing: Vec<NeededKey>,
    },
    /// A DEK does not unwrap.
    #[error("the descriptor {} does not unlock", .descriptor.display())]
    Key {
        /// The descriptor.
        descriptor: PathBuf,
        /// Why.
        #[source]
        source: UnwrapError,
    },
    /// The configuration does not open.
    #[error("the descriptor {} does not unlock", .descriptor.display())]
    Configuration {
        /// The descriptor.
        descriptor: PathBuf,
        /// Why.
        #[source]
        source: SealError,
    },
}

fn list(missing: &[NeededKey]) -> String {
    let words: Vec<_> = missing.iter().map(|needed| format!("{needed} is missing")).collect();
    words.join(", ")
}

fn way_to_unlock(missing: &[NeededKey]) -> &'static str {
    match (missing.iter().any(|needed| needed.kms_key.is_some()), missing.iter().all(|needed| needed.kms_key.is_some()))
    {
        (false, _) => "restore the provider from its backup",
        (true, true) => "its key server has to give it",
        (true, false) => "restore the native provider from its backup; the key server has to give the others",
    }
}
