//! Shallow recrypt: the same DEKs, wrapped under another key.
//!
//! One small file is written and renamed; no disk is touched. The old descriptor is whole until the rename and the new one
//! from it on, so that no journal is needed: what a crash leaves is the hidden staged file, which the next writer replaces.

use std::path::{Path, PathBuf};

use cadenas_keys::{KeyId, KeyRing, KeySafe, KeySafeEntry, ProviderId, UnwrapError};

use crate::{
    descriptor::{self, HomeError},
    files::{self, FileError},
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
    if old.key_safe().keys_used().iter().eq([&(provider, key)]) {
        // Whoever hears this may remove the old key: an interrupted recrypt's rename must last.
        claimed.sync()?;
        return Ok(Recrypted::AlreadySo);
    }
    let key_safe = KeySafe::new(entries).expect("as many objects as before, each once");
    let new = old.with_key_safe(key_safe).expect("the same objects as before");
    let staged = folder.join(file.staged());
    files::write_staged(&staged, &new.to_bytes())?;
    steps.reached(Step::RecryptDescriptorStaged);
    files::rename_over(&staged, &path)?;
    claimed.sync()?;
    steps.reached(Step::RecryptCommitted);
    Ok(Recrypted::Changed)
}
