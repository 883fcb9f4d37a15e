//! Storage policies.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The built-in policy that encrypts.
pub const VM_ENCRYPTION_POLICY: &str = "VM Encryption Policy";
/// The built-in policy that does not.
pub const DATASTORE_DEFAULT: &str = "Datastore Default";

/// A storage policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Whether a VM with this policy is encrypted.
    pub encrypts: bool,
    /// Whether it came with Cadenas.
    pub built_in: bool,
    /// One sentence.
    pub description: String,
}
