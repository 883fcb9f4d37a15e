//! A VM with real disks in a temporary folder, a hypervisor that only remembers, and a process that can be ended at a step.
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use cadenas_image::{Access, File, NoProgress, Progress, Target, Tuning, convert, open_source};
use cadenas_keys::{Kdk, KeyId, KeyRing, NeededKey, ProviderId, VmId};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{
    Context, Decrypted, Definition, DefinitionError, DiskFormat, EncryptPlan, Journal, Method, NoSteps, PlainDisk,
    PlainFormat, RecryptError, Recrypted, Repaired, Rewrap, Step, Steps, TransitionError, Unlocked, VmHome, Wipe,
    decrypt, deep_recrypt, encrypt, recrypt, repair,
};
use tempfile::TempDir;

pub(crate) const XML: &str = "<domain type='kvm'>\n  <name>web01</name>\n  <!-- Größe -->\n</domain>\n";
pub(crate) const NOW: &str = "2026-11-24T00:00:00Z";

/// A hypervisor of one VM.
#[derive(Default)]
pub(crate) struct Twin {
    defined: Mutex<Option<(String, bool)>>,
    unreachable: AtomicBool,
}

impl Twin {
    pub(crate) fn defined(&self) -> Option<(String, bool)> {
        self.defined.lock().expect("not poisoned").clone()
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.unreachable.store(!reachable, Ordering::Relaxed);
    }

    fn change(&self, to: Option<(String, bool)>) -> Result<(), DefinitionError> {
        if self.unreachable.load(Ordering::Relaxed) {
            return Err(DefinitionError::new("no answer at the socket"));
        }
        *self.defined.lock().expect("not poisoned") = to;
        Ok(())
    }
}

impl Definition for Twin {
    fn define(&self, _: VmId, xml: &str, autostart: bool) -> Result<(), DefinitionError> {
        self.change(Some((xml.to_owned(), autostart)))
    }

    fn undefine(&self, _: VmId) -> Result<(), DefinitionError> {
        self.change(None)
    }
}

/// A disk as its guest sees it, to be found again after whatever happens.
pub(crate) struct Guest {
    pub(crate) plain: PlainDisk,
    pub(crate) bytes: Vec<u8>,
}

/// One VM, plain or encrypted, with everything around it.
pub(crate) struct Bed {
    pub(crate) folder: TempDir,
    pub(crate) journal: Journal,
    pub(crate) keyring: KeyRing,
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
    /// A second key of the same provider.
    pub(crate) next_key: KeyId,
    pub(crate) twin: Twin,
    pub(crate) vm: VmId,
    pub(crate) guests: Vec<Guest>,
}

impl Bed {
    /// A plain VM: `vda` raw with holes and of an odd size, `vdb` qcow2 with small clusters, `vdc` raw without holes.
    pub(crate) fn plain() -> Self {
        let bed = Self::without_disks();
        let mut bed = bed;
        bed.add_raw("vda", &sparse_bytes((3 << 20) + 512));
        bed.add_qcow2("vdb", &sparse_bytes(2 << 20));
        bed.add_raw("vdc", &full_bytes((256 << 10) + 100));
        bed
    }

    /// A plain VM with two small disks, for tests that run often.
    pub(crate) fn small() -> Self {
        let mut bed = Self::without_disks();
        bed.add_raw("vda", &sparse_bytes(512 << 10));
        bed.add_raw("vdb", &full_bytes(128 << 10));
        bed
    }

