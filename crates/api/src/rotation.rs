//! Ages of keys, their rotation, and what is due.

use cadenas_keys::{KeyId, KmsKeyId, ProviderId, VmId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Padlock, ProviderKind};

/// A schedule of rotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rotation {
    /// So many days after the last one.
    pub every_days: u32,
    /// When the next one is due.
    #[schema(value_type = String, format = DateTime)]
    pub next: Timestamp,
}

/// Sets or ends a schedule of rotations.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRotation {
    /// 1 to 3650 days; absent: no schedule from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_days: Option<u32>,
}

/// A re-encryption that a VM should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecryptDue {
    /// Which.
    pub kind: RecryptKind,
    /// Why.
    pub reason: String,
}

/// The two ways of re-encrypting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecryptKind {
    /// New wrappings.
    Shallow,
    /// New data keys and rewritten disks.
    Deep,
}

/// One VM's keys and their ages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyReport {
    /// The VM.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Whether it opens here.
    pub padlock: Padlock,
    /// The provider.
    #[schema(value_type = Uuid)]
    pub provider: ProviderId,
    /// Its name, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// Its kind, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProviderKind>,
    /// The version of a native provider's key, or a standard provider's key of this VM.
    #[schema(value_type = Uuid)]
    pub key: KeyId,
    /// How the key server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kms_key: Option<KmsKeyId>,
    /// When that key was made, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub kek_created: Option<Timestamp>,
    /// Its age in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kek_age_seconds: Option<i64>,
    /// When the VM's data keys were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub dek_created: Option<Timestamp>,
    /// Their age in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dek_age_seconds: Option<i64>,
    /// What should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<RecryptDue>,
}

/// What a compromised key puts at risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompromiseReport {
    /// The key.
    #[schema(value_type = Uuid)]
    pub key: KeyId,
    /// Its provider.
    #[schema(value_type = Uuid)]
    pub provider: ProviderId,
    /// Its provider's name, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// The VMs whose data keys it wraps, or wrapped once: each needs a deep recrypt under another key.
    pub vms: Vec<ExposedVm>,
}

/// A VM whose data keys a compromised key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedVm {
    /// The VM.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Whether its data keys are wrapped under the key now, and not only in older copies of its descriptor.
    pub still: bool,
}
