//! Which seal a store was made with, and whether it is the one at hand.

use std::{
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
};

use cadenas_secret::SecretBytes;
use cadenas_store::{CommitOutcome, Key, Prefix, Range, Record, Store, StoreError, StoreExt, Stored, Txn};
use serde::{Deserialize, Serialize};

use super::{KeyFileError, RootKeySeal, RootTpmError, Seal, SealedPlace, TpmAddress, TpmError, root_tpm};
use crate::{catalog, text::Bytes};

const KEY_FILE_NAME: &str = "root.key";
const SEALED_NAME: &str = "root.tpm";
const PROVED_TEXT: &[u8] = b"cadenas";
const KNOWN_SEALS: [&str; 2] = ["key-file", "tpm"];
/// What is left when a root key is lost.
const LAST_RESORT: &str = "start with a new data folder and restore the providers from their backups";

/// How the root key is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SealChoice {
    /// In a file, as it is.
    #[default]
    KeyFile,
    /// In a file, sealed by this TPM.
    Tpm(TpmAddress),
}

impl SealChoice {
    fn name(&self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::Tpm(_) => "tpm",
        }
    }

    fn file_name(&self) -> &'static str {
        match self {
            Self::KeyFile => KEY_FILE_NAME,
            Self::Tpm(_) => SEALED_NAME,
        }
    }
}

/// Why the root seal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootSealError {
    /// The root key's file is gone, and keys are sealed with it.
    #[error(
        "the root key {} is missing, and the keys of {providers} key providers are sealed with it; put it back from a copy of the \
         data folder, or {LAST_RESORT}",
        path.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// How many providers need it.
        providers: usize,
    },
    /// The root key is another one.
    #[error(
        "the root key {} is not the one that the keys beside it are sealed with; put back the right one, or {LAST_RESORT}",
        path.display()
    )]
    OtherKey {
        /// Its file.
        path: PathBuf,
    },
    /// The keys are sealed in another way than the server was started with.
    #[error(
        "the keys of {providers} key providers are sealed by {recorded:?}, not by {chosen:?}; start with `--seal {recorded}`, or \
         for {chosen:?} {LAST_RESORT}"
    )]
    OtherSeal {
        /// How they are sealed.
        recorded: String,
        /// What was asked for.
        chosen: &'static str,
        /// How many providers there are.
        providers: usize,
    },
    /// A seal of a later Cadenas.
    #[error("the keys are sealed by {name:?}, which this version of Cadenas does not know; use a newer one")]
    UnknownSeal {
        /// Its name.
        name: String,
    },
    /// The TPM that sealed is gone.
    #[error(
        "the keys of {providers} key providers are sealed by a TPM that is not here; bring that TPM back, or {LAST_RESORT}"
    )]
    TpmGone {
        /// How many providers there are.
        providers: usize,
        /// How that was noticed.
        #[source]
        source: RootTpmError,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key that a TPM sealed cannot be used.
    #[error(transparent)]
    Tpm(#[from] RootTpmError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootRecord {
    seal: String,
    proof: Bytes,
}

impl Record for RootRecord {
    const VERSION: u32 = 1;
}

/// The seal that the store of the data folder was made with; at the first start, a new one. While no provider is there,
/// the choice can be changed.
pub(crate) async fn open_root(
    folder: &Path,
    store: &dyn Store,
    choice: &SealChoice,
) -> Result<Arc<dyn Seal>, RootSealError> {
    let known: Option<Stored<RootRecord>> = store.get_as(&record_key()).await?;
    let providers = sealed_providers(store).await?;
    if let Some(known) = &known {
        check_choice(&known.value.seal, choice, providers)?;
    }
    let path = folder.join(choice.file_name());
    let seal = obtained(path.clone(), choice.clone(), providers).await?;
    match known {
        Some(known) if proves(&seal, &known.value) => {}
        Some(_) if providers > 0 => return Err(RootSealError::OtherKey { path }),
        _ => write_record(store, &seal).await?,
    }
    Ok(Arc::new(seal))
}

fn check_choice(recorded: &str, choice: &SealChoice, providers: usize) -> Result<(), RootSealError> {
    let chosen = choice.name();
    if !KNOWN_SEALS.contains(&recorded) {
        return Err(RootSealError::UnknownSeal { name: recorded.to_owned() });
    }
    if recorded != chosen && providers > 0 {
        return Err(RootSealError::OtherSeal { recorded: recorded.to_owned(), chosen, providers });
    }
    Ok(())
}

/// The root key, off the async threads: a TPM may take seconds.
async fn obtained(path: PathBuf, choice: SealChoice, providers: usize) -> Result<RootKeySeal, RootSealError> {
    let obtaining = tokio::task::spawn_blocking(move || match choice {
        SealChoice::KeyFile => key_file(&path, providers),
        SealChoice::Tpm(address) => sealed_file(&path, &address, providers),
    });
    obtaining.await.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()))
}

fn key_file(path: &Path, providers: usize) -> Result<RootKeySeal, RootSealError> {
    match RootKeySeal::open_key_file(path) {
        Err(KeyFileError::Missing { .. }) if providers == 0 => Ok(RootKeySeal::create_key_file(path)?),
        Err(KeyFileError::Missing { path }) => Err(RootSealError::Gone { path, providers }),
        opened => Ok(opened?),
    }
}