    pub(crate) fn without_disks() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(&folder.path().join("journal")).expect("a journal");
        let (keyring, provider, key, next_key) =
            (KeyRing::new(), ProviderId::random(), KeyId::random(), KeyId::random());
        for key in [key, next_key] {
            keyring.insert(provider, key, Kdk::generate()).expect("new");
        }
        fs::create_dir(folder.path().join("images")).expect("a folder");
        let twin = Twin::default();
        twin.define(VmId::random(), XML, true).expect("defined");
        Self { folder, journal, keyring, provider, key, next_key, twin, vm: VmId::random(), guests: Vec::new() }
    }

    /// What an encrypted VM of this bed needs.
    pub(crate) fn needed(&self) -> NeededKey {
        NeededKey { provider: self.provider, key: self.key, kms_key: None }
    }

    pub(crate) fn image(&self, name: &str) -> PathBuf {
        // Temporary folders may be links.
        fs::canonicalize(self.folder.path().join("images")).expect("there").join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.image("web01")
    }

    pub(crate) fn descriptor(&self) -> PathBuf {
        self.home().join("web01.cadenas")
    }

    pub(crate) fn add_raw(&mut self, target: &str, bytes: &[u8]) {
        let path = self.image(&format!("{target}.img"));
        write_sparse(&path, bytes);
        self.guest(target, path, PlainFormat::Raw, bytes);
    }

    pub(crate) fn add_qcow2(&mut self, target: &str, bytes: &[u8]) {
        let (raw, path) = (self.image("raw"), self.image(&format!("{target}.qcow2")));
        write_sparse(&raw, bytes);
        run("qemu-img", &["convert", "-O", "qcow2", "-o", "cluster_size=32k", text(&raw), text(&path)]);
        fs::remove_file(raw).expect("removed");
        self.guest(target, path, PlainFormat::Qcow2, bytes);
    }

    fn guest(&mut self, target: &str, path: PathBuf, format: PlainFormat, bytes: &[u8]) {
        let plain = PlainDisk { target: target.to_owned(), path, format, into: None };
        self.guests.push(Guest { plain, bytes: bytes.to_vec() });
    }

    pub(crate) fn plan(&self) -> EncryptPlan {
        EncryptPlan {
            vm: self.vm,
            name: "web01".parse().expect("a name"),
            policy: "VM Encryption Policy".to_owned(),
            created: NOW.to_owned(),
            home: self.home(),
            domain_xml: XML.to_owned(),
            autostart: true,
            disks: self.guests.iter().map(|guest| guest.plain.clone()).collect(),
            provider: self.provider,
            key: self.key,
            method: Method::Copy,
            wipe: Wipe::Discard,
        }
    }

    pub(crate) fn context<'a>(&'a self, steps: &'a dyn Steps, progress: &'a dyn Progress) -> Context<'a> {
        Context {
            keyring: &self.keyring,
            journal: &self.journal,
            definition: &self.twin,
            steps,
            progress,
            tuning: Tuning::default(),
        }
    }

    pub(crate) fn encrypt(&self) -> VmHome {
        self.encrypt_with(&NoSteps).expect("encrypted")
    }

    pub(crate) fn encrypt_with(&self, steps: &dyn Steps) -> Result<VmHome, TransitionError> {
        encrypt(&self.plan(), self.context(steps, &NoProgress)).map(|made| made.home)
    }

    /// With its disks rewritten where they lie.
    pub(crate) fn encrypt_in_place_with(
        &self,
        steps: &dyn Steps,
        progress: &dyn Progress,
    ) -> Result<VmHome, TransitionError> {
        let plan = EncryptPlan { method: Method::InPlace, ..self.plan() };
        encrypt(&plan, self.context(steps, progress)).map(|made| made.home)
    }

    /// What wraps the home at `home`, a copy of this VM's, under another key, whatever wraps it now.
    pub(crate) fn rewrap(&self, home: &Path, provider: ProviderId, key: KeyId) -> Rewrap {
        Rewrap { vm: self.vm, home: home.to_owned(), from: None, provider, key }
    }

    pub(crate) fn recrypt(
        &self,
        provider: ProviderId,
        key: KeyId,
        steps: &dyn Steps,
    ) -> Result<Recrypted, RecryptError> {
        recrypt(&self.rewrap(&self.home(), provider, key), &self.keyring, &self.journal, steps)
    }

    pub(crate) fn decrypt_with(&self, steps: &dyn Steps) -> Result<Decrypted, TransitionError> {
        self.decrypt_by(Method::Copy, steps)
    }

    pub(crate) fn decrypt_by(&self, method: Method, steps: &dyn Steps) -> Result<Decrypted, TransitionError> {
        decrypt(&self.unlocked(), method, self.context(steps, &NoProgress))
    }

    pub(crate) fn deep_recrypt_with(&self, steps: &dyn Steps) -> Result<VmHome, TransitionError> {
        self.deep_recrypt_by(Method::Copy, steps)
    }

    pub(crate) fn deep_recrypt_by(&self, method: Method, steps: &dyn Steps) -> Result<VmHome, TransitionError> {
        let context = self.context(steps, &NoProgress);
        deep_recrypt(&self.unlocked(), self.provider, self.next_key, "2026-11-25T00:00:00Z", method, context)
            .map(|made| made.home)
    }

    pub(crate) fn unlocked(&self) -> Unlocked {
        VmHome::open(&self.home()).expect("a home").unlock(&self.keyring).expect("unlocked")
    }

    /// What a restart does.
    pub(crate) fn repair(&self, steps: &dyn Steps) -> Vec<Repaired> {
        let pending = self.journal.pending().expect("readable");
        pending
            .into_iter()
            .map(|record| repair(&record.expect("readable"), self.context(steps, &NoProgress)).expect("settled"))
            .collect()
    }

    /// The VM is whole and plain, and nothing of an encryption is left.
    pub(crate) fn is_plain(&self) -> bool {
        let defined = self.twin.defined() == Some((XML.to_owned(), true));
        let disks = self.guests.iter().all(|guest| {
            guest.plain.path.exists()
                && disk_bytes(&guest.plain.path, guest.plain.format, &self.scratch()) == guest.bytes
        });
        let nothing_else = self.names().iter().all(|name| {
            let path = self.image(name);
            self.guests.iter().any(|guest| guest.plain.path == path)
        });
        defined && disks && nothing_else && self.journal.pending().expect("readable").is_empty()
    }

    /// The VM is whole and encrypted, and nothing plain is left.
    pub(crate) fn is_encrypted(&self) -> bool {
        let Ok(home) = VmHome::open(&self.home()) else { return false };
        let unlocked = home.unlock(&self.keyring).expect("unlocked");
        unlocked.check_disks().expect("as sealed");
        let same =
            self.guest_bytes(&unlocked) == self.guests.iter().map(|guest| padded(&guest.bytes)).collect::<Vec<_>>();
        let mut expected: Vec<_> = home.disks().iter().map(|disk| disk.path.to_string()).collect();
        expected.push("web01.cadenas".to_owned());
        expected.sort();
        let nothing_else = names(&self.home()) == expected && self.names() == ["web01"];
        let undefined = self.twin.defined().is_none();
        same && unlocked.domain_xml() == XML
            && unlocked.autostart()
            && nothing_else
            && undefined
            && self.journal.pending().expect("readable").is_empty()
    }

    /// What the guest reads, through one-time keys.
    pub(crate) fn guest_bytes(&self, unlocked: &Unlocked) -> Vec<Vec<u8>> {
        let keys = unlocked.one_time_keys(&NoSteps).expect("written");
        let bytes = keys.iter().map(|key| {
            let file = File::open(&key.path, Access::Read).expect("opened");
            to_raw(&file, Some(&key.passphrase), &self.scratch())
        });
        let bytes = bytes.collect();
        unlocked.erase_one_time_keys(&keys, &NoSteps).expect("erased");
        bytes
    }

    /// Everything beside the VM's disks and home.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.image(""))
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    pub(crate) fn passphrase_of(&self, target: &str) -> (SecretBytes, PathBuf, DiskFormat) {
        let keys = self.unlocked().one_time_keys(&NoSteps).expect("written");
        let key = keys.into_iter().find(|key| key.target == target).expect("a disk");
        (key.passphrase, key.path, key.format)
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Ends the process (the thread, as far as the test goes) when a step is reached for the n-th time of all steps.
pub(crate) struct KillAt {
    left: AtomicUsize,
    /// Count only this step.
    only: Option<Step>,
    pub(crate) seen: Mutex<Vec<Step>>,
}

impl KillAt {
    pub(crate) fn nth(nth: usize) -> Self {
        Self { left: AtomicUsize::new(nth), only: None, seen: Mutex::new(Vec::new()) }
    }

    /// The first time that this step is reached.
    pub(crate) fn first(step: Step) -> Self {
        Self { only: Some(step), ..Self::nth(0) }
    }

    /// Only watches.
    pub(crate) fn never() -> Self {
        Self::nth(usize::MAX)
    }

    pub(crate) fn seen(&self) -> Vec<Step> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

struct Killed;

impl Steps for KillAt {
    fn reached(&self, step: Step) {
        self.seen.lock().expect("not poisoned").push(step);
        let counts = self.only.is_none_or(|only| only == step);
        if counts && self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            // No code of ours cleans up on the way: only locks and descriptors are let go, as by a kill.
            resume_unwind(Box::new(Killed));
        }
    }
}

/// Runs it as a process that may be killed at a step; `None` if it was.
pub(crate) fn as_process<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => Some(done),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Tells another of the steps, and cancels once one is reached.
pub(crate) struct CancelAt<'a> {
    steps: &'a dyn Steps,
    at: Step,
    reached: AtomicBool,
}

