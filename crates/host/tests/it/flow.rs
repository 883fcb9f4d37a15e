//! What goes well.

use std::{
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex},
};

use cadenas_api::{DiskWork, Host, Padlock, PowerState, VmOperation};
use cadenas_hypervisor::{Hypervisor, memory::Call};
use cadenas_image::{Access, File, ImageError, inspect, open_source};
use cadenas_keys::KeyId;

use crate::scene::{Scene, file_disk, open};

#[tokio::test]
async fn encrypt_recrypt_deep_recrypt_and_decrypt_come_full_circle() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    let definition = scene.libvirt.definition(vm.uuid()).expect("defined");
    assert_eq!(scene.host.vm(vm).await.expect("shown").padlock, Padlock::None);

    assert!(scene.encrypt(vm).await.expect("encrypted").changed);
    let shown = scene.host.vm(vm).await.expect("shown");
    assert_eq!((shown.padlock, shown.power), (Padlock::Encrypted, PowerState::Off));
    assert_eq!(shown.providers[0].key, scene.key);
    assert_eq!(shown.disks[0].cipher.as_deref(), Some("aes-xts-plain64"));
    assert!(scene.libvirt.domain(vm.uuid()).expect("reachable").is_none());

    let next = KeyId::random();
    scene.give_key(next).await;
    let from = [(scene.provider, scene.key)].into();
    let recrypt = VmOperation::Recrypt { from, provider: scene.provider, key: next };
    assert!(scene.run(vm, recrypt.clone()).await.expect("wrapped").changed);
    assert!(!scene.run(vm, recrypt).await.expect("already so").changed);
    let deep = VmOperation::DeepRecrypt { provider: scene.provider, key: next, work: DiskWork::default() };
    assert!(scene.run(vm, deep).await.expect("rewritten").changed);
    let verified = scene.run(vm, VmOperation::Verify).await.expect("verified");
    assert!(verified.objects.iter().all(|object| object.encrypted && object.problem.is_none()), "{verified:?}");

    assert!(scene.run(vm, VmOperation::Decrypt { work: DiskWork::default() }).await.expect("decrypted").changed);
    assert_eq!(scene.libvirt.definition(vm.uuid()).expect("defined again"), definition);
    assert_eq!(scene.host.vm(vm).await.expect("shown").padlock, Padlock::None);
}

#[tokio::test]
async fn what_rewriting_its_disks_would_be_is_told_before_and_after_encryption() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    let occupied = |path: &std::path::Path| std::fs::metadata(path).expect("there").blocks() * 512;
    let plain = scene.host.estimate_rewrite(vm).await.expect("off and whole");
    assert_eq!((plain.bytes, plain.copy_fits), (occupied(&scene.path("web01.qcow2")), true));
    scene.encrypt(vm).await.expect("encrypted");
    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    let sealed = scene.host.estimate_rewrite(vm).await.expect("readable");
    assert_eq!(sealed.bytes, occupied(&home.join("vda.qcow2")));
}

#[tokio::test]
async fn a_vm_that_cannot_be_encrypted_is_told_before_it_is_tried() {
    let scene = Scene::new().await;
    let disk = scene.disk("web01.qcow2", "qcow2");
    let missing = scene.path("missing.qcow2");
    for (name, file, format) in [("web01", &disk, "vmdk"), ("web02", &disk, "raw"), ("web03", &missing, "qcow2")] {
        let vm = scene.define(name, &file_disk("vda", file, format));
        let foretold = scene.host.estimate_rewrite(vm).await.expect_err("a disk that is unfit");
        assert_eq!(foretold, scene.encrypt(vm).await.expect_err("the same"), "{name}");
    }
}

#[tokio::test]
async fn qemu_gets_a_passphrase_that_opens_the_disk_until_the_guest_runs() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    let disk = home.join("vda.qcow2");
    let given = Arc::new(Mutex::new(Vec::new()));
    let (seen, path) = (Arc::clone(&given), disk.clone());
    scene.libvirt.on_start(move |request| {
        assert!(request.paused, "no guest runs while the slot is open");
        assert!(request.xml.as_str().contains(&path.display().to_string()));
        for secret in request.secrets {
            let file = File::open(&path, Access::Read).map_err(|error| error.to_string())?;
            open_source(&file, Some(&secret.value)).map_err(|error| error.to_string())?;
            seen.lock().expect("not poisoned").push(secret.value.expose().to_vec());
        }
        Ok(())
    });
    scene.run(vm, VmOperation::Start).await.expect("started");
    assert_eq!(scene.host.vm(vm).await.expect("shown").power, PowerState::Running);

    let file = File::open(&disk, Access::Read).expect("there");
    assert_eq!(inspect(&file).expect("an image").encryption.expect("encrypted").active_slots, [0]);
    let given = std::mem::take(&mut *given.lock().expect("not poisoned"));
    let one_time = cadenas_secret::SecretBytes::take_from(given.into_iter().next().expect("one disk, one secret"));
    assert!(matches!(open_source(&file, Some(&one_time)), Err(ImageError::WrongPassphrase { .. })));
}

