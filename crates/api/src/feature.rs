//! Features that a service provider switches.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The feature without which no native key provider is created or restored.
pub const NATIVE_KEY_PROVIDER: &str = "native-key-provider";

/// A feature's switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// What users are told while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// One sentence.
    pub description: String,
}

/// Switches a feature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFeature {
    /// On or off.
    pub enabled: bool,
    /// What users are told while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
