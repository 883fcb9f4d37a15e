//! The JSON document inside a backup.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Backup, BackupError, BackupKey, MAX_BACKUP_KEYS, MAX_BACKUP_NAME_BYTES, NamedKey};
use crate::{Fingerprint, KeyId, ProviderId};

const FORMAT: &str = "cadenas/backup/v1";

/// Everything about the provider but its keys' bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format: String,
    pub(super) provider: ProviderId,
    name: String,
    tpm_required: bool,
    exported_at: String,
    current: KeyId,
    keys: Vec<DocumentKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentKey {
    id: KeyId,
    created_at: String,
    fingerprint: Fingerprint,
}

/// The part that every version of the document has.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// What does not fit together in a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// No key, or too many.
    #[error("it has {count} keys; 1 to {MAX_BACKUP_KEYS} can be backed up")]
    KeyCount {
        /// How many.
        count: usize,
    },
    /// The name is too long.
    #[error("the provider's name has {len} bytes; it may have {MAX_BACKUP_NAME_BYTES}")]
    NameLength {
        /// Its length in bytes.
        len: usize,
    },
    /// A time is not short ASCII text.
    #[error("the time {time:?} is not RFC 3339")]
    Time {
        /// The text.
        time: String,
    },
    /// Two keys have one ID, or one key has two IDs.
    #[error("key {key} is there twice")]
    DuplicateKey {
        /// The second one's ID.
        key: KeyId,
    },
    /// The current key is not among the keys.
    #[error("the current key {key} is not among its keys")]
    CurrentKeyMissing {
        /// The current key's ID.
        key: KeyId,
    },
    /// A key of the document has no bag, or another key's bytes stand in its bag.
    #[error("the bag of key {key} is missing or holds a different key")]
    KeyMismatch {
        /// The key's ID.
        key: KeyId,
    },
    /// A bag holds a key that the document does not name.
    #[error("key {key} is in the file but not in its list of keys")]
    UnlistedKey {
        /// The key's ID.
        key: KeyId,
    },
    /// A key has not the length of a KDK.
    #[error("key {key} has the wrong length")]
    KeyLength {
        /// The key's ID.
        key: KeyId,
    },
    /// Not exactly one document.
    #[error("it has {count} descriptions of the provider instead of one")]
    DocumentCount {
        /// How many.
        count: usize,
    },
    /// The document is not the JSON it must be.
    #[error("its description of the provider cannot be read")]
    DocumentSyntax,
    /// A bag's name is neither a key's nor the document's.
    #[error("a bag of the file has the wrong name")]
    BagName,
    /// A bag does not decrypt under the password that the MAC was made with.
    #[error("a bag of the file does not decrypt")]
    UnreadableBag,
}

impl Document {
    pub(super) fn of(backup: &Backup) -> Result<Self, Inconsistency> {
        let keys = backup.keys.iter().map(|key| DocumentKey {
            id: key.id,
            created_at: key.created_at.clone(),
            fingerprint: key.kdk.fingerprint(),
        });
        Self {
            format: FORMAT.to_owned(),
            provider: backup.provider,
            name: backup.name.clone(),
            tpm_required: backup.tpm_required,
            exported_at: backup.exported_at.clone(),
            current: backup.current,
            keys: keys.collect(),
        }
        .checked()
    }

    pub(super) fn parse(json: &[u8]) -> Result<Self, BackupError> {
        let Format { format } = serde_json::from_slice(json).map_err(|_| Inconsistency::DocumentSyntax)?;
        if format != FORMAT {
            return Err(BackupError::UnknownVersion { format: format.chars().take(80).collect() });
        }
        let document: Self = serde_json::from_slice(json).map_err(|_| Inconsistency::DocumentSyntax)?;
        Ok(document.checked()?)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, booleans and lists become JSON")
    }

    /// Joins the document with the keys of the file's bags.
    pub(super) fn into_backup(self, bags: Vec<NamedKey>) -> Result<Backup, BackupError> {
        let mut found = BTreeMap::new();
        for NamedKey { id, kdk } in bags {
            if found.insert(id, kdk).is_some() {
                return Err(Inconsistency::DuplicateKey { key: id }.into());
            }
        }
        let keys = self.keys.into_iter().map(|key| match found.remove(&key.id) {
            Some(kdk) if kdk.fingerprint() == key.fingerprint => {
                Ok(BackupKey { id: key.id, created_at: key.created_at, kdk })
            }
            _ => Err(Inconsistency::KeyMismatch { key: key.id }),
        });
        let keys = keys.collect::<Result<_, _>>()?;
        if let Some((&key, _)) = found.first_key_value() {
            return Err(Inconsistency::UnlistedKey { key }.into());
        }
        Ok(Backup {
            provider: self.provider,
            name: self.name,
            tpm_required: self.tpm_required,
            exported_at: self.exported_at,
            current: self.current,
            keys,
        })
    }

    fn checked(self) -> Result<Self, Inconsistency> {
        if self.keys.is_empty() || self.keys.len() > MAX_BACKUP_KEYS {
            return Err(Inconsistency::KeyCount { count: self.keys.len() });
        }
        if self.name.len() > MAX_BACKUP_NAME_BYTES {
            return Err(Inconsistency::NameLength { len: self.name.len() });
        }
        self.check_times()?;
        self.check_keys()?;
        Ok(self)
    }

    fn check_times(&self) -> Result<(), Inconsistency> {
        let mut times = self.keys.iter().map(|key| &key.created_at).chain([&self.exported_at]);
        match times.find(|time| !may_be_time(time)) {
            Some(time) => Err(Inconsistency::Time { time: time.chars().take(80).collect() }),
            None => Ok(()),
        }
    }

    fn check_keys(&self) -> Result<(), Inconsistency> {
        let (mut ids, mut fingerprints) = (BTreeSet::new(), BTreeSet::new());
        if let Some(key) = self.keys.iter().find(|key| !ids.insert(key.id) || !fingerprints.insert(key.fingerprint)) {
            return Err(Inconsistency::DuplicateKey { key: key.id });
        }
        if ids.contains(&self.current) { Ok(()) } else { Err(Inconsistency::CurrentKeyMissing { key: self.current }) }
    }
}

/// RFC 3339 as far as it matters here: short, printable, `date T time zone`. Who shows a time parses it.
fn may_be_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    (20..=40).contains(&bytes.len())
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(byte))
}
