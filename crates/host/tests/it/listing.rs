//! A listing that remembers what homes showed shows what a look at each VM shows, whatever changed since.

use std::{
    fs,
    os::unix::{fs::FileExt as _, fs::symlink},
    time::Duration,
};

use cadenas_api::{DiskWork, Host, KeyPush, Padlock, PowerState, Vm, VmOperation};
use cadenas_hypervisor::memory::Call;
use cadenas_keys::{Kdk, KeyId, VmId};

use crate::scene::{Scene, file_disk, open, tool};

impl Scene {
    /// A VM as the list of all shows it, which is the same as when it is asked for alone.
    async fn listed(&self, vm: VmId) -> Vm {
        let all = self.host.vms().await.expect("listed");
        let listed = all.into_iter().find(|one| one.id == vm).expect("in the list");
        assert_eq!(listed, self.host.vm(vm).await.expect("shown"));
        listed
    }

    /// The same, and from now on it is remembered: files that changed a moment ago are not.
    async fn remembered(&self, vm: VmId) -> Vm {
        tokio::time::sleep(Duration::from_millis(2100)).await;
        self.listed(vm).await
    }
}

#[tokio::test]
async fn a_home_that_is_changed_is_seen_at_once() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let descriptor = scene.remembered(vm).await.home.expect("encrypted").join("web01.cadenas");
    let next = KeyId::random();
    scene.give_key(next).await;
    let from = [(scene.provider, scene.key)].into();
    scene.run(vm, VmOperation::Recrypt { from, provider: scene.provider, key: next }).await.expect("wrapped");
    assert_eq!(scene.listed(vm).await.providers[0].key, next);

    assert_eq!(scene.remembered(vm).await.problem, None);
    let whole = fs::read(&descriptor).expect("readable");
    fs::write(&descriptor, "{}").expect("damaged in place");
    assert!(scene.listed(vm).await.problem.is_some());
    assert!(scene.remembered(vm).await.problem.is_some());
    fs::write(&descriptor, whole).expect("brought back");
    assert_eq!(scene.listed(vm).await.problem, None);

    let created = scene.remembered(vm).await.disks[0].key_created;
    scene
        .run(vm, VmOperation::DeepRecrypt { provider: scene.provider, key: next, work: DiskWork::default() })
        .await
        .expect("rewritten");
    assert_ne!(scene.listed(vm).await.disks[0].key_created, created);
}

#[tokio::test]
async fn a_key_that_comes_or_goes_changes_the_padlock_at_once() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    let (key, kdk) = (KeyId::random(), Kdk::generate());
    let bytes = kdk.expose().expose().to_vec();
    let again = || Kdk::from_secret(cadenas_secret::SecretBytes::take_from(bytes.clone())).expect("32 bytes");
    let give = |kdk: Kdk| scene.host.give_key(KeyPush { provider: scene.provider, key, secret: kdk.into() });
    give(kdk).await.expect("given");
    scene.encrypt(vm).await.expect("encrypted");
    let from = [(scene.provider, scene.key)].into();
    scene.run(vm, VmOperation::Recrypt { from, provider: scene.provider, key }).await.expect("wrapped");

    assert_eq!(scene.remembered(vm).await.padlock, Padlock::Encrypted);
    scene.host.forget_provider(scene.provider).await.expect("forgotten");
    let locked = scene.listed(vm).await;
    assert_eq!((locked.padlock, locked.missing_keys[0].key), (Padlock::Locked, key));
    give(again()).await.expect("given");
    assert_eq!(scene.listed(vm).await.padlock, Padlock::Encrypted);

    scene.host.forget_provider(scene.provider).await.expect("forgotten");
    give(Kdk::generate()).await.expect("another one under the same ID");
    assert!(scene.listed(vm).await.problem.is_some(), "it does not open the VM");
    scene.host.forget_provider(scene.provider).await.expect("forgotten");
    give(again()).await.expect("given");
    assert_eq!(scene.listed(vm).await.problem, None);
}

#[tokio::test]
async fn a_vm_that_leaves_the_inventory_leaves_the_list() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let home = scene.remembered(vm).await.home.expect("encrypted");
    scene.host.unregister(vm).await.expect("dropped");
    assert!(scene.host.vms().await.expect("listed").is_empty());
    scene.host.register(home.clone()).await.expect("added");
    scene.remembered(vm).await;
    let other = open(scene.folder.path(), &scene.libvirt);
    other.unregister(vm).await.expect("dropped by another hand");
    assert!(scene.host.vms().await.expect("listed").is_empty());
    other.register(home.clone()).await.expect("added by another hand");
    scene.remembered(vm).await;
    let copy = scene.path("copy");
    tool("cp", &["-r", &home.display().to_string(), &copy.display().to_string()]);
    other.unregister(vm).await.expect("dropped by another hand");
    other.register(copy.clone()).await.expect("its copy added");
    assert_eq!(scene.listed(vm).await.home, Some(fs::canonicalize(copy).expect("there")));
    other.unregister(vm).await.expect("dropped by another hand");
    other.register(home.clone()).await.expect("added by another hand");
    scene.remembered(vm).await;

    fs::rename(&home, scene.path("unmounted")).expect("moved away");
    assert!(scene.listed(vm).await.problem.is_some());
    fs::rename(scene.path("unmounted"), &home).expect("moved back");
    assert_eq!(scene.listed(vm).await.problem, None);
    scene.run(vm, VmOperation::Decrypt { work: DiskWork::default() }).await.expect("decrypted");
    assert_eq!(scene.listed(vm).await.padlock, Padlock::None);
}

