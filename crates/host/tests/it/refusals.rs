//! What is refused, by name, with nothing changed.

use cadenas_api::{DiskWork, Host, Problem, ProblemCode, VmOperation};
use cadenas_hypervisor::Hypervisor;
use cadenas_keys::VmId;

use crate::scene::{Scene, file_disk, tool};

/// The refusal of an encryption that changed nothing: the definition is there, no home is.
async fn refused(scene: &Scene, vm: VmId) -> Problem {
    let before = scene.libvirt.definition(vm.uuid()).expect("defined");
    let problem = scene.encrypt(vm).await.expect_err("refused");
    assert_eq!(scene.libvirt.definition(vm.uuid()).expect("defined"), before);
    assert!(scene.host.vm(vm).await.expect("shown").home.is_none());
    assert!(!scene.path("web01").exists(), "no folder is left");
    assert!(
        problem.to_string().contains("web01") || problem.to_string().contains("vda"),
        "it names the thing: {problem}"
    );
    problem
}

#[tokio::test]
async fn a_running_vm_a_saved_one_and_one_with_snapshots() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.libvirt.start(vm.uuid()).expect("started");
    assert_eq!(refused(&scene, vm).await.code, ProblemCode::VmNotOff);
    scene.libvirt.destroy(vm.uuid()).expect("stopped");
    scene.libvirt.set_managed_save(vm.uuid(), true);
    assert_eq!(refused(&scene, vm).await.code, ProblemCode::NotYetHandled);
    scene.libvirt.set_managed_save(vm.uuid(), false);
    scene.libvirt.set_snapshots(vm.uuid(), 2);
    assert!(refused(&scene, vm).await.detail.contains("2 snapshots"));
    scene.libvirt.set_snapshots(vm.uuid(), 0);
    scene.encrypt(vm).await.expect("and then it works");
    assert_eq!(scene.encrypt(vm).await.expect_err("twice").code, ProblemCode::VmEncrypted);
}

#[tokio::test]
async fn devices_that_are_not_yet_handled_are_each_named() {
    let scene = Scene::new().await;
    let disk = file_disk("vda", &scene.disk("plain.raw", "raw"), "raw");
    let tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
    let uefi = "<os firmware='efi'><type>hvm</type></os>";
    let bios = "<os><type>hvm</type></os>";
    let block = "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/loop7'/><target dev='vda'/></disk>";
    let network = "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>";
    let shared = disk.replace("<target", "<shareable/><target");
    let encrypted = disk.replace("'/><target", "'><encryption format='luks'><secret type='passphrase' uuid='00000000-0000-4000-8000-000000000000'/></encryption></source><target");
    let vmdk = disk.replace("type='raw'", "type='vmdk'");
    for (os, devices, word) in [
        (uefi, disk.clone(), "UEFI"),
        (bios, format!("{disk}{tpm}"), "vTPM"),
        (bios, block.to_owned(), "/dev/loop7"),
        (bios, network.to_owned(), "network disk (nbd)"),
        (bios, shared, "shared"),
        (bios, encrypted, "already encrypted"),
        (bios, vmdk, "vmdk"),
    ] {
        let vm = scene.define_with("web01", os, &devices);
        let problem = refused(&scene, vm).await;
        assert!(problem.detail.contains(word), "{word}: {problem}");
        scene.libvirt.undefine(vm.uuid()).expect("undefined");
    }
}

#[tokio::test]
async fn disks_that_are_not_what_they_should_be_are_named_with_the_reason() {
    let scene = Scene::new().await;
    let base = scene.disk("base.qcow2", "qcow2");
    let overlay = scene.path("overlay.qcow2");
    let (from, to) = (base.display().to_string(), overlay.display().to_string());
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &from, &to]);
    let snapshot = scene.disk("snapshot.qcow2", "qcow2");
    tool("qemu-img", &["snapshot", "-c", "one", &snapshot.display().to_string()]);
    let wrong = scene.disk("raw.img", "raw");
    for (path, word) in [
        (overlay, "backing file"),
        (snapshot, "snapshot"),
        (wrong, "raw"),
        (scene.path("nothing.qcow2"), "missing"),
        (scene.folder.path().to_owned(), "a folder"),
    ] {
        let vm = scene.define("web01", &file_disk("vda", &path, "qcow2"));
        let problem = refused(&scene, vm).await;
        assert!(problem.detail.contains(word), "{word}: {problem}");
        scene.libvirt.undefine(vm.uuid()).expect("undefined");
    }
}

#[tokio::test]
async fn an_unknown_disk_a_taken_home_and_a_relative_one() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    let taken = scene.path("taken");
    std::fs::create_dir(&taken).expect("made");
    std::fs::write(taken.join("file"), "x").expect("written");
    for (wanted, at, word) in [
        (vec!["vdz".to_owned()], None, "vdz"),
        (vec![], Some(taken), "not empty"),
        (vec![], Some("relative".into()), "absolute"),
    ] {
        let operation = match scene.encryption() {
            VmOperation::Encrypt { policy, provider, key, format, work, wipe, .. } => {
                VmOperation::Encrypt { policy, provider, key, disks: wanted, home: at, format, work, wipe }
            }
            other => other,
        };
        let problem = scene.run(vm, operation).await.expect_err("refused");
        assert!(problem.to_string().contains(word), "{word}: {problem}");
    }
}

#[tokio::test]
async fn without_libvirt_everything_says_so_and_nothing_is_lost() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.libvirt.set_reachable(false);
    assert_eq!(scene.host.vms().await.expect_err("unreachable").code, ProblemCode::HypervisorUnreachable);
    assert_eq!(scene.encrypt(vm).await.expect_err("unreachable").code, ProblemCode::HypervisorUnreachable);
    scene.libvirt.set_reachable(true);
    scene.encrypt(vm).await.expect("and then it works");
}

#[tokio::test]
async fn a_running_vm_is_not_decrypted_deeply_recrypted_or_unregistered() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    scene.run(vm, VmOperation::Start).await.expect("started");
    let deep = VmOperation::DeepRecrypt { provider: scene.provider, key: scene.key, work: DiskWork::default() };
    for operation in [VmOperation::Decrypt { work: DiskWork::default() }, deep] {
        assert_eq!(scene.run(vm, operation).await.expect_err("it runs").code, ProblemCode::VmNotOff);
    }
    assert_eq!(scene.host.unregister(vm).await.expect_err("it runs").code, ProblemCode::VmNotOff);
}

#[tokio::test]
async fn a_second_copy_of_a_registered_home_is_refused() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    let copy = scene.path("copy");
    tool("cp", &["-a", &home.display().to_string(), &copy.display().to_string()]);
    assert_eq!(scene.host.register(copy).await.expect_err("two copies").code, ProblemCode::NameTaken);
}