impl<'a> CancelAt<'a> {
    pub(crate) fn new(steps: &'a dyn Steps, at: Step) -> Self {
        Self { steps, at, reached: AtomicBool::new(false) }
    }
}

impl Steps for CancelAt<'_> {
    fn reached(&self, step: Step) {
        self.reached.fetch_or(step == self.at, Ordering::Relaxed);
        self.steps.reached(step);
    }
}

impl Progress for CancelAt<'_> {
    fn begin(&self, _: u64) {}

    fn advance(&self, _: u64) {}

    fn cancelled(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

/// Cancels after so many questions.
pub(crate) struct CancelAfter(pub(crate) AtomicUsize);

impl Progress for CancelAfter {
    fn begin(&self, _: u64) {}

    fn advance(&self, _: u64) {}

    fn cancelled(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
}

/// Data at both ends and here and there, holes between.
pub(crate) fn sparse_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for start in [0, (len / 3) & !0xffff, (len / 2) & !0xffff, len.saturating_sub(700)] {
        let end = (start + 9_000).min(len);
        cadenas_secret::random::fill(&mut bytes[start..end]);
    }
    bytes
}

/// No zero anywhere.
pub(crate) fn full_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    cadenas_secret::random::fill(&mut bytes);
    for byte in &mut bytes {
        *byte |= 1;
    }
    bytes
}

