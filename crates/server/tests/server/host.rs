//! A host in memory: VMs are entries of a map, keys are real.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cadenas_api::{
    Check, DATASTORE_DEFAULT, HomeKeys, Host, HostEvent, KeyPush, KeyUser, MissingKey, ObjectVerdict, Padlock,
    PowerState, Problem, ProblemCode, ProviderRef, RewrapVm, RewrappedVm, RewriteEstimate, TaskProgress,
    VM_ENCRYPTION_POLICY, Verdict, Vm, VmOperation, VmOutcome,
};
use cadenas_keys::{KeyId, KeyRing, KmsKeyId, NeededKey, ProviderId, ProviderKey, VmId};
use tokio::sync::mpsc;

/// What a VM's next operations do instead of their work.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Move bytes until they are cancelled, and then undo themselves.
    UntilCancelled,
    /// Go on for ever, whatever they are asked.
    Stuck,
    Fail(Problem),
    Panic,
}

#[derive(Default)]
struct State {
    vms: BTreeMap<VmId, Vm>,
    scripts: BTreeMap<VmId, Script>,
    repairs: Vec<HostEvent>,
    listeners: Vec<mpsc::UnboundedSender<HostEvent>>,
    given: Vec<(ProviderId, KeyId)>,
    kms_keys: BTreeMap<(ProviderId, KeyId), KmsKeyId>,
    batches: Vec<usize>,
    copies: BTreeMap<PathBuf, Vm>,
    rewrites: Vec<(String, (ProviderId, KeyId))>,
}

#[derive(Default)]
pub(crate) struct MemoryHost {
    keys: KeyRing,
    state: Mutex<State>,
    pub(crate) refuses_keys: AtomicBool,
    pub(crate) knows_no_vms: AtomicBool,
    /// How often all VMs were asked for.
    pub(crate) listings: AtomicUsize,
}

impl MemoryHost {
    pub(crate) fn add_vm(&self, name: &str) -> VmId {
        let id = VmId::random();
        self.state().vms.insert(id, plain(id, name));
        id
    }

    /// So many VMs were re-encrypted at a time.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.state().batches.clone()
    }

    /// Copies a VM's home as it is now.
    pub(crate) fn copy_home(&self, vm: VmId, path: &str) {
        let mut state = self.state();
        let copy = state.vms[&vm].clone();
        state.copies.insert(path.into(), copy);
    }

    /// From now on the VM's home cannot be read.
    pub(crate) fn lose_home(&self, vm: VmId) {
        let mut state = self.state();
        let vm = state.vms.get_mut(&vm).expect("was added");
        vm.providers.clear();
        let gone = format!("the home of VM {} is gone", vm.name);
        vm.problem = Some(Problem::new(ProblemCode::HomeUnfit, gone));
    }

    /// From now on an interrupted rewrite of a VM waits, which needs a key.
    pub(crate) fn leave_rewrite(&self, name: &str, key: (ProviderId, KeyId)) {
        self.state().rewrites.push((name.to_owned(), key));
    }

    pub(crate) fn script(&self, vm: VmId, script: Script) {
        self.state().scripts.insert(vm, script);
    }

    /// What the next repair tells.
    pub(crate) fn will_repair(&self, kind: &'static str, vm: VmId, message: &str) {
        self.state().repairs.push(HostEvent { kind, vm: Some(vm), message: message.to_owned() });
    }

    pub(crate) fn happens(&self, event: &HostEvent) {
        self.state().listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    /// Another process's host with the same VMs and none of the keys.
    pub(crate) fn restarted(&self) -> Self {
        let fresh = Self::default();
        fresh.state().vms = self.state().vms.clone();
        fresh
    }

    pub(crate) fn has(&self, provider: ProviderId, key: KeyId) -> bool {
        self.keys.has(provider, key)
    }

    /// Every key that was ever given, in order.
    pub(crate) fn given(&self) -> Vec<(ProviderId, KeyId)> {
        self.state().given.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds the lock")
    }

    fn seen(&self, vm: &Vm) -> Vm {
        let missing: Vec<_> = vm.providers.iter().filter(|used| !self.keys.has(used.id, used.key)).collect();
        let padlock = match (vm.padlock, missing.is_empty()) {
            (Padlock::None, _) => Padlock::None,
            (_, true) => Padlock::Encrypted,
            (_, false) => Padlock::Locked,
        };
        let missing_key =
            |used: &&ProviderRef| MissingKey { provider: used.id, key: used.key, kms_key: used.kms_key.clone() };
        let missing_keys = missing.iter().map(missing_key).collect();
        Vm { padlock, missing_keys, ..vm.clone() }
    }

    fn wrap(&self, id: VmId, provider: ProviderId, key: KeyId) -> Result<VmOutcome, Problem> {
        let Some(fingerprint) = self.keys.fingerprint(provider, key) else {
            return Err(Problem::new(ProblemCode::ProviderNotUsable, "the key is not here"));
        };
        let mut state = self.state();
        let kms_key = state.kms_keys.get(&(provider, key)).cloned();
        let used = ProviderRef { id: provider, name: None, key, fingerprint, kms_key, created: None, state: None };
        let vm = state.vms.get_mut(&id).expect("was found");
        let used = vec![used];
        let changed = vm.providers != used;
        vm.providers = used;
        vm.padlock = Padlock::Encrypted;
        VM_ENCRYPTION_POLICY.clone_into(&mut vm.policy);
        Ok(VmOutcome { changed, message: "wrapped".to_owned(), ..VmOutcome::default() })
    }

    fn rewrap(&self, rewrap: RewrapVm) -> Result<VmOutcome, Problem> {
        let RewrapVm { vm, from, provider, key } = rewrap;
        if self.state().vms[&vm].wrapped_under() != from {
            return Err(Problem::new(ProblemCode::VmChanged, "it was wrapped under other keys meanwhile"));
        }
        self.wrap(vm, provider, key)
    }

    fn change(&self, id: VmId, change: impl FnOnce(&mut Vm)) -> VmOutcome {
        change(self.state().vms.get_mut(&id).expect("was found"));
        VmOutcome { changed: true, message: "done".to_owned(), ..VmOutcome::default() }
    }
}

