//! The trait through which the server reaches a host: in the same process now, over mutual TLS when they are apart.

use std::{
    collections::BTreeSet,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use cadenas_keys::{KeyId, ProviderId, ProviderKey, VmId};
use tokio::sync::mpsc;

use crate::{Check, DiskFormat, DiskMethod, HomeKeys, Problem, TaskProgress, Vm, VmOutcome, Wipe};

/// A host: it runs VMs, keeps their homes, and holds the keys.
#[async_trait]
pub trait Host: Send + Sync {
    /// The host's name, for people.
    fn name(&self) -> String;

    /// Gives the host a key. Giving the same key twice changes nothing; another key under a known ID is refused.
    async fn give_key(&self, key: KeyPush) -> Result<(), Problem>;

    /// Takes every key of a provider from the host.
    async fn forget_provider(&self, provider: ProviderId) -> Result<(), Problem>;

    /// Finishes or undoes what a crash interrupted. Called when all known keys were given, and again when asked; what cannot
    /// be settled yet (libvirt does not answer) stays for the next call. Tells what became of each VM concerned.
    async fn repair(&self) -> Vec<HostEvent>;

    /// Every VM: libvirt's domains and the registered homes.
    async fn vms(&self) -> Result<Vec<Vm>, Problem>;

    /// Which keys the VMs here need, whatever state they are in, as it would be told after a power cut too.
    async fn key_users(&self) -> Result<Vec<KeyUser>, Problem>;

    /// One VM by ID.
    async fn vm(&self, id: VmId) -> Result<Vm, Problem>;

    /// How much work it would be to rewrite a VM's disks: to encrypt it as a whole, to decrypt it, to give it new data keys. A problem
    /// if the VM is not fit for that now. Reads only.
    async fn estimate_rewrite(&self, id: VmId) -> Result<RewriteEstimate, Problem>;

    /// Does `operation` to a VM; the caller makes sure that there is one at a time for each VM.
    async fn run(&self, vm: VmId, operation: VmOperation, progress: Arc<TaskProgress>) -> Result<VmOutcome, Problem>;

    /// Re-encrypts many VMs at once, a few hundred at most: the same as [`VmOperation::Recrypt`] for each, with fewer flushes. The
    /// caller makes sure that nothing else is done to them meanwhile.
    async fn recrypt_many(&self, vms: Vec<RewrapVm>) -> Vec<RewrappedVm>;

    /// Adds a VM home to the inventory.
    async fn register(&self, path: PathBuf) -> Result<Vm, Problem>;

    /// Reads which keys a VM home needs, without making it known.
    async fn look_at_home(&self, path: PathBuf) -> Result<HomeKeys, Problem>;

    /// Drops a VM home from the inventory; its files stay.
    async fn unregister(&self, vm: VmId) -> Result<(), Problem>;

    /// The prerequisites on this host.
    async fn doctor(&self) -> Vec<Check>;

    /// What happens on the host by itself from now on: VMs that start, stop and crash.
    fn events(&self) -> mpsc::UnboundedReceiver<HostEvent>;
}

/// A key on its way to a host.
#[derive(Debug)]
pub struct KeyPush {
    /// Whose.
    pub provider: ProviderId,
    /// Which version.
    pub key: KeyId,
    /// The key itself.
    pub secret: ProviderKey,
}

/// A VM, and the keys without which it cannot be opened or an interrupted change of it cannot be settled.
#[derive(Debug)]
pub struct KeyUser {
    /// Its name.
    pub name: String,
    /// The keys, or why they are not known: its home cannot be read now.
    pub keys: Result<BTreeSet<(ProviderId, KeyId)>, Problem>,
}

/// What rewriting a VM's disks would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteEstimate {
    /// Bytes that the disks occupy.
    pub bytes: u64,
    /// Whether a copy of that fits beside them.
    pub copy_fits: bool,
}

/// A VM whose data keys shall be wrapped under another key, one of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrapVm {
    /// The VM.
    pub vm: VmId,
    /// The keys that it is wrapped under as far as is known. If others were added since, it is left as it is: a key that
    /// wraps something must be known before it is replaced.
    pub from: BTreeSet<(ProviderId, KeyId)>,
    /// Wrap under this provider's …
    pub provider: ProviderId,
    /// … key.
    pub key: KeyId,
}

/// What became of a [`RewrapVm`].
#[derive(Debug)]
pub struct RewrappedVm {
    /// The VM.
    pub vm: VmId,
    /// Its outcome. After a problem the VM opens with the key that it had.
    pub result: Result<VmOutcome, Problem>,
}

/// How an operation rewrites disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskWork {
    /// By a copy or in place; absent: by a copy where there is room for one.
    pub method: Option<DiskMethod>,
    /// Threads, unless as many as suit the machine.
    pub jobs: Option<NonZeroUsize>,
    /// Bytes per second, unless there is no limit.
    pub rate_limit: Option<NonZeroU64>,
}

/// Something to do to a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmOperation {
    /// Encrypt VM home and disks.
    Encrypt {
        /// The policy that asks for it.
        policy: String,
        /// Wrap under this provider's …
        provider: ProviderId,
        /// … key.
        key: KeyId,
        /// Only these disks; empty: all.
        disks: Vec<String>,
        /// Where, unless beside the first disk.
        home: Option<PathBuf>,
        /// The disks' format, unless what keeps holes.
        format: Option<DiskFormat>,
        /// How the disks are rewritten.
        work: DiskWork,
        /// What happens to the plain disks before they are removed.
        wipe: Wipe,
    },
    /// Bring back the plain disks and libvirt's definition.
    Decrypt {
        /// How the disks are rewritten.
        work: DiskWork,
    },
    /// Wrap the same data keys under another key.
    Recrypt {
        /// As in [`RewrapVm`].
        from: BTreeSet<(ProviderId, KeyId)>,
        /// This provider's …
        provider: ProviderId,
        /// … key.
        key: KeyId,
    },
    /// New data keys, rewritten disks.
    DeepRecrypt {
        /// Wrap under this provider's …
        provider: ProviderId,
        /// … key.
        key: KeyId,
        /// How the disks are rewritten.
        work: DiskWork,
    },
    /// Power on.
    Start,
    /// Ask the guest to power off, and wait.
    Shutdown {
        /// How long, in seconds.
        timeout: u64,
    },
    /// Power off at once.
    Kill,
    /// Try the keys again.
    Unlock,
    /// Read headers and samples.
    Verify,
}

impl VmOperation {
    /// The task kind: `vm.encrypt`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Encrypt { .. } => "vm.encrypt",
            Self::Decrypt { .. } => "vm.decrypt",
            Self::Recrypt { .. } => "vm.recrypt",
            Self::DeepRecrypt { .. } => "vm.deep-recrypt",
            Self::Start => "vm.start",
            Self::Shutdown { .. } => "vm.shutdown",
            Self::Kill => "vm.kill",
            Self::Unlock => "vm.unlock",
            Self::Verify => "vm.verify",
        }
    }
}

/// Something that happened on a host by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEvent {
    /// `vm.started`, `vm.stopped`, `vm.crashed`, `vm.rolled-back`, `vm.rolled-forward`, `vm.slots-erased`, `vm.needs-repair`.
    pub kind: &'static str,
    /// The VM concerned.
    pub vm: Option<VmId>,
    /// One sentence.
    pub message: String,
}
