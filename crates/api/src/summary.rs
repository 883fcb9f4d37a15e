//! What is to be known at a glance.

use cadenas_keys::{ProviderId, VmId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How it stands with all VMs, and what needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// The host's name.
    pub host: String,
    /// Whether a TPM seals the keys of every host, as providers made for TPM-protected hosts demand.
    pub tpm_protected: bool,
    /// The VMs, counted.
    pub vms: VmCounts,
    /// What needs attention, the worst first.
    pub attention: Vec<Attention>,
}

/// VMs, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmCounts {
    /// All.
    pub total: u64,
    /// Those that are encrypted and whose keys are here.
    pub encrypted: u64,
    /// Those that are encrypted and lack a key.
    pub locked: u64,
    /// Those that are not encrypted.
    pub plain: u64,
    /// Those that run.
    pub running: u64,
    /// Those that should be re-encrypted.
    pub due: u64,
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// What it is.
    pub kind: AttentionKind,
    /// How bad it is.
    pub severity: Severity,
    /// How many VMs it is about, or how many keys.
    pub count: u64,
    /// The provider that it is about, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<NamedProvider>,
    /// The VM that it is about, when it is one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<NamedVm>,
}

/// A provider by ID and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedProvider {
    /// Its ID.
    #[schema(value_type = Uuid)]
    pub id: ProviderId,
    /// Its name.
    pub name: String,
}

/// A VM by ID and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedVm {
    /// Its ID.
    #[schema(value_type = Uuid)]
    pub id: VmId,
    /// Its name.
    pub name: String,
}

/// What needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// There is no key provider.
    NoProvider,
    /// There are providers, but none is the default.
    NoDefaultProvider,
    /// A provider's newest key is in no backup.
    ProviderNotBackedUp,
    /// The key servers of a standard provider are not trusted yet.
    ProviderNotTrusted,
    /// A provider cannot be used fully: a host lacks it, a key server does not answer.
    ProviderDegraded,
    /// A key that is in use must not be used any more.
    KeyAlarm,
    /// VMs lack a key.
    VmLocked,
    /// Something is wrong with VMs.
    VmProblem,
    /// VMs should be re-encrypted.
    RecryptDue,
    /// Native key providers are switched off.
    FeatureDisabled,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not work, or keys are in danger.
    Danger,
    /// It works, but not for long or not well.
    Warning,
    /// Good to know.
    Info,
}
