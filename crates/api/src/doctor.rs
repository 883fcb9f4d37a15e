//! What `cadenas doctor` finds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One prerequisite and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// A short name, stable: `libvirt`, `aes`, `swap`.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to mend it, when it is not fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How a prerequisite stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Fine.
    Ok,
    /// Works, but something is weaker or slower than it could be.
    Warning,
    /// Something will not work, or is not safe.
    Failure,
}
