//! Which keys are needed is told of every VM, or that it is not known.

use std::fs;

use cadenas_api::{DiskMethod, DiskWork, Host, Padlock, PowerState, ProblemCode, VmOperation};
use cadenas_hypervisor::memory::Call;
use cadenas_keys::KeyId;

use crate::scene::Scene;

#[tokio::test]
async fn a_vm_whose_home_is_out_of_reach_is_no_plain_vm_and_may_need_any_key() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    assert!(scene.host.key_users().await.expect("told").is_empty(), "a plain VM needs no key");
    scene.encrypt(vm).await.expect("encrypted");
    scene.run(vm, VmOperation::Start).await.expect("started");
    let users = scene.host.key_users().await.expect("told");
    assert_eq!(users[0].keys.as_ref().ok(), Some(&[(scene.provider, scene.key)].into()));

    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    fs::rename(&home, scene.path("unmounted")).expect("moved away");
    let users = scene.host.key_users().await.expect("told");
    let problem = users[0].keys.as_ref().expect_err("not known");
    assert!(problem.detail.contains("web01") && problem.detail.contains("gone"), "{problem}");
    for shown in [&scene.host.vms().await.expect("listed")[0], &scene.host.vm(vm).await.expect("shown")] {
        assert_eq!((shown.padlock, shown.power), (Padlock::Locked, PowerState::Running));
        assert!(shown.problem.is_some());
    }
}

#[tokio::test]
async fn a_damaged_descriptor_does_not_make_a_running_vm_a_plain_one() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    scene.run(vm, VmOperation::Start).await.expect("started");
    let home = scene.host.vm(vm).await.expect("shown").home.expect("encrypted");
    fs::write(home.join("web01.cadenas"), "{}").expect("damaged");
    assert_eq!(scene.host.vms().await.expect("listed")[0].padlock, Padlock::Locked);
    assert!(scene.host.key_users().await.expect("told")[0].keys.is_err());
}

#[tokio::test]
async fn an_interrupted_rewrite_needs_its_keys_also_while_its_home_is_out_of_reach() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.libvirt.fail_next(Call::Undefine, "libvirt is gone");
    let in_place = DiskWork { method: Some(DiskMethod::InPlace), ..DiskWork::default() };
    let encrypt = match scene.encryption() {
        VmOperation::Encrypt { policy, provider, key, disks, home, format, wipe, .. } => {
            VmOperation::Encrypt { policy, provider, key, disks, home, format, work: in_place, wipe }
        }
        other => other,
    };
    assert_eq!(scene.run(vm, encrypt).await.expect_err("not finished").code, ProblemCode::NeedsRepair);
    let home = fs::read_dir(scene.folder.path()).expect("listed").map(|entry| entry.expect("read").path());
    let home = home.into_iter().find(|path| path.join("web01.cadenas").exists()).expect("committed");
    fs::rename(home, scene.path("unmounted")).expect("moved away");
    let users = scene.host.key_users().await.expect("told");
    assert!(users.iter().any(|user| user.keys.is_err()), "libvirt's old definition does not make it plain: {users:?}");
    let needed = Some([(scene.provider, scene.key)].into());
    assert!(users.iter().any(|user| user.keys.as_ref().ok() == needed.as_ref()), "{users:?}");
}

#[tokio::test]
async fn what_is_wrapped_otherwise_than_was_thought_is_left_so() {
    let scene = Scene::new().await;
    let vm = scene.web01();
    scene.encrypt(vm).await.expect("encrypted");
    let next = KeyId::random();
    scene.give_key(next).await;
    let from = [(scene.provider, KeyId::random())].into();
    let recrypt = VmOperation::Recrypt { from, provider: scene.provider, key: next };
    assert_eq!(scene.run(vm, recrypt).await.expect_err("changed").code, ProblemCode::VmChanged);
    assert_eq!(scene.host.vm(vm).await.expect("shown").providers[0].key, scene.key);
}