#[tokio::test]
async fn a_start_that_libvirt_refuses_leaves_no_slot_and_no_domain() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let disk = scene.host.vm(vm).await.expect("shown").home.expect("encrypted").join("vda.qcow2");
    for call in [Call::StartTransient, Call::Resume] {
        scene.libvirt.fail_next(call, "no");
        scene.run(vm, VmOperation::Start).await.expect_err("refused");
        assert_eq!(scene.host.vm(vm).await.expect("shown").power, PowerState::Off, "{call:?}");
        let info = inspect(&File::open(&disk, Access::Read).expect("there")).expect("an image");
        assert_eq!(info.encryption.expect("encrypted").active_slots, [0], "{call:?}");
    }
    scene.run(vm, VmOperation::Start).await.expect("the next one works");
}

#[tokio::test]
async fn a_vm_is_locked_without_its_key_and_unlocks_by_itself_when_it_comes() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    let kdk = cadenas_keys::Kdk::generate();
    let bytes = kdk.expose().expose().to_vec();
    let key = KeyId::random();
    let push = |kdk: cadenas_keys::Kdk| cadenas_api::KeyPush { provider: scene.provider, key, secret: kdk.into() };
    scene.host.give_key(push(kdk)).await.expect("given");
    let encrypt = match scene.encryption() {
        VmOperation::Encrypt { policy, provider, disks, home, format, work, wipe, .. } => {
            VmOperation::Encrypt { policy, provider, key, disks, home, format, work, wipe }
        }
        other => other,
    };
    scene.run(vm, encrypt).await.expect("encrypted");
    scene.host.forget_provider(scene.provider).await.expect("forgotten");

    let locked = scene.host.vm(vm).await.expect("shown");
    assert_eq!(locked.padlock, Padlock::Locked);
    assert_eq!((locked.missing_keys[0].provider, locked.missing_keys[0].key), (scene.provider, key));
    let refused = scene.run(vm, VmOperation::Start).await.expect_err("locked");
    assert!(refused.detail.contains(&key.to_string()) && refused.detail.contains(&scene.provider.to_string()));

    let kdk = cadenas_keys::Kdk::from_secret(cadenas_secret::SecretBytes::take_from(bytes)).expect("32 bytes");
    scene.host.give_key(push(kdk)).await.expect("given again");
    assert_eq!(scene.host.vm(vm).await.expect("shown").padlock, Padlock::Encrypted);
    scene.run(vm, VmOperation::Start).await.expect("started");
}

#[tokio::test]
async fn an_encryption_without_libvirt_midway_is_finished_by_the_repair_of_the_next_process() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.libvirt.fail_next(Call::Undefine, "libvirt is gone");
    let problem = scene.encrypt(vm).await.expect_err("not finished");
    assert_eq!(problem.code, cadenas_api::ProblemCode::NeedsRepair);
    assert!(scene.path("web01.qcow2").exists(), "nothing is removed before libvirt has forgotten the VM");

    let next = open(scene.folder.path(), &scene.libvirt);
    let told = next.repair().await;
    assert_eq!(told.iter().map(|event| event.kind).collect::<Vec<_>>(), ["vm.rolled-forward"]);
    assert!(!scene.path("web01.qcow2").exists());
    assert_eq!(next.vm(vm).await.expect("shown").padlock, Padlock::Locked, "this process was given no key");
    assert!(next.repair().await.is_empty(), "nothing is left to do");
}

#[tokio::test]
async fn a_home_that_was_unregistered_is_registered_again_by_its_folder() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    scene.host.unregister(vm).await.expect("dropped");
    assert!(scene.host.vms().await.expect("listed").is_empty());
    assert_eq!(scene.host.register(home).await.expect("added").padlock, Padlock::Encrypted);
    assert_eq!(scene.host.vms().await.expect("listed").len(), 1);
}
