//! Backups of native key providers.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use cadenas_keys::{KeyId, ProviderId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::{Password, Provider, ProviderName};

/// The bytes of a PKCS#12 file; JSON carries them in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct P12(pub Vec<u8>);

impl fmt::Debug for P12 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P12({} bytes)", self.0.len())
    }
}

impl Serialize for P12 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for P12 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// Asks for a backup file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The password that will open the file. Absent only together with `no_password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
    /// Says that the file shall have no password; the provider shows it from then on.
    #[serde(default)]
    pub no_password: bool,
}

/// A backup file. It proves nothing until the stored copy was read again: see [`ConfirmBackup`].
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BackupFile {
    /// The file, PKCS#12, base64.
    #[schema(value_type = String, format = Byte)]
    pub p12: P12,
}

/// Proves a stored backup: the file as read back from where it is kept, and its password.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBackup {
    /// The file as it was read back.
    #[schema(value_type = String, format = Byte)]
    pub p12: P12,
    /// Its password, unless it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
}

/// Asks whether a file is a good backup; changes nothing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBackup {
    /// The file.
    #[schema(value_type = String, format = Byte)]
    pub p12: P12,
    /// Its password, unless it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
}

/// What a backup that opens holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupReport {
    /// Whose it is.
    #[schema(value_type = Uuid)]
    pub provider: ProviderId,
    /// The provider's name when the file was made.
    pub name: String,
    /// The versions of the key in it.
    #[schema(value_type = Vec<Uuid>)]
    pub keys: Vec<KeyId>,
    /// When the file was made (RFC 3339).
    pub exported: String,
    /// Whether it has a password.
    pub has_password: bool,
    /// Whether this server knows the provider, and the file holds every version of its key, the newest included.
    pub holds_present_key: bool,
    /// What is missing, when something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Restores a provider from a backup.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The file.
    #[schema(value_type = String, format = Byte)]
    pub p12: P12,
    /// Its password, unless it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
    /// Another name than the one in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<ProviderName>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What restoring did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestoreResult {
    /// The provider as it is, or would be.
    pub provider: Provider,
    /// What changed.
    pub outcome: Restored,
    /// Whether nothing was really done.
    pub dry_run: bool,
    /// VMs that were locked and are not any more.
    pub unlocked: Vec<String>,
}

/// The outcome of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restored {
    /// The provider was not known here and is now.
    Created,
    /// The provider was known; versions of its key were added.
    KeysAdded,
    /// Everything in the file was here already.
    AlreadySo,
}
