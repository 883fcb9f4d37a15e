//! A host, a twin of libvirt, and domains with small disks.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use cadenas_api::{DiskWork, Host, KeyPush, Problem, TaskProgress, VmOperation, VmOutcome, Wipe};
use cadenas_host::LocalHost;
use cadenas_hypervisor::{Hypervisor, memory::MemoryHypervisor};
use cadenas_keys::{Kdk, KeyId, ProviderId, VmId};

pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) libvirt: Arc<MemoryHypervisor>,
    pub(crate) host: LocalHost,
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
}

impl Scene {
    /// A host that has one key.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let libvirt = Arc::new(MemoryHypervisor::new());
        let host = open(folder.path(), &libvirt);
        let scene = Self { folder, libvirt, host, provider: ProviderId::random(), key: KeyId::random() };
        scene.give_key(scene.key).await;
        scene
    }

    pub(crate) async fn give_key(&self, key: KeyId) {
        let kdk = Kdk::generate();
        self.host.give_key(KeyPush { provider: self.provider, key, secret: kdk.into() }).await.expect("given");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a disk with some data in it.
    pub(crate) fn disk(&self, name: &str, format: &str) -> PathBuf {
        let path = self.path(name);
        let file = path.display().to_string();
        tool("qemu-img", &["create", "-q", "-f", format, &file, "1M"]);
        tool("qemu-io", &["-f", format, "-c", "write -P 0x5a 64k 100k", &file]);
        path
    }

    /// Defines a domain with these devices.
    pub(crate) fn define(&self, name: &str, devices: &str) -> VmId {
        self.define_with(name, "<os><type>hvm</type></os>", devices)
    }

    pub(crate) fn define_with(&self, name: &str, os: &str, devices: &str) -> VmId {
        let vm = VmId::random();
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><uuid>{vm}</uuid>{os}<devices>{devices}</devices></domain>"
        );
        self.libvirt.define(&xml, false).expect("defined");
        vm
    }

    /// A domain with one qcow2 disk.
    pub(crate) fn web01(&self) -> VmId {
        let disk = self.disk("web01.qcow2", "qcow2");
        self.define("web01", &file_disk("vda", &disk, "qcow2"))
    }

    pub(crate) async fn run(&self, vm: VmId, operation: VmOperation) -> Result<VmOutcome, Problem> {
        self.host.run(vm, operation, Arc::new(TaskProgress::default())).await
    }

    pub(crate) async fn encrypt(&self, vm: VmId) -> Result<VmOutcome, Problem> {
        self.run(vm, self.encryption()).await
    }

    pub(crate) fn encryption(&self) -> VmOperation {
        VmOperation::Encrypt {
            policy: "VM Encryption Policy".to_owned(),
            provider: self.provider,
            key: self.key,
            disks: Vec::new(),
            home: None,
            format: None,
            work: DiskWork::default(),
            wipe: Wipe::Discard,
        }
    }
}

pub(crate) fn open(folder: &Path, libvirt: &Arc<MemoryHypervisor>) -> LocalHost {
    LocalHost::open(&folder.join("data"), Arc::clone(libvirt) as Arc<dyn Hypervisor>).expect("opened")
}

pub(crate) fn file_disk(target: &str, path: &Path, format: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{}'/><target dev='{target}'/></disk>",
        path.display()
    )
}

pub(crate) fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().expect("installed");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
