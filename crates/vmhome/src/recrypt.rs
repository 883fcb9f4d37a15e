//! Shallow recrypt: the same DEKs, wrapped under another key.
//!
//! One small file is written and renamed; no disk is touched. The old descriptor is whole until the rename and the new one
//! from it on, so that no journal is needed: what a crash leaves is the hidden staged file, which the next writer replaces.

use std::path::{Path, PathBuf};

use cadenas_keys::{KeyId, KeyRing, KeySafe, KeySafeEntry, ProviderId, UnwrapError, VmId};

use crate::{
    descriptor::{self, Descriptor, HomeError},
    files::{self, FileError, Folder},
    home::{UnlockError, VmHome},
    locks::{ClaimError, claim_home},
    steps::{Step, Steps},
};

/// What a shallow recrypt did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recrypted {
    /// Every object is wrapped under that key already.
    AlreadySo,
    /// Every object is wrapped under it now.
    Changed,
}

/// Why a shallow recrypt failed. The VM home is whole; it may need the old key still.
#[derive(Debug, thiserror::Error)]
pub enum RecryptError {
    /// No usable VM home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another process changes it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The old or the new key is missing, or an entry is not authentic.
    #[error("the key safe in {} cannot be wrapped anew", .descriptor.display())]
    Key {
        /// The descriptor.
        descriptor: PathBuf,
        /// Why.
        #[source]
        source: UnwrapError,
    },
    /// The header or the configuration is not what was sealed.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The descriptor could not be replaced.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Wraps every DEK of the VM home at `path` (folder or descriptor) under `provider`'s `key`, at any power state of the VM.
pub fn recrypt(
    path: &Path,
    keyring: &KeyRing,
    provider: ProviderId,
    key: KeyId,
    steps: &dyn Steps,
) -> Result<Recrypted, RecryptError> {
    let prepared = Prepared::new(path, keyring, provider, key)?;
    if let Some(bytes) = &prepared.descriptor {
        files::write_staged(&prepared.staged, bytes)?;
        steps.reached(Step::RecryptDescriptorStaged);
        files::rename_over(&prepared.staged, &prepared.path)?;
    }
    // Whoever hears that it was already so may remove the old key: an interrupted recrypt's rename must last.
    prepared.claimed.sync()?;
    Ok(prepared.committed(steps))
}

/// A VM home, kept from other writers, with the descriptor that it shall have.
pub(crate) struct Prepared {
    pub(crate) vm: VmId,
    pub(crate) claimed: Folder,
    path: PathBuf,
    staged: PathBuf,
    /// `None` if the present one will do.
    descriptor: Option<Vec<u8>>,
}

impl Prepared {
    /// Unwraps and wraps again, in memory.
    pub(crate) fn new(path: &Path, keyring: &KeyRing, provider: ProviderId, key: KeyId) -> Result<Self, RecryptError> {
        let (folder, file) = descriptor::locate(path)?;
        let claimed = claim_home(&folder)?;
        let path = folder.join(&file);
        let old = descriptor::read(&path)?.ok_or_else(|| HomeError::Missing(path.clone()))?;
        let vm = old.header().vm;
        let failed = |source| RecryptError::Key { descriptor: path.clone(), source };
        let rewrap = |entry: &KeySafeEntry| keyring.rewrap(vm, entry, provider, key);
        let entries: Vec<_> = old.key_safe().entries().iter().map(rewrap).collect::<Result<_, _>>().map_err(failed)?;
        // Every entry has opened by now. A header that was changed must not come out of this as if it were good.
        VmHome::in_folder(folder.clone(), file.clone(), old.clone()).configuration(keyring)?;
        let staged = folder.join(file.staged());
        let already_so = old.key_safe().keys_used().iter().eq([&(provider, key)]);
        let descriptor = (!already_so).then(|| with_entries(old, entries).to_bytes());
        Ok(Self { vm, claimed, path, staged, descriptor })
    }

    /// Writes the new descriptor under its hidden name; it is not flushed.
    pub(crate) fn stage(&self) -> Result<(), FileError> {
        self.descriptor.iter().try_for_each(|bytes| files::write_staged_unflushed(&self.staged, bytes))
    }

    /// Tells that what is staged was flushed, and gives it its name; the folder is not flushed.
    pub(crate) fn rename(&self, steps: &dyn Steps) -> Result<(), FileError> {
        if self.descriptor.is_none() {
            return Ok(());
        }
        steps.reached(Step::RecryptDescriptorStaged);
        files::rename_over(&self.staged, &self.path)
    }

    /// Removes what was staged and will not be needed. What this cannot remove, the next recrypt replaces.
    pub(crate) fn discard(&self) {
        let _ = files::remove(&self.staged);
    }

    /// The outcome, once the folder is flushed.
    pub(crate) fn committed(&self, steps: &dyn Steps) -> Recrypted {
        if self.descriptor.is_none() {
            return Recrypted::AlreadySo;
        }
        steps.reached(Step::RecryptCommitted);
        Recrypted::Changed
    }
}

fn with_entries(old: Descriptor, entries: Vec<KeySafeEntry>) -> Descriptor {
    let key_safe = KeySafe::new(entries).expect("as many objects as before, each once");
    old.with_key_safe(key_safe).expect("the same objects as before")
}
