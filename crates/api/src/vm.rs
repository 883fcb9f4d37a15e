//! Virtual machines.

use std::{
    collections::BTreeSet,
    fmt,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use cadenas_keys::{Fingerprint, KeyId, KmsKeyId, NeededKey, ProviderId, VmId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{BulkOutcome, KmsKeyState, Problem, RecryptDue, TaskId};

/// A VM in the inventory: a libvirt domain, or a VM home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    /// libvirt's UUID of the domain.
    #[schema(value_type = Uuid)]
    pub id: VmId,
    /// The domain's name.
    pub name: String,
    /// Whether it runs.
    pub power: PowerState,
    /// Whether it is encrypted, and can be opened here.
    pub padlock: Padlock,
    /// Its storage policy.
    pub policy: String,
    /// The providers and keys that its objects are wrapped under; one, unless a re-encryption was interrupted.
    pub providers: Vec<ProviderRef>,
    /// The folder of an encrypted VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub home: Option<PathBuf>,
    /// Its disks. Of a locked VM only those that the readable header names.
    pub disks: Vec<Disk>,
    /// The keys that a locked VM lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_keys: Vec<MissingKey>,
    /// The task that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Whether it is a template: it is re-encrypted with the others and does not start.
    #[serde(default)]
    pub template: bool,
    /// The re-encryption that it should have, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<RecryptDue>,
    /// What is wrong with it, when something is: an unreadable descriptor, an interrupted change that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Vm {
    /// The keys that its objects are wrapped under.
    #[must_use]
    pub fn wrapped_under(&self) -> BTreeSet<(ProviderId, KeyId)> {
        self.providers.iter().map(|used| (used.id, used.key)).collect()
    }

    /// Whether [`Self::providers`] tells all: it is empty too when the home cannot be read.
    #[must_use]
    pub fn keys_are_known(&self) -> bool {
        self.padlock == Padlock::None || !self.providers.is_empty()
    }
}

/// The padlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Padlock {
    /// Not encrypted.
    None,
    /// Encrypted, and its keys are here.
    Encrypted,
    /// Encrypted, and a key is missing here.
    Locked,
}

/// Whether a VM runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// Off.
    Off,
    /// Running.
    Running,
    /// Stopped for a while, its memory kept.
    Paused,
    /// On its way down, crashed, suspended by its guest.
    Other,
    /// libvirt does not answer.
    Unknown,
}

impl From<NeededKey> for MissingKey {
    fn from(needed: NeededKey) -> Self {
        Self { provider: needed.provider, key: needed.key, kms_key: needed.kms_key }
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Other => "other",
            Self::Unknown => "unknown",
        })
    }
}

/// A provider's key that a VM uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderRef {
    /// The provider.
    #[schema(value_type = Uuid)]
    pub id: ProviderId,
    /// Its name, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version of its key.
    #[schema(value_type = Uuid)]
    pub key: KeyId,
    /// Tells two keys apart.
    #[schema(value_type = String)]
    pub fingerprint: Fingerprint,
    /// How the key server of a standard provider names the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kms_key: Option<KmsKeyId>,
    /// When the key was made, when this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<Timestamp>,
    /// The key's state in its key server, as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<KmsKeyState>,
}

/// A key that a locked VM lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingKey {
    /// The provider.
    #[schema(value_type = Uuid)]
    pub provider: ProviderId,
    /// The version of its key.
    #[schema(value_type = Uuid)]
    pub key: KeyId,
    /// How the key server of a standard provider names the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kms_key: Option<KmsKeyId>,
}

/// A VM's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// libvirt's target: `vda`.
    pub target: String,
    /// Its file, or what libvirt names as its source.
    pub source: String,
    /// The image's format: `raw`, `qcow2`, `luks`.
    pub format: String,
    /// What the guest sees, in bytes, when it can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether it is encrypted by Cadenas.
    pub encrypted: bool,
    /// The sector cipher of an encrypted disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// When the data encryption key of an encrypted disk was made; its age is the key age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub key_created: Option<Timestamp>,
}

