//! The host in this process.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use cadenas_api::{
    Check, HomeKeys, Host, HostEvent, KeyPush, KeyUser, Problem, ProblemCode, RewrapVm, RewrappedVm, RewriteEstimate,
    TaskProgress, Vm, VmOperation, VmOutcome,
};
use cadenas_hypervisor::Hypervisor;
use cadenas_keys::{KeyRing, ProviderId, VmId};
use cadenas_vmhome::{Journal, JournalError, Steps};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    claims::{Claim, Claims},
    doctor, events,
    events::Events,
    inventory::{Inventory, InventoryError},
    locate::look_at_home,
    repair::Settled,
    seen::Seen,
};

/// The host's role on this machine. Cheap to clone; all clones are one host.
#[derive(Clone)]
pub struct LocalHost(pub(crate) Arc<Inner>);

/// What the operations share.
pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) keys: KeyRing,
    pub(crate) inventory: Inventory,
    pub(crate) journal: Journal,
    pub(crate) claims: Claims,
    pub(crate) seen: Seen,
    pub(crate) events: Arc<Events>,
    pub(crate) steps: Box<dyn Steps>,
    pub(crate) settled: Settled,
}

/// The host cannot work in its data folder.
#[derive(Debug, thiserror::Error)]
pub enum OpenHostError {
    /// The inventory.
    #[error("the host's data folder cannot be used")]
    Inventory(#[from] InventoryError),
    /// The journal.
    #[error("the host's journal cannot be used")]
    Journal(#[from] JournalError),
}

impl LocalHost {
    /// A host whose own files are below `data` (`homes/`, `journal/`), with the domains of `hypervisor`.
    pub fn open(data: &Path, hypervisor: Arc<dyn Hypervisor>) -> Result<Self, OpenHostError> {
        let events = Arc::new(Events::default());
        events::forward(&*hypervisor, Arc::clone(&events));
        Ok(Self(Arc::new(Inner {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            hypervisor,
            keys: KeyRing::new(),
            inventory: Inventory::open(data.join("homes"))?,
            journal: Journal::open(&data.join("journal"))?,
            claims: Claims::default(),
            seen: Seen::default(),
            events,
            steps: steps(),
            settled: Settled::default(),
        })))
    }

    /// Runs work that blocks (files, libvirt) where it does not hold up the server.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> T {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.expect("operations do not panic")
    }
}

#[cfg(not(feature = "crash-points"))]
fn steps() -> Box<dyn Steps> {
    Box::new(cadenas_vmhome::NoSteps)
}

#[cfg(feature = "crash-points")]
fn steps() -> Box<dyn Steps> {
    Box::new(crate::crash::CrashPoint::from_environment())
}

#[async_trait]
impl Host for LocalHost {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn give_key(&self, key: KeyPush) -> Result<(), Problem> {
        let KeyPush { provider, key, secret } = key;
        self.0.keys.insert(provider, key, secret).map(drop).map_err(|error| {
            Problem::new(ProblemCode::DifferentKey, error.to_string())
                .next("restore the backup of the provider that this host knows")
        })
    }

    async fn forget_provider(&self, provider: ProviderId) -> Result<(), Problem> {
        self.0.keys.remove_provider(provider);
        Ok(())
    }

    async fn repair(&self) -> Vec<HostEvent> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.repair()).await.expect("a repair does not panic")
    }

    async fn vms(&self) -> Result<Vec<Vm>, Problem> {
        self.blocking(Inner::vms).await
    }

    async fn key_users(&self) -> Result<Vec<KeyUser>, Problem> {
        self.blocking(Inner::key_users).await
    }

    async fn vm(&self, id: VmId) -> Result<Vm, Problem> {
        self.blocking(move |inner| inner.vm(id)).await
    }

    async fn estimate_rewrite(&self, id: VmId) -> Result<RewriteEstimate, Problem> {
        self.blocking(move |inner| inner.estimate_rewrite(id)).await
    }

    async fn run(&self, vm: VmId, operation: VmOperation, progress: Arc<TaskProgress>) -> Result<VmOutcome, Problem> {
        self.blocking(move |inner| inner.run(vm, operation, &progress)).await
    }

    async fn recrypt_many(&self, vms: Vec<RewrapVm>) -> Vec<RewrappedVm> {
        self.blocking(move |inner| inner.recrypt_many(&vms)).await
    }

    async fn look_at_home(&self, path: std::path::PathBuf) -> Result<HomeKeys, Problem> {
        self.blocking(move |_| look_at_home(&path)).await
    }

    async fn register(&self, path: std::path::PathBuf) -> Result<Vm, Problem> {
        self.blocking(move |inner| inner.register(&path)).await
    }

    async fn unregister(&self, vm: VmId) -> Result<(), Problem> {
        self.blocking(move |inner| inner.unregister(vm)).await
    }

    async fn doctor(&self) -> Vec<Check> {
        self.blocking(|inner| doctor::examine(&*inner.hypervisor)).await
    }

    fn events(&self) -> UnboundedReceiver<HostEvent> {
        self.0.events.listen()
    }
}

impl Inner {
    fn run(&self, vm: VmId, operation: VmOperation, progress: &TaskProgress) -> Result<VmOutcome, Problem> {
        let _claim = self.claim(vm)?;
        match operation {
            VmOperation::Encrypt { policy, provider, key, disks, home, format, work, wipe } => {
                let request = crate::encrypt::Request { policy, provider, key, disks, home, format, work, wipe };
                self.encrypt(vm, request, progress)
            }
            VmOperation::Decrypt { work } => self.decrypt(vm, work, progress),
            VmOperation::Recrypt { from, provider, key } => self.recrypt(RewrapVm { vm, from, provider, key }),
            VmOperation::DeepRecrypt { provider, key, work } => self.deep_recrypt(vm, (provider, key), work, progress),
            VmOperation::Start => self.start(vm),
            VmOperation::Shutdown { timeout } => self.shutdown(vm, timeout, progress),
            VmOperation::Kill => self.kill(vm),
            VmOperation::Unlock => self.unlock(vm),
            VmOperation::Verify => self.verify(vm),
        }
    }

    /// Takes the VM for one operation.
    pub(crate) fn claim(&self, vm: VmId) -> Result<Claim<'_>, Problem> {
        self.claims.claim(vm).ok_or_else(|| {
            Problem::new(ProblemCode::VmBusy, format!("VM {vm} is busy")).next("try again when that has ended")
        })
    }
}
