//! The inventory, policies, and which key an operation gets.

use cadenas_api::{
    DATASTORE_DEFAULT, DiskFormat, Padlock, ProblemCode, RecryptVm, RegisterVm, SetPolicy, ShutdownVm,
    VM_ENCRYPTION_POLICY, Wipe,
};
use cadenas_keys::VmId;

use crate::{
    host::Script,
    rig::{Rig, encryption, refused},
};

#[tokio::test]
async fn a_vm_is_found_by_id_and_by_name_unless_several_have_it() {
    let rig = Rig::start().await;
    let one = rig.host.add_vm("web01");
    assert_eq!(rig.client.vm("web01").await.expect("by name").id, one);
    assert_eq!(rig.client.vm(&one.to_string()).await.expect("by ID").name, "web01");
    let other = rig.host.add_vm("web01");
    let problem = refused(rig.client.vm("web01").await, ProblemCode::AmbiguousVm);
    assert!(problem.detail.contains(&one.to_string()) && problem.detail.contains(&other.to_string()), "{problem}");
    for missing in ["web02".to_owned(), VmId::random().to_string(), "a/b:start é\u{7}".to_owned()] {
        refused(rig.client.vm(&missing).await, ProblemCode::NoSuchVm);
        refused(rig.client.start_vm(&missing).await, ProblemCode::NoSuchVm);
    }
    let odd = rig.host.add_vm("a b:start/é");
    assert_eq!(rig.client.start_vm("a b:start/é").await.expect("named so").vm, Some(odd));
}

#[tokio::test]
async fn vms_show_the_names_of_their_providers_and_their_task() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("nkp").await;
    rig.encrypt(vm, None).await.expect("active");
    rig.client.rename_provider("nkp", &cadenas_api::RenameProvider { name: "paris".to_owned() }).await.expect("free");
    rig.host.script(vm, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    for shown in [rig.client.vm("web01").await.expect("there"), rig.client.vms().await.expect("list").remove(0)] {
        assert_eq!(shown.providers[0].name.as_deref(), Some("paris"));
        assert_eq!((shown.padlock, shown.task), (Padlock::Encrypted, Some(task.id)));
    }
}

#[tokio::test]
async fn encrypting_takes_the_named_or_the_default_provider() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let (first, _) = rig.active("first").await;
    let (second, _) = rig.active("second").await;
    rig.create("raw").await;
    let used = || async { rig.client.vm("web01").await.expect("there").providers[0].id };
    rig.encrypt(vm, None).await.expect("the default");
    assert_eq!(used().await, first.id);
    rig.encrypt(vm, Some("second")).await.expect("the named one");
    assert_eq!(used().await, second.id);
    rig.client.recrypt_vm("web01", &RecryptVm::default()).await.expect("the default");
    assert_eq!(used().await, first.id);
    let named = RecryptVm { provider: Some(second.id.to_string()), deep: true, ..RecryptVm::default() };
    assert_eq!(rig.client.recrypt_vm("web01", &named).await.expect("the named one").kind, "vm.deep-recrypt");
    assert_eq!(used().await, second.id);
    refused(rig.encrypt(vm, Some("none")).await, ProblemCode::NoSuchProvider);
    refused(rig.encrypt(vm, Some("raw")).await, ProblemCode::ProviderNotBackedUp);
}

#[tokio::test]
async fn policies_are_the_two_of_vsphere() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("nkp").await;
    let policies = rig.client.policies().await.expect("list");
    let shown: Vec<_> = policies.iter().map(|policy| (policy.name.as_str(), policy.encrypts)).collect();
    assert_eq!(shown, [(VM_ENCRYPTION_POLICY, true), (DATASTORE_DEFAULT, false)]);
    let plain = SetPolicy { policy: DATASTORE_DEFAULT.to_owned(), ..encryption(None) };
    let unknown = SetPolicy { policy: "Gold".to_owned(), ..encryption(None) };
    refused(rig.client.set_policy("web01", &unknown).await, ProblemCode::NoSuchPolicy);
    for misplaced in [
        SetPolicy { provider: Some("nkp".to_owned()), ..plain.clone() },
        SetPolicy { disks: vec!["vda".to_owned()], ..plain.clone() },
        SetPolicy { home: Some("/vms".into()), ..plain.clone() },
        SetPolicy { format: Some(DiskFormat::Luks), ..plain.clone() },
        SetPolicy { wipe: Some(Wipe::Zero), ..plain.clone() },
    ] {
        refused(rig.client.set_policy("web01", &misplaced).await, ProblemCode::BadRequest);
    }
    rig.encrypt(vm, None).await.expect("active");
    assert_eq!(rig.client.set_policy("web01", &plain).await.expect("decrypts").kind, "vm.decrypt");
    assert_eq!(rig.client.vm("web01").await.expect("there").padlock, Padlock::None);
}

#[tokio::test]
async fn vm_homes_come_and_go_with_events() {
    let rig = Rig::start().await;
    refused(rig.client.register_vm(&RegisterVm { path: "web01".into() }).await, ProblemCode::BadRequest);
    let vm = rig.client.register_vm(&RegisterVm { path: "/vms/web01".into() }).await.expect("a folder");
    rig.host.script(vm.id, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    assert_eq!(refused(rig.client.unregister_vm("web01").await, ProblemCode::VmBusy).task, Some(task.id));
    rig.client.cancel_task(task.id).await.expect("running");
    rig.client.task(task.id, &cadenas_api::TaskQuery { wait: Some(10) }).await.expect("ends");
    assert_eq!(rig.client.unregister_vm("web01").await.expect("free").id, vm.id);
    refused(rig.client.vm("web01").await, ProblemCode::NoSuchVm);
    assert_eq!(rig.event_kinds().await, ["vm.registered", "vm.verify-cancelled", "vm.unregistered"]);
}

#[tokio::test]
async fn a_shutdown_may_wait_a_day_and_no_longer() {
    let rig = Rig::start().await;
    rig.host.add_vm("web01");
    let wait = |seconds| ShutdownVm { timeout: Some(seconds) };
    refused(rig.client.shutdown_vm("web01", &wait(86_401)).await, ProblemCode::BadRequest);
    rig.client.shutdown_vm("web01", &wait(86_400)).await.expect("a day");
}