/// Up to a whole sector, as a guest sees it.
pub(crate) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn write_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create_new(path).expect("new");
    file.set_len(bytes.len() as u64).expect("grown");
    for (number, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, number as u64 * 4096).expect("written");
        }
    }
}

fn disk_bytes(path: &Path, format: PlainFormat, scratch: &Path) -> Vec<u8> {
    match format {
        PlainFormat::Raw => fs::read(path).expect("read"),
        PlainFormat::Qcow2 => to_raw(&File::open(path, Access::Read).expect("opened"), None, scratch),
    }
}

fn to_raw(file: &File, passphrase: Option<&SecretBytes>, scratch: &Path) -> Vec<u8> {
    let source = open_source(file, passphrase).expect("opened");
    let raw = File::create_new(scratch).expect("new");
    convert(&source, &raw, &Target::Raw { len: None }, None, &Tuning::default(), &NoProgress).expect("converted");
    let bytes = fs::read(scratch).expect("read");
    fs::remove_file(scratch).expect("removed");
    bytes
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs a program that must succeed. QEMU now and then fails to measure key derivation on virtual machines: then again.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    for _ in 0..20 {
        let output = Command::new(program).args(arguments).output().expect("the program is installed");
        if output.status.success() {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("accurate CPU usage"), "{program} {arguments:?}: {complaint}");
    }
    panic!("{program} {arguments:?} never succeeded");
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