fn sealed_file(path: &Path, address: &TpmAddress, providers: usize) -> Result<RootKeySeal, RootSealError> {
    match root_tpm::open(path, address) {
        Err(RootTpmError::Missing { .. } | RootTpmError::OtherTpm { .. }) if providers == 0 => {
            Ok(root_tpm::create(path, address)?)
        }
        Err(RootTpmError::Missing { path }) => Err(RootSealError::Gone { path, providers }),
        Err(source @ (RootTpmError::OtherTpm { .. } | RootTpmError::Tpm(TpmError::Unreachable { .. })))
            if providers > 0 =>
        {
            Err(RootSealError::TpmGone { providers, source })
        }
        opened => Ok(opened?),
    }
}

fn proves(seal: &RootKeySeal, record: &RootRecord) -> bool {
    record.seal == seal.name()
        && seal.unseal(SealedPlace::Proof, &record.proof.0).is_ok_and(|text| text.equals(PROVED_TEXT))
}

async fn write_record(store: &dyn Store, seal: &RootKeySeal) -> Result<(), RootSealError> {
    let text = SecretBytes::new_with(PROVED_TEXT.len(), |bytes| bytes.copy_from_slice(PROVED_TEXT));
    let proof = seal.seal(SealedPlace::Proof, &text).expect("a root key always seals");
    let record = RootRecord { seal: seal.name().to_owned(), proof: Bytes(proof) };
    // Without a comparison nothing can conflict.
    let _: CommitOutcome = store.commit(Txn::new().put_as(record_key(), &record)?).await?;
    Ok(())
}

async fn sealed_providers(store: &dyn Store) -> Result<usize, StoreError> {
    let prefix: Prefix = catalog::PROVIDERS.parse().expect("a constant that is a key");
    Ok(store.range(&Range::of(prefix)).await?.entries.len())
}

fn record_key() -> Key {
    "seal/root".parse().expect("a constant that is a key")
}

#[cfg(test)]
mod tests {
    use cadenas_store::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn the_key_file_is_made_once_and_then_expected() {
        let (folder, store) = fresh();
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("first start");
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("second start");
        add_provider(&store).await;
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("with keys");
        let path = folder.path().join("root.key");
        std::fs::remove_file(&path).expect("was made");
        let error = open_root(folder.path(), &store, &SealChoice::KeyFile).await.err().expect("gone").to_string();
        assert!(error.contains("root.key") && error.contains("restore the providers from their backups"), "{error}");
        assert!(!path.exists(), "no new key may hide the loss");
    }

    #[tokio::test]
    async fn another_key_file_is_found_out_when_keys_are_sealed() {
        let (folder, store) = fresh();
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("first start");
        RootKeySeal::create_key_file(&folder.path().join("root.key")).expect("replaced");
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("nothing is sealed with the first one");
        add_provider(&store).await;
        RootKeySeal::create_key_file(&folder.path().join("root.key")).expect("replaced");
        let error = open_root(folder.path(), &store, &SealChoice::KeyFile).await.err().expect("another key");
        assert!(matches!(error, RootSealError::OtherKey { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_seal_of_a_later_version_is_named() {
        let (folder, store) = fresh();
        let record = RootRecord { seal: "tpm2".to_owned(), proof: Bytes(vec![]) };
        let _ = store.commit(Txn::new().put_as(record_key(), &record).expect("JSON")).await.expect("a sound store");
        let error = open_root(folder.path(), &store, &SealChoice::KeyFile).await.err().expect("unknown").to_string();
        assert!(error.contains("tpm2"), "{error}");
    }

    #[tokio::test]
    async fn another_choice_than_recorded_is_refused_with_what_to_do_once_keys_are_sealed() {
        let (folder, store) = fresh();
        let nowhere = SealChoice::Tpm("device:/nowhere/tpmrm0".parse().expect("an address"));
        let error = open_root(folder.path(), &store, &nowhere).await.err().expect("no TPM").to_string();
        assert!(error.contains("/nowhere/tpmrm0") && error.contains("--tpm"), "{error}");
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("nothing was chosen yet");
        add_provider(&store).await;
        let error = open_root(folder.path(), &store, &nowhere).await.err().expect("another choice").to_string();
        assert!(error.contains("`--seal key-file`") && error.contains("from their backups"), "{error}");
        open_root(folder.path(), &store, &SealChoice::KeyFile).await.expect("the recorded choice");
    }

    #[tokio::test]
    async fn a_tpm_that_is_gone_is_told_with_what_to_do() {
        let (folder, store) = fresh();
        let record = RootRecord { seal: "tpm".to_owned(), proof: Bytes(vec![]) };
        let _ = store.commit(Txn::new().put_as(record_key(), &record).expect("JSON")).await.expect("a sound store");
        add_provider(&store).await;
        let nowhere = SealChoice::Tpm("device:/nowhere/tpmrm0".parse().expect("an address"));
        let error = open_root(folder.path(), &store, &nowhere).await.err().expect("no file");
        assert!(matches!(error, RootSealError::Gone { .. }), "{error}");
        let file = r#"{"cadenas":1,"storage_root":"AAs","public":"AAg","private":"AA"}"#;
        std::fs::write(folder.path().join("root.tpm"), file).expect("a writable folder");
        let error = open_root(folder.path(), &store, &nowhere).await.err().expect("no TPM").to_string();
        assert!(error.contains("restore the providers from their backups"), "{error}");
    }

    fn fresh() -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("cadenas.db")).expect("a writable folder");
        (folder, store)
    }

    async fn add_provider(store: &SqliteStore) {
        let key = format!("{}/x", catalog::PROVIDERS).parse().expect("a key");
        let _ = store.commit(Txn::new().put(key, "{}")).await.expect("a sound store");
    }
}
