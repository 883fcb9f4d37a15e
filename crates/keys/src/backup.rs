//! The backup of a native provider: a PKCS#12 file (RFC 7292) that `openssl pkcs12 -info` and `keytool -list` read.
//!
//! Each version of the KDK is a secret bag, named `cadenas-key-<key ID>` by its `friendlyName`. What else a provider is made of
//! (ID, name, constraint, current key, times) is a small JSON document, and that is the secret of one more secret bag,
//! `cadenas-backup-<provider ID>`. It stands there rather than in bag attributes of our own because every program that copies a
//! PKCS#12 file keeps the secrets of its entries, but drops attributes that it does not know; and because a `friendlyName` is a
//! `BMPString`, which cannot hold every provider name, while JSON can. So a file whose password was changed with `keytool
//! -storepasswd` is still a backup. The names of the bags can be read without the password; the provider's name cannot.
//!
//! The file's MAC covers every bag. Inside, the document holds the fingerprint of each key, so that keys under each other's names
//! are found out.

mod document;
mod envelope;
#[cfg(test)]
mod tests;

use crate::{Kdk, KeyId, ProviderId};
use cadenas_secret::SecretBytes;
use p12_keystore::{
    EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12Archive,
    error::Error as Pkcs12Error,
    secret::{Secret, SecretKeyType},
};

use document::Document;
pub use document::Inconsistency;

/// The largest file that is read as a backup, in bytes.
pub const MAX_BACKUP_BYTES: usize = 1 << 20;
/// The most key versions that a backup holds.
pub const MAX_BACKUP_KEYS: usize = 1000;
/// The longest provider name that a backup holds, in bytes of UTF-8.
pub const MAX_BACKUP_NAME_BYTES: usize = 1024;

/// Rounds of PBKDF2 for every bag, and of the PKCS#12 derivation for the MAC (OWASP's figure for HMAC-SHA-256). The reader takes
/// up to 1,000,000.
const ROUNDS: u32 = 600_000;
const DOCUMENT_PREFIX: &str = "cadenas-backup-";
const KEY_PREFIX: &str = "cadenas-key-";
/// The key type of the document's bag: PKCS#7 data.
const DATA_OID: &str = "1.2.840.113549.1.7.1";

/// A native provider with every version of its key: all that another cluster needs to be the same provider.
#[derive(Debug)]
pub struct Backup {
    /// The provider.
    pub provider: ProviderId,
    /// Its name, any Unicode, at most [`MAX_BACKUP_NAME_BYTES`].
    pub name: String,
    /// Whether only hosts with a TPM may hold its keys.
    pub tpm_required: bool,
    /// When the backup was made (RFC 3339).
    pub exported_at: String,
    /// The key that encrypts what is new; one of `keys`.
    pub current: KeyId,
    /// Every version of the key, 1 to [`MAX_BACKUP_KEYS`], in the order of the caller.
    pub keys: Vec<BackupKey>,
}

/// One version of the provider's key.
#[derive(Debug)]
pub struct BackupKey {
    /// Its ID.
    pub id: KeyId,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// The key.
    pub kdk: Kdk,
}

