//! What can be done to a VM now, and why the rest cannot.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DiskMethod, Problem};

/// An operation on a VM, looked at before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmAction {
    /// The operation.
    pub operation: ActionKind,
    /// Whether it would be taken now.
    pub allowed: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Problem>,
    /// How many bytes it reads, writes and compares, of an operation that rewrites disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// About how long that takes, in seconds, as fast as the last one was; absent of what takes no time to speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// How the disks would be rewritten unless the request says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<DiskMethod>,
}

/// What can be done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Give it the policy that encrypts.
    Encrypt,
    /// Give it the policy that does not.
    Decrypt,
    /// New wrappings.
    Recrypt,
    /// New data keys.
    DeepRecrypt,
    /// Power on.
    Start,
    /// Ask the guest to power off.
    Shutdown,
    /// Power off at once.
    Kill,
    /// Try the keys again.
    Unlock,
    /// Read headers and samples.
    Verify,
    /// Drop it from the inventory.
    Unregister,
    /// Make it a template.
    SetTemplate,
    /// Make the template a VM again.
    UnsetTemplate,
}

impl ActionKind {
    /// Every operation, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Encrypt,
        Self::Decrypt,
        Self::Recrypt,
        Self::DeepRecrypt,
        Self::Start,
        Self::Shutdown,
        Self::Kill,
        Self::Unlock,
        Self::Verify,
        Self::SetTemplate,
        Self::UnsetTemplate,
        Self::Unregister,
    ];
}
