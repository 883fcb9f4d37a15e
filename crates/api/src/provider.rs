//! Key providers.

use cadenas_keys::{Fingerprint, KeyId, ProviderId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{ProviderName, Vm};

/// A key provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Never changes.
    #[schema(value_type = Uuid)]
    pub id: ProviderId,
    /// Can be changed; objects never refer to it.
    #[schema(value_type = String)]
    pub name: ProviderName,
    /// What kind of provider.
    pub kind: ProviderKind,
    /// Whether it can encrypt now.
    pub state: ProviderState,
    /// Why it cannot encrypt, when it is not `active`; what is still to be done, when its newest key is in no backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether VMs are encrypted with it unless another is named.
    pub default: bool,
    /// Whether only hosts whose keys a TPM 2.0 seals may use it.
    pub tpm_required: bool,
    /// The key that encrypts now: the newest that is in a proved backup.
    #[schema(value_type = Option<Uuid>)]
    pub key: Option<KeyId>,
    /// Every version of the key, newest first.
    pub versions: Vec<KeyVersion>,
    /// How many VMs on the hosts have an object wrapped under it.
    pub vms: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// One version of a provider's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyVersion {
    /// The key ID.
    #[schema(value_type = Uuid)]
    pub id: KeyId,
    /// Tells two keys apart; says nothing about the key.
    #[schema(value_type = String)]
    pub fingerprint: Fingerprint,
    /// Whether it encrypts.
    pub state: KeyVersionState,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When a backup that holds it was last proved to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub backed_up: Option<Timestamp>,
    /// Whether that backup has a password. `false` stays visible: whoever has the file has the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_has_password: Option<bool>,
}

/// What a version of a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyVersionState {
    /// In no proved backup: encrypts nothing yet.
    NotBackedUp,
    /// Encrypts.
    Current,
    /// Opens what it once encrypted.
    Old,
}

/// Where the key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// The server's own key derivation key.
    Native,
}

/// Whether a provider can encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderState {
    /// Its key is in no proved backup: it encrypts nothing.
    NotBackedUp,
    /// The hosts are being given the key.
    Pushing,
    /// Every host has the key.
    Active,
    /// Some host lacks the key; see the reason.
    Degraded,
}

/// Makes a native key provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProvider {
    /// Its name.
    pub name: String,
    /// Whether only hosts whose keys a TPM 2.0 seals may use it.
    #[serde(default)]
    pub tpm_required: bool,
}

/// Gives a provider another name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameProvider {
    /// The new name.
    pub name: String,
}

/// Removes a provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteProvider {
    /// Remove it although VMs use it; they lock when they stop.
    #[serde(default)]
    pub force: bool,
    /// The provider's name once more, which `force` needs.
    pub confirm: Option<String>,
}

impl Provider {
    /// Whether `vm` has an object wrapped under this provider.
    #[must_use]
    pub fn serves(&self, vm: &Vm) -> bool {
        vm.providers.iter().any(|used| used.id == self.id)
    }
}
