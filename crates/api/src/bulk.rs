//! Re-encrypting many VMs.

use std::num::NonZeroUsize;

use cadenas_keys::{ProviderId, VmId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// Re-encrypts every VM that is wrapped under one provider, or under any, with another.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecryptAll {
    /// Only VMs under this provider (name or ID); absent: every encrypted VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// With this provider (name or ID); absent: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many keys are asked of key servers at the same time (default 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub jobs: Option<NonZeroUsize>,
}

/// What re-encrypting many VMs would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecryptPlan {
    /// The provider that they would be wrapped under.
    #[schema(value_type = Uuid)]
    pub to: ProviderId,
    /// Its name.
    pub to_name: String,
    /// Each VM that was asked for, by name.
    pub vms: Vec<PlannedVm>,
}

/// One VM of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedVm {
    /// The VM.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// What would be done.
    pub step: PlannedStep,
    /// Why it cannot be done, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a plan says of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedStep {
    /// Its keys are wrapped anew.
    Recrypt,
    /// It is wrapped under that key already.
    AlreadySo,
    /// It cannot be done; the reason says why.
    Cannot,
}

/// What became of many VMs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkOutcome {
    /// So many were re-encrypted.
    pub changed: u64,
    /// So many were so already.
    pub already: u64,
    /// So many were not re-encrypted; they open with the key that they had.
    pub failed: u64,
    /// The first of them, 500 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<BulkFailure>,
    /// How long half of them took, in microseconds: from the reading of the descriptor to the flush of its successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_microseconds: Option<u64>,
    /// How long 99 of a hundred took at most, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_microseconds: Option<u64>,
}

/// A VM that was not re-encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkFailure {
    /// The VM.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Why.
    pub problem: Problem,
}