/// Which VMs. Without any of these: all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VmQuery {
    /// Only those whose name contains this, whatever the case.
    pub search: Option<String>,
    /// Only those with this padlock.
    pub padlock: Option<Padlock>,
    /// Only those in this power state.
    pub power: Option<PowerState>,
    /// Only those that use this provider (name or ID).
    pub provider: Option<String>,
    /// Only those that should be re-encrypted, or only those that need not be.
    pub due: Option<bool>,
    /// Leave out so many of the first.
    pub offset: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Sets a VM's storage policy, which encrypts or decrypts it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// The policy's name.
    pub policy: String,
    /// Encrypt with this provider (name or ID) rather than the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Encrypt only these disks (targets) and the VM home; empty: all disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// The new folder for the VM home, absolute; absent: a folder with the VM's name beside its first disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub home: Option<PathBuf>,
    /// The encrypted disks' format; absent: what keeps holes (see the docs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
    /// By a copy, or in place where the disks lie; absent: by a copy where there is room for one, else in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<DiskMethod>,
    /// Threads for the disks; absent: as many as suit the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub jobs: Option<NonZeroUsize>,
    /// At most so many bytes of the disks in a second; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub rate_limit: Option<NonZeroU64>,
    /// What happens to the plain disks before they are removed, after an encryption by a copy; absent: `discard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Wipe>,
}

/// How an operation gets at rewritten disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskMethod {
    /// By a copy beside them, which is compared before they are removed.
    Copy,
    /// By rewriting them where they lie, with a journal that makes every interruption harmless.
    InPlace,
}

/// What happens to a plain disk before it is removed. None of it reaches what snapshots, copy-on-write file systems and flash keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wipe {
    /// It is only removed.
    None,
    /// Its blocks are given back to the file system.
    #[default]
    Discard,
    /// Zeros are written over it.
    Zero,
}

/// The format of an encrypted disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// qcow2 with LUKS inside.
    Qcow2,
    /// A raw LUKS1 volume.
    Luks,
}

/// Re-encrypts a VM.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecryptVm {
    /// With this provider (name or ID) rather than the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// New data keys and rewritten disks, not only new wrappings.
    #[serde(default)]
    pub deep: bool,
    /// By a copy, or in place where the disks lie; absent: by a copy where there is room for one, else in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<DiskMethod>,
    /// Threads for the disks; absent: as many as suit the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub jobs: Option<NonZeroUsize>,
    /// At most so many bytes of the disks in a second; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub rate_limit: Option<NonZeroU64>,
}

/// Asks a guest to shut down.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownVm {
    /// How long to wait for it, in seconds (default 120).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// Makes a VM a template, or a VM again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTemplate {
    /// Whether it is a template from now on.
    pub template: bool,
}

/// Adds a VM home to the inventory.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterVm {
    /// The folder or the descriptor in it, absolute.
    #[schema(value_type = String)]
    pub path: PathBuf,
}

/// What an operation on a VM did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmOutcome {
    /// Whether anything was changed; `false` where it was already so.
    pub changed: bool,
    /// One sentence for people.
    pub message: String,
    /// What a verification found, object by object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectVerdict>,
    /// How long the host took for the core of a shallow re-encryption, in microseconds: read, rewrap, write, flush.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microseconds: Option<u64>,
    /// What became of each of many VMs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<BulkOutcome>,
    /// How the disks were rewritten, if they were; the message says why it was in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<DiskMethod>,
}

/// What verifying one object of a VM found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectVerdict {
    /// `configuration` or `disk:vda`.
    pub object: String,
    /// Whether it really is encrypted.
    pub encrypted: bool,
    /// Under which provider's key it is wrapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ProviderRef>,
    /// What was read to know it.
    pub detail: String,
    /// What is wrong, when something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
