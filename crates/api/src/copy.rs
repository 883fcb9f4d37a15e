//! Copies of VM homes that are no VMs of the inventory: backups, above all. They need keys too.

use std::path::PathBuf;

use cadenas_keys::{NeededKey, VmId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::MissingKey;

/// A copy of a VM home that was made known, so that nobody removes a key that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownCopy {
    /// Its folder or descriptor.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// The VM that it is a copy of.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// That VM's name.
    pub name: String,
    /// The keys that it needs, as last seen.
    pub keys: Vec<MissingKey>,
    /// When that was.
    #[schema(value_type = String, format = DateTime)]
    pub seen: Timestamp,
    /// Why it cannot be seen now, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Makes a copy known, or forgets it; its files stay as they are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyPath {
    /// The folder or the descriptor in it, absolute.
    #[schema(value_type = String)]
    pub path: PathBuf,
}

/// What a host reads of a VM home without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeKeys {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// The keys that it needs.
    pub keys: Vec<NeededKey>,
}
