//! Key providers.

use cadenas_keys::{Fingerprint, KeyId, KmsKeyId, ProviderId, VmId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{KmsCluster, KmsKeyState, ProviderName, Rotation, Vm};

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
    /// The key that encrypts now: the newest that is in a proved backup. A standard provider has one for each VM instead.
    #[schema(value_type = Option<Uuid>)]
    pub key: Option<KeyId>,
    /// Every version of a native provider's key, newest first.
    pub versions: Vec<KeyVersion>,
    /// The key servers of a standard provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms: Option<KmsCluster>,
    /// Its schedule of rotations, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Keys of VMs that must not be used any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<KeyAlarm>,
    /// What still needs it. Only of a single provider, not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<ProviderUser>,
    /// How many VMs on the hosts have an object wrapped under it.
    pub vms: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// A key that is in use and must not be used any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyAlarm {
    /// The key.
    #[schema(value_type = Uuid)]
    pub key: KeyId,
    /// How the key server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kms_key: Option<KmsKeyId>,
    /// Its state in its key server, as last seen; absent: of a native key that was marked as compromised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<KmsKeyState>,
    /// The names of the VMs that are wrapped under it.
    pub vms: Vec<String>,
}

/// Something that needs a provider's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderUser {
    /// What it is.
    pub kind: UserKind,
    /// The VM.
    #[schema(value_type = Uuid)]
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Where, when it is no VM of the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The keys.
    #[schema(value_type = Vec<Uuid>)]
    pub keys: Vec<KeyId>,
}

/// What needs a provider's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserKind {
    /// A VM of the inventory.
    Vm,
    /// A VM of the inventory that is a template.
    Template,
    /// A copy of a VM home that was made known.
    Copy,
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
    /// Somebody else may have it: it encrypts nothing any more.
    Compromised,
}

/// Where the key comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// The server's own key derivation key.
    #[default]
    Native,
    /// Keys of an external key server, spoken to by KMIP.
    Standard,
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
    /// Some host lacks the key, or a key server does not answer; see the reason.
    Degraded,
    /// The key servers' certificates are not trusted yet: it encrypts nothing.
    NotTrusted,
}

/// Makes a key provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProvider {
    /// Its name.
    pub name: String,
    /// Whether only hosts whose keys a TPM 2.0 seals may use it.
    #[serde(default)]
    pub tpm_required: bool,
    /// Its kind.
    #[serde(default)]
    pub kind: ProviderKind,
    /// The key servers of a standard provider: `HOST` or `HOST:PORT` (default port 5696), in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kms: Vec<String>,
    /// The ID that a standard provider has on another server whose VMs are to be opened here. A native one brings its ID
    /// along in its backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub id: Option<ProviderId>,
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