#[tokio::test]
async fn a_disk_that_is_changed_from_outside_is_seen_at_once() {
    let scene = Scene::new().await;
    let (system, data) = (scene.disk("system.qcow2", "qcow2"), scene.disk("data.raw", "raw"));
    let vm = scene.define("web01", &(file_disk("vda", &system, "qcow2") + &file_disk("vdb", &data, "raw")));
    let mut encryption = scene.encryption();
    if let VmOperation::Encrypt { disks, .. } = &mut encryption {
        disks.push("vda".to_owned());
    }
    scene.run(vm, encryption).await.expect("encrypted");
    let sizes = |vm: &Vm| vm.disks.iter().map(|disk| disk.size).collect::<Vec<_>>();
    let before = scene.remembered(vm).await;
    assert_eq!(sizes(&before), [Some(1 << 20), Some(1 << 20)]);

    fs::File::options().write(true).open(&data).and_then(|file| file.set_len(3 << 20)).expect("grown");
    assert_eq!(sizes(&scene.listed(vm).await), [Some(1 << 20), Some(3 << 20)]);
    scene.remembered(vm).await;
    let sealed = before.home.expect("encrypted").join("vda.qcow2");
    let header = fs::File::options().write(true).open(&sealed).expect("writable");
    header.write_all_at(&(2_u64 << 20).to_be_bytes(), 24).expect("the size in the header of a qcow2");
    assert_eq!(sizes(&scene.listed(vm).await), [Some(2 << 20), Some(3 << 20)]);
    scene.remembered(vm).await;
    fs::remove_file(&data).expect("removed");
    assert_eq!(sizes(&scene.listed(vm).await), [Some(2 << 20), None]);
}

#[tokio::test]
async fn a_start_and_an_interruption_are_seen_at_once() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.libvirt.fail_next(Call::Undefine, "libvirt is gone");
    scene.encrypt(vm).await.expect_err("not finished");
    assert!(scene.remembered(vm).await.problem.is_some());
    scene.host.repair().await;
    assert_eq!(scene.listed(vm).await.problem, None);

    assert_eq!(scene.remembered(vm).await.power, PowerState::Off);
    scene.run(vm, VmOperation::Start).await.expect("started");
    assert_eq!(scene.listed(vm).await.power, PowerState::Running);
    assert_eq!(scene.remembered(vm).await.power, PowerState::Running);
    scene.run(vm, VmOperation::Kill).await.expect("off");
    assert_eq!(scene.listed(vm).await.power, PowerState::Off);
}

#[tokio::test]
async fn a_datastore_behind_a_link_may_move() {
    let scene = Scene::new().await;
    fs::create_dir(scene.path("old")).expect("made");
    symlink(scene.path("old"), scene.path("datastore")).expect("a link");
    // Without disks nothing but the descriptor tells.
    let vm = scene.define("web01", "");
    let mut encryption = scene.encryption();
    if let VmOperation::Encrypt { home, .. } = &mut encryption {
        *home = Some(scene.path("datastore/web01"));
    }
    scene.run(vm, encryption).await.expect("encrypted");
    let real = |name| fs::canonicalize(scene.path(name)).expect("there").join("web01");
    assert_eq!(scene.remembered(vm).await.home, Some(real("old")));
    fs::rename(scene.path("old"), scene.path("new")).expect("moved");
    fs::remove_file(scene.path("datastore")).expect("removed");
    symlink(scene.path("new"), scene.path("datastore")).expect("a link");
    assert_eq!(scene.listed(vm).await.home, Some(real("new")));
}

#[tokio::test]
async fn encrypted_and_plain_vms_are_one_list_by_name() {
    let scene = Scene::new().await;
    for name in ["b", "e", "a", "d", "c", "f"] {
        let disk = scene.disk(&format!("{name}.qcow2"), "qcow2");
        let vm = scene.define(name, &file_disk("vda", &disk, "qcow2"));
        if ["b", "d", "e"].contains(&name) {
            scene.encrypt(vm).await.expect("encrypted");
        }
    }
    for _ in 0..2 {
        let vms = scene.host.vms().await.expect("listed");
        let names: Vec<&str> = vms.iter().map(|vm| vm.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(vms.iter().filter(|vm| vm.padlock == Padlock::Encrypted).count(), 3);
    }
}
