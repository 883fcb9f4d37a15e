//! Which seal a store was made with, and whether it is the one at hand.

use std::{path::Path, sync::Arc};

use cadenas_secret::SecretBytes;
use cadenas_store::{CommitOutcome, Key, Prefix, Range, Record, Store, StoreError, StoreExt, Stored, Txn};
use serde::{Deserialize, Serialize};

use super::{KeyFileError, KeyFileSeal, Seal, SealedPlace};
use crate::{catalog, text::Bytes};

const KEY_FILE_NAME: &str = "root.key";
const PROVED_TEXT: &[u8] = b"cadenas";

/// Why the root seal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootSealError {
    /// The key file is gone, and keys are sealed with it.
    #[error(
        "{missing}, and the keys of {providers} key providers are sealed with it; put it back from a copy of the data folder, or \
         start with a new data folder and restore the providers from their backups"
    )]
    KeyFileGone {
        /// The file.
        missing: KeyFileError,
        /// How many providers need it.
        providers: usize,
    },
    /// The key file is another one.
    #[error(
        "the root key of {folder} is not the one that its keys are sealed with; put back the right {KEY_FILE_NAME}, or start with \
         a new data folder and restore the providers from their backups"
    )]
    OtherKey {
        /// The data folder.
        folder: String,
    },
    /// A seal of a later Cadenas.
    #[error("the keys are sealed by {name:?}, which this version of Cadenas does not know; use a newer one")]
    UnknownSeal {
        /// Its name.
        name: String,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
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

/// The seal that the store of the data folder was made with; at the first start, a new one.
pub(crate) async fn open_root(folder: &Path, store: &dyn Store) -> Result<Arc<dyn Seal>, RootSealError> {
    let known: Option<Stored<RootRecord>> = store.get_as(&record_key()).await?;
    let providers = sealed_providers(store).await?;
    let seal = key_file(&folder.join(KEY_FILE_NAME), known.as_ref(), providers)?;
    match known {
        Some(known) if proves(&seal, &known.value) => {}
        Some(_) if providers > 0 => return Err(RootSealError::OtherKey { folder: folder.display().to_string() }),
        _ => write_record(store, &seal).await?,
    }
    Ok(Arc::new(seal))
}

fn key_file(path: &Path, known: Option<&Stored<RootRecord>>, providers: usize) -> Result<KeyFileSeal, RootSealError> {
    if let Some(name) = known.map(|known| &known.value.seal).filter(|name| *name != "key-file") {
        return Err(RootSealError::UnknownSeal { name: name.clone() });
    }
    match KeyFileSeal::open(path) {
        Err(KeyFileError::Missing { .. }) if providers == 0 => Ok(KeyFileSeal::create(path)?),
        Err(missing @ KeyFileError::Missing { .. }) => Err(RootSealError::KeyFileGone { missing, providers }),
        opened => Ok(opened?),
    }
}

fn proves(seal: &KeyFileSeal, record: &RootRecord) -> bool {
    seal.unseal(SealedPlace::Proof, &record.proof.0).is_ok_and(|text| text.equals(PROVED_TEXT))
}

async fn write_record(store: &dyn Store, seal: &KeyFileSeal) -> Result<(), RootSealError> {
    let text = SecretBytes::new_with(PROVED_TEXT.len(), |bytes| bytes.copy_from_slice(PROVED_TEXT));
    let proof = seal.seal(SealedPlace::Proof, &text).expect("a key file always seals");
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
        open_root(folder.path(), &store).await.expect("first start");
        open_root(folder.path(), &store).await.expect("second start");
        add_provider(&store).await;
        open_root(folder.path(), &store).await.expect("with keys");
        let path = folder.path().join("root.key");
        std::fs::remove_file(&path).expect("was made");
        let error = open_root(folder.path(), &store).await.err().expect("gone").to_string();
        assert!(error.contains("root.key") && error.contains("restore the providers from their backups"), "{error}");
        assert!(!path.exists(), "no new key may hide the loss");
    }

    #[tokio::test]
    async fn another_key_file_is_found_out_when_keys_are_sealed() {
        let (folder, store) = fresh();
        open_root(folder.path(), &store).await.expect("first start");
        KeyFileSeal::create(&folder.path().join("root.key")).expect("replaced");
        open_root(folder.path(), &store).await.expect("nothing is sealed with the first one");
        add_provider(&store).await;
        KeyFileSeal::create(&folder.path().join("root.key")).expect("replaced");
        let error = open_root(folder.path(), &store).await.err().expect("another key");
        assert!(matches!(error, RootSealError::OtherKey { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_seal_of_a_later_version_is_named() {
        let (folder, store) = fresh();
        let record = RootRecord { seal: "tpm2".to_owned(), proof: Bytes(vec![]) };
        let _ = store.commit(Txn::new().put_as(record_key(), &record).expect("JSON")).await.expect("a sound store");
        let error = open_root(folder.path(), &store).await.err().expect("unknown").to_string();
        assert!(error.contains("tpm2"), "{error}");
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
