//! Shallow recrypt: the same DEKs, wrapped under another key.
//!
//! One small file is written and renamed; no disk is touched. The old descriptor is whole until the rename and the new one
//! from it on, so that no journal is needed: what a crash leaves is the hidden staged file, which the next writer replaces.

use std::{collections::BTreeSet, path::PathBuf};

use cadenas_keys::{KeyId, KeyRing, KeySafe, KeySafeEntry, ProviderId, UnwrapError, VmId};

use crate::{
    descriptor::{self, Descriptor, HomeError},
    files::{self, FileError, Folder},
    home::{UnlockError, VmHome},
    journal::{Journal, JournalError},
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
    /// Something that changes the VM is interrupted. Its staged descriptor may hold the only keys of half-rewritten disks.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is wrapped under other keys than the caller knows of.
    #[error("VM {vm} was wrapped under other keys meanwhile")]
    WrappedOtherwise {
        /// The VM.
        vm: VmId,
    },
    /// The header or the configuration is not what was sealed.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The descriptor could not be replaced.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A VM home, and the key that it shall be wrapped under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrap {
    /// The VM whose home it must be.
    pub vm: VmId,
    /// The folder or the descriptor in it.
    pub home: PathBuf,
    /// The keys that it must be wrapped under now, unless that does not matter.
    pub from: Option<BTreeSet<(ProviderId, KeyId)>>,
    /// Wrap under this provider's …
    pub provider: ProviderId,
    /// … key.
    pub key: KeyId,
}

/// Wraps every DEK of a VM home under another key, at any power state of the VM.
pub fn recrypt(
    rewrap: &Rewrap,
    keyring: &KeyRing,
    journal: &Journal,
    steps: &dyn Steps,
) -> Result<Recrypted, RecryptError> {
    let prepared = Prepared::new(rewrap, keyring, journal)?;
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
    pub(crate) claimed: Folder,
    path: PathBuf,
    staged: PathBuf,
    /// `None` if the present one will do.
    descriptor: Option<Vec<u8>>,
}

impl Prepared {
    /// Unwraps and wraps again, in memory.
    pub(crate) fn new(rewrap: &Rewrap, keyring: &KeyRing, journal: &Journal) -> Result<Self, RecryptError> {
        let Rewrap { vm, provider, key, .. } = *rewrap;
        let (folder, file) = descriptor::locate(&rewrap.home)?;
        let claimed = claim_home(&folder)?;
        journal.must_be_settled(vm)?;
        let path = folder.join(&file);
        let old = descriptor::read(&path)?.filter(|old| old.header().vm == vm);
        let old = old.ok_or_else(|| HomeError::Missing(path.clone()))?;
        let already_so = old.key_safe().keys_used().iter().eq([&(provider, key)]);
        if !already_so && rewrap.from.as_ref().is_some_and(|from| *from != old.key_safe().keys_used()) {
            return Err(RecryptError::WrappedOtherwise { vm });
        }
        let failed = |source| RecryptError::Key { descriptor: path.clone(), source };
        let rewrapped = |entry: &KeySafeEntry| keyring.rewrap(vm, entry, provider, key);
        let entries = old.key_safe().entries().iter().map(rewrapped).collect::<Result<_, _>>().map_err(failed)?;
        // Every entry has opened by now. A header that was changed must not come out of this as if it were good.
        VmHome::in_folder(folder.clone(), file.clone(), old.clone()).configuration(keyring)?;
        let staged = folder.join(file.staged());
        let descriptor = (!already_so).then(|| with_entries(old, entries).to_bytes());
        Ok(Self { claimed, path, staged, descriptor })
    }

    /// Writes the new descriptor under its hidden name; it is not flushed.
    pub(crate) fn stage(&self) -> Result<(), FileError> {
        self.descriptor.iter().try_for_each(|bytes| files::write_staged_unflushed(&self.staged, bytes))
    }

    /// Flushes what is staged.
    pub(crate) fn sync_staged(&self) -> Result<(), FileError> {
        self.descriptor.iter().try_for_each(|_| files::sync(&self.staged))
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