#[async_trait]
impl Host for MemoryHost {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn give_key(&self, push: KeyPush) -> Result<(), Problem> {
        if self.refuses_keys.load(Ordering::Relaxed) {
            return Err(Problem::new(ProblemCode::Internal, "no locked memory is left"));
        }
        let KeyPush { provider, key, secret } = push;
        self.state().given.push((provider, key));
        if let ProviderKey::Kek { kms_key, .. } = &secret {
            self.state().kms_keys.insert((provider, key), kms_key.clone());
        }
        let inserted = self.keys.insert(provider, key, secret);
        inserted.map(drop).map_err(|error| Problem::new(ProblemCode::DifferentKey, error.to_string()))
    }

    async fn forget_provider(&self, provider: ProviderId) -> Result<(), Problem> {
        self.keys.remove_provider(provider);
        Ok(())
    }

    async fn repair(&self) -> Vec<HostEvent> {
        std::mem::take(&mut self.state().repairs)
    }

    async fn vms(&self) -> Result<Vec<Vm>, Problem> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        if self.knows_no_vms.load(Ordering::Relaxed) {
            return Err(Problem::new(ProblemCode::DatastoreFailed, "the inventory cannot be read"));
        }
        Ok(self.state().vms.values().map(|vm| self.seen(vm)).collect())
    }

    async fn key_users(&self) -> Result<Vec<KeyUser>, Problem> {
        let user = |vm: Vm| {
            let unknown = vm.problem.clone().filter(|_| !vm.keys_are_known());
            let keys = unknown.map_or(Ok(vm.wrapped_under()), Err);
            KeyUser { name: vm.name, keys }
        };
        Ok(self
            .vms()
            .await?
            .into_iter()
            .map(user)
            .chain(self.state().rewrites.clone().into_iter().map(rewrite))
            .collect())
    }

    async fn vm(&self, id: VmId) -> Result<Vm, Problem> {
        let missing = || Problem::new(ProblemCode::NoSuchVm, format!("there is no VM {id}"));
        self.state().vms.get(&id).map(|vm| self.seen(vm)).ok_or_else(missing)
    }

    async fn estimate_rewrite(&self, id: VmId) -> Result<RewriteEstimate, Problem> {
        self.vm(id).await.map(|_| RewriteEstimate { bytes: 1 << 30, copy_fits: true })
    }

    async fn run(&self, vm: VmId, operation: VmOperation, progress: Arc<TaskProgress>) -> Result<VmOutcome, Problem> {
        let script = self.state().scripts.get(&vm).cloned();
        match script {
            Some(Script::UntilCancelled) => return until_cancelled(&progress).await,
            Some(Script::Stuck) => std::future::pending().await,
            Some(Script::Fail(problem)) => return Err(problem),
            Some(Script::Panic) => panic!("as the script says, with hunter2"),
            None => {}
        }
        match operation {
            VmOperation::Encrypt { provider, key, .. } | VmOperation::DeepRecrypt { provider, key, .. } => {
                self.wrap(vm, provider, key)
            }
            VmOperation::Recrypt { from, provider, key } => self.rewrap(RewrapVm { vm, from, provider, key }),
            VmOperation::Decrypt { .. } => Ok(self.change(vm, |found| *found = plain(found.id, &found.name))),
            VmOperation::Start => Ok(self.change(vm, |found| found.power = PowerState::Running)),
            VmOperation::Shutdown { .. } | VmOperation::Kill => {
                Ok(self.change(vm, |found| found.power = PowerState::Off))
            }
            VmOperation::Unlock => Ok(self.change(vm, |_| {})),
            VmOperation::Verify => Ok(verified()),
        }
    }

    async fn recrypt_many(&self, vms: Vec<RewrapVm>) -> Vec<RewrappedVm> {
        self.state().batches.push(vms.len());
        let rewrapped = |rewrap: RewrapVm| {
            let script = self.state().scripts.get(&rewrap.vm).cloned();
            let result = match script {
                Some(Script::Fail(problem)) => Err(problem),
                _ => self.rewrap(rewrap.clone()),
            };
            RewrappedVm { vm: rewrap.vm, result }
        };
        vms.into_iter().map(rewrapped).collect()
    }

    async fn look_at_home(&self, path: PathBuf) -> Result<HomeKeys, Problem> {
        let gone = || Problem::new(ProblemCode::HomeUnfit, format!("no VM home at {}", path.display()));
        let state = self.state();
        let vm = state.copies.get(&path).ok_or_else(gone)?;
        let needed = |used: &ProviderRef| NeededKey { provider: used.id, key: used.key, kms_key: used.kms_key.clone() };
        Ok(HomeKeys { vm: vm.id, name: vm.name.clone(), keys: vm.providers.iter().map(needed).collect() })
    }

    async fn register(&self, path: PathBuf) -> Result<Vm, Problem> {
        let name = path.file_name().expect("a folder").to_string_lossy().into_owned();
        let id = self.add_vm(&name);
        self.vm(id).await
    }

    async fn unregister(&self, vm: VmId) -> Result<(), Problem> {
        self.state().vms.remove(&vm);
        Ok(())
    }

    async fn doctor(&self) -> Vec<Check> {
        vec![Check { name: "libvirt".to_owned(), verdict: Verdict::Ok, found: "none needed".to_owned(), mend: None }]
    }

    fn events(&self) -> mpsc::UnboundedReceiver<HostEvent> {
        let (listener, events) = mpsc::unbounded_channel();
        self.state().listeners.push(listener);
        events
    }
}

fn rewrite((name, key): (String, (ProviderId, KeyId))) -> KeyUser {
    KeyUser { name, keys: Ok([key].into()) }
}

async fn until_cancelled(progress: &TaskProgress) -> Result<VmOutcome, Problem> {
    progress.expect(1 << 40);
    while !progress.is_cancelled() {
        progress.advance(4096);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err(Problem::new(ProblemCode::Cancelled, "cancelled"))
}

fn plain(id: VmId, name: &str) -> Vm {
    Vm {
        id,
        name: name.to_owned(),
        power: PowerState::Off,
        padlock: Padlock::None,
        policy: DATASTORE_DEFAULT.to_owned(),
        providers: vec![],
        home: None,
        disks: vec![],
        missing_keys: vec![],
        task: None,
        template: false,
        due: None,
        problem: None,
    }
}

fn verified() -> VmOutcome {
    let object = ObjectVerdict {
        object: "disk:vda".to_owned(),
        encrypted: false,
        key: None,
        detail: "read".to_owned(),
        problem: None,
    };
    VmOutcome { changed: false, message: "looked".to_owned(), objects: vec![object], ..VmOutcome::default() }
}