/// Why a backup was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteBackupError {
    /// A password was given, but it has no character.
    #[error("the backup's password is empty; give a password, or say that there is to be none")]
    EmptyPassword,
    /// The password cannot be used in a PKCS#12 file.
    #[error(transparent)]
    UnusablePassword(#[from] UnusablePassword),
    /// The provider's parts do not fit together.
    #[error("the provider cannot be backed up")]
    Inconsistent(#[from] Inconsistency),
    /// The PKCS#12 library failed.
    #[error("cannot write the PKCS#12 file")]
    Pkcs12(#[source] Pkcs12Error),
    /// The PKCS#12 library left out a key.
    #[error("the PKCS#12 file came out incomplete; nothing was backed up")]
    Incomplete,
}

/// Why a file was not read as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no byte.
    #[error("the backup file is empty; take another copy of it")]
    Empty,
    /// The file has more than [`MAX_BACKUP_BYTES`].
    #[error("the file is no backup: it has more than {MAX_BACKUP_BYTES} bytes")]
    TooLarge,
    /// The file ends before the end that its first bytes announce.
    #[error("the backup file is truncated: it has {len} bytes and should have {expected}; take another copy of it")]
    Truncated {
        /// The bytes that are there.
        len: usize,
        /// The bytes that the header announces.
        expected: usize,
    },
    /// The bytes are not a PKCS#12 file.
    #[error("not a PKCS#12 file: {reason}; take another file or another copy")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// The PKCS#12 library cannot read the file.
    #[error("cannot read the PKCS#12 file; take another copy of it")]
    Unreadable(#[source] Pkcs12Error),
    /// A password is needed and none was given, or the file is damaged.
    #[error("the backup needs its password (or the file is damaged: PKCS#12 cannot tell which)")]
    PasswordNeeded,
    /// A password was given, but the file has none.
    #[error("the backup was made without a password; open it without one")]
    NoPasswordNeeded,
    /// The password is not the file's, or the file is damaged.
    #[error("the password is wrong or the backup file is damaged: PKCS#12 cannot tell which")]
    WrongPassword,
    /// The password cannot be one of a PKCS#12 file.
    #[error(transparent)]
    UnusablePassword(#[from] UnusablePassword),
    /// A PKCS#12 file of another program.
    #[error("the PKCS#12 file is not a Cadenas backup: {reason}; choose the file that `cadenas provider backup` made")]
    NotCadenas {
        /// By what it was told.
        reason: &'static str,
    },
    /// A backup of a later Cadenas.
    #[error("the backup has format {format:?}, which this version of Cadenas does not know; use a newer one")]
    UnknownVersion {
        /// The format that the file names.
        format: String,
    },
    /// The file is authentic, but its parts do not fit together.
    #[error("the backup contradicts itself; take another backup")]
    Inconsistent(#[from] Inconsistency),
}

/// The password cannot be used in a PKCS#12 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the password cannot be used in a PKCS#12 file: it must be UTF-8 text without characters beyond U+FFFF (emoji are such) and \
     without a NUL; choose another one"
)]
pub struct UnusablePassword;

impl Backup {
    /// The PKCS#12 file, under `password` (UTF-8), or under the empty password for `None`.
    ///
    /// Takes about 80 ms a key. openssl opens a file with any password of this kind; Java's keytool only one in ASCII.
    pub fn to_p12(&self, password: Option<&SecretBytes>) -> Result<Vec<u8>, WriteBackupError> {
        self.to_p12_with(password, ROUNDS)
    }

    /// Reads a file that [`Self::to_p12`] made; `None` stands for the empty password.
    ///
    /// Nothing of the content is believed before the MAC is verified.
    pub fn from_p12(file: &[u8], password: Option<&SecretBytes>) -> Result<Self, BackupError> {
        let secrets = envelope::secret_bags(file)?;
        let archive = opened(file, password)?;
        if archive.secrets.len() != secrets {
            return Err(Inconsistency::UnreadableBag.into());
        }
        let (documents, keys): (Vec<_>, Vec<_>) =
            archive.secrets.into_iter().partition(|bag| alias_of(bag).starts_with(DOCUMENT_PREFIX));
        let [document] = documents.as_slice() else {
            return Err(Inconsistency::DocumentCount { count: documents.len() }.into());
        };
        let document = Document::parse(document.key.key())?;
        if alias_of(&documents[0]) != document_alias(document.provider) {
            return Err(Inconsistency::BagName.into());
        }
        document.into_backup(keys.iter().map(named_key).collect::<Result<_, _>>()?)
    }

    fn to_p12_with(&self, password: Option<&SecretBytes>, rounds: u32) -> Result<Vec<u8>, WriteBackupError> {
        let password = match password {
            Some(given) if given.is_empty() => return Err(WriteBackupError::EmptyPassword),
            Some(given) => usable(given)?,
            None => "",
        };
        let file = self
            .key_store()?
            .writer(password)
            .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
            .encryption_iterations(rounds)
            .mac_algorithm(MacAlgorithm::HmacSha256)
            .mac_iterations(rounds)
            .write()
            .map_err(WriteBackupError::Pkcs12)?;
        // The library leaves out a bag that it cannot encrypt, and says nothing.
        match envelope::secret_bags(&file) {
            Ok(bags) if bags == self.keys.len() + 1 => Ok(file),
            _ => Err(WriteBackupError::Incomplete),
        }
    }

    fn key_store(&self) -> Result<KeyStore, Inconsistency> {
        let document = Document::of(self)?;
        let mut store = KeyStore::new();
        let data = DATA_OID.parse().expect("an object identifier");
        store.add_entry(
            &document_alias(self.provider),
            secret_entry(data, document.to_json(), self.provider.uuid().as_bytes()),
        );
        for key in &self.keys {
            let bytes = key.kdk.expose().expose().to_vec();
            store.add_entry(&key_alias(key.id), secret_entry(SecretKeyType::Aes, bytes, key.id.uuid().as_bytes()));
        }
        Ok(store)
    }
}

/// A KDK as the file names it.
struct NamedKey {
    id: KeyId,
    kdk: Kdk,
}

fn named_key(bag: &p12_keystore::SecretBag) -> Result<NamedKey, Inconsistency> {
    let id = alias_of(bag).strip_prefix(KEY_PREFIX).and_then(|id| id.parse().ok()).ok_or(Inconsistency::BagName)?;
    let secret = SecretBytes::new_with(bag.key.key().len(), |out| out.copy_from_slice(bag.key.key()));
    let kdk = Kdk::from_secret(secret).map_err(|_| Inconsistency::KeyLength { key: id })?;
    Ok(NamedKey { id, kdk })
}

fn alias_of(bag: &p12_keystore::SecretBag) -> &str {
    bag.friendly_name.as_deref().unwrap_or_default()
}

fn document_alias(provider: ProviderId) -> String {
    format!("{DOCUMENT_PREFIX}{provider}")
}

fn key_alias(key: KeyId) -> String {
    format!("{KEY_PREFIX}{key}")
}

fn secret_entry(kind: SecretKeyType, bytes: Vec<u8>, local_id: &[u8]) -> KeyStoreEntry {
    let secret =
        Secret::builder(kind).with_key(bytes).with_local_key_id(local_id).build().expect("key and local ID are given");
    KeyStoreEntry::Secret(secret)
}

/// The MAC verified and the bags decrypted.
fn opened(file: &[u8], password: Option<&SecretBytes>) -> Result<Pkcs12Archive, BackupError> {
    let given = password.map(usable).transpose()?.unwrap_or_default();
    match Pkcs12Archive::from_pkcs12(file, given) {
        Ok(archive) => Ok(archive),
        Err(Pkcs12Error::MacError(_)) if given.is_empty() => Err(BackupError::PasswordNeeded),
        Err(Pkcs12Error::MacError(_)) if Pkcs12Archive::from_pkcs12(file, "").is_ok() => {
            Err(BackupError::NoPasswordNeeded)
        }
        Err(Pkcs12Error::MacError(_)) => Err(BackupError::WrongPassword),
        Err(error) => Err(BackupError::Unreadable(error)),
    }
}

/// The password as text that both derivations of PKCS#12 take: UTF-8 for PBES2, `BMPString` for the MAC.
fn usable(password: &SecretBytes) -> Result<&str, UnusablePassword> {
    let text = std::str::from_utf8(password.expose()).map_err(|_| UnusablePassword)?;
    let fits = text.chars().all(|c| c != '\0' && u32::from(c) <= 0xffff);
    if fits { Ok(text) } else { Err(UnusablePassword) }
}
