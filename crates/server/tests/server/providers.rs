//! The life of a provider: names, default, states, removal.

use std::sync::atomic::Ordering;

use cadenas_api::{
    CreateProvider, DeleteProvider, KeyVersionState, NATIVE_KEY_PROVIDER, ProblemCode, ProviderState, RenameProvider,
    SetFeature,
};

use crate::{
    host::Script,
    rig::{Rig, refused},
};

#[tokio::test]
async fn a_provider_encrypts_only_when_its_backup_was_read_back() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let made = rig.create("nkp").await;
    assert_eq!((made.state, made.key), (ProviderState::NotBackedUp, None));
    assert!(made.reason.expect("what to do").contains("cadenas provider backup nkp"));
    let p12 = rig.back_up("nkp").await;
    assert_eq!(rig.client.provider("nkp").await.expect("there").state, ProviderState::NotBackedUp);
    refused(rig.encrypt(vm, None).await, ProblemCode::ProviderNotBackedUp);
    assert!(rig.host.given().is_empty(), "the host needs no key yet");
    let active = rig.confirm("nkp", p12).await.expect("a good backup");
    assert_eq!((active.state, active.reason), (ProviderState::Active, None));
    assert_eq!(active.key, Some(made.versions[0].id));
    assert!(rig.host.has(active.id, made.versions[0].id));
    rig.encrypt(vm, None).await.expect("active");
}

#[tokio::test]
async fn a_rotated_provider_goes_on_with_the_last_key_that_is_backed_up() {
    let rig = Rig::start().await;
    let (first, old_file) = rig.active("nkp").await;
    let rotated = rig.client.rotate_provider("nkp").await.expect("can be rotated");
    assert_eq!((rotated.state, rotated.key), (ProviderState::Active, first.key));
    let states: Vec<_> = rotated.versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [KeyVersionState::NotBackedUp, KeyVersionState::Current]);
    assert!(rotated.reason.expect("what to do").contains("cadenas provider backup nkp"));
    refused(rig.confirm("nkp", old_file).await, ProblemCode::BackupMismatch);
    let new_file = rig.back_up("nkp").await;
    let backed_up = rig.confirm("nkp", new_file).await.expect("a good backup");
    assert_eq!(backed_up.key, Some(rotated.versions[0].id));
    let states: Vec<_> = backed_up.versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [KeyVersionState::Current, KeyVersionState::Old]);
    assert!(rig.host.has(first.id, rotated.versions[0].id));
}

#[tokio::test]
async fn the_first_provider_becomes_the_default_and_removing_it_leaves_none() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    assert!(
        refused(rig.encrypt(vm, None).await, ProblemCode::NoDefaultProvider).next.expect("help").contains("create")
    );
    assert!(rig.create("first").await.default);
    assert!(!rig.create("second").await.default);
    let events = rig.client.events(&cadenas_api::EventQuery::default()).await.expect("events");
    assert!(events[0].message.contains("as the first one, made the default"), "{}", events[0].message);
    rig.client.delete_provider("first", &DeleteProvider::default()).await.expect("unused");
    assert!(!rig.client.provider("second").await.expect("there").default);
    refused(rig.encrypt(vm, None).await, ProblemCode::NoDefaultProvider);
    assert!(rig.client.set_default_provider("second").await.expect("there").default);
    assert!(!rig.create("third").await.default);
}

#[tokio::test]
async fn names_are_checked_and_unique_and_can_be_changed() {
    let rig = Rig::start().await;
    let nkp = rig.create("nkp").await;
    rig.create("other").await;
    let named = |name: &str| CreateProvider { name: name.to_owned(), ..CreateProvider::default() };
    for name in ["", "a/b", "a b", "clé", &"x".repeat(300)] {
        refused(rig.client.create_provider(&named(name)).await, ProblemCode::BadName);
        refused(
            rig.client.rename_provider("nkp", &RenameProvider { name: name.to_owned() }).await,
            ProblemCode::BadName,
        );
    }
    refused(rig.client.create_provider(&named("nkp")).await, ProblemCode::NameTaken);
    let rename = |name: &str| RenameProvider { name: name.to_owned() };
    refused(rig.client.rename_provider("nkp", &rename("other")).await, ProblemCode::NameTaken);
    let renamed = rig.client.rename_provider("nkp", &rename("paris")).await.expect("a free name");
    assert_eq!((renamed.id, renamed.name.as_str()), (nkp.id, "paris"));
    refused(rig.client.provider("nkp").await, ProblemCode::NoSuchProvider);
    refused(rig.client.provider("a/b:rotate é").await, ProblemCode::NoSuchProvider);
}

#[tokio::test]
async fn a_provider_may_be_named_like_a_verb() {
    let rig = Rig::start().await;
    for name in ["restore", "rotate", "verify-backup"] {
        rig.create(name).await;
        assert_eq!(rig.client.provider(name).await.expect("there").name.as_str(), name);
        rig.client.rotate_provider(name).await.expect("there");
    }
}

#[tokio::test]
async fn repeating_a_change_writes_no_event() {
    let rig = Rig::start().await;
    rig.create("nkp").await;
    let before = rig.event_kinds().await;
    rig.client.set_default_provider("nkp").await.expect("already so");
    rig.client.rename_provider("nkp", &RenameProvider { name: "nkp".to_owned() }).await.expect("already so");
    rig.client
        .set_feature(NATIVE_KEY_PROVIDER, &SetFeature { enabled: true, message: None })
        .await
        .expect("already so");
    assert_eq!(rig.event_kinds().await, before);
}

#[tokio::test]
async fn no_more_than_32_providers() {
    let rig = Rig::start().await;
    for at in 0..32 {
        rig.create(&format!("nkp-{at}")).await;
    }
    let request = CreateProvider { name: "one-more".to_owned(), ..CreateProvider::default() };
    refused(rig.client.create_provider(&request).await, ProblemCode::TooManyProviders);
}

#[tokio::test]
async fn a_provider_in_use_is_removed_only_by_force_and_its_name() {
    let rig = Rig::start().await;
    let vms = [rig.host.add_vm("web01"), rig.host.add_vm("db01")];
    let (provider, _) = rig.active("nkp").await;
    for vm in vms {
        rig.encrypt(vm, None).await.expect("active");
    }
    assert_eq!(rig.client.provider("nkp").await.expect("there").vms, 2);
    let problem =
        refused(rig.client.delete_provider("nkp", &DeleteProvider::default()).await, ProblemCode::ProviderInUse);
    assert!(problem.detail.contains("2 VMs: db01 and web01"), "{problem}");
    for confirm in [None, Some("nkq".to_owned())] {
        let request = DeleteProvider { force: true, confirm };
        refused(rig.client.delete_provider("nkp", &request).await, ProblemCode::NotConfirmed);
    }
    let request = DeleteProvider { force: true, confirm: Some("nkp".to_owned()) };
    assert_eq!(rig.client.delete_provider("nkp", &request).await.expect("confirmed").vms, 2);
    assert!(!rig.host.has(provider.id, provider.key.expect("was active")));
    let last = rig.client.events(&cadenas_api::EventQuery::default()).await.expect("events").pop().expect("some");
    assert!(last.kind == "provider.removed" && last.message.contains("db01 and web01"), "{}", last.message);
}

#[tokio::test]
async fn a_provider_that_a_task_is_wrapping_under_is_in_use() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("nkp").await;
    rig.host.script(vm, Script::UntilCancelled);
    let task = rig.encrypt(vm, None).await.expect("begins");
    let problem =
        refused(rig.client.delete_provider("nkp", &DeleteProvider::default()).await, ProblemCode::ProviderInUse);
    assert!(problem.detail.contains("1 VM: web01"), "{problem}");
    rig.client.cancel_task(task.id).await.expect("running");
}

#[tokio::test]
async fn while_the_host_cannot_tell_its_vms_no_provider_is_removed() {
    let rig = Rig::start().await;
    rig.create("nkp").await;
    rig.host.knows_no_vms.store(true, Ordering::Relaxed);
    let problem =
        refused(rig.client.delete_provider("nkp", &DeleteProvider::default()).await, ProblemCode::DatastoreFailed);
    assert!(problem.detail.contains("which VMs use key provider nkp is not known"), "{problem}");
    let shown = rig.client.provider("nkp").await.expect("is shown all the same");
    assert!(shown.reason.expect("said").contains("how many VMs use it is not known"));
    let request = DeleteProvider { force: true, confirm: Some("nkp".to_owned()) };
    rig.client.delete_provider("nkp", &request).await.expect("by force");
}

#[tokio::test]
async fn a_provider_that_a_vm_out_of_reach_may_need_or_an_interrupted_rewrite_needs_is_not_removed() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let (nkp, _) = rig.active("nkp").await;
    let task = rig.encrypt(vm, None).await.expect("begins");
    rig.ended(task).await;
    rig.host.lose_home(vm);
    let remove = async || rig.client.delete_provider("nkp", &DeleteProvider::default()).await;
    let problem = refused(remove().await, ProblemCode::HomeUnfit);
    assert!(problem.detail.contains("not known: the home of VM web01 is gone"), "{problem}");
    let shown = rig.client.provider("nkp").await.expect("there").reason.expect("said");
    assert!(shown.contains("whether VM web01 needs it is not known"), "{shown}");
    rig.host.leave_rewrite("web02", (nkp.id, nkp.key.expect("current")));
    let problem = refused(remove().await, ProblemCode::ProviderInUse);
    assert!(problem.detail.contains("1 VM: web02"), "{problem}");
}

#[tokio::test]
async fn a_host_that_takes_no_keys_makes_the_provider_degraded() {
    let mut rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("nkp").await;
    rig.stop().await;
    rig.host = std::sync::Arc::new(rig.host.restarted());
    rig.host.refuses_keys.store(true, Ordering::Relaxed);
    rig.go().await.expect("starts all the same");
    let provider = rig.client.provider("nkp").await.expect("there");
    assert_eq!(provider.state, ProviderState::Degraded);
    assert!(provider.reason.expect("said").contains("no locked memory is left"));
    refused(rig.encrypt(vm, None).await, ProblemCode::ProviderNotUsable);
    assert_eq!(rig.event_kinds().await.last().map(String::as_str), Some("provider.degraded"));
}

#[tokio::test]
async fn a_provider_for_tpms_is_degraded_without_one_and_its_key_stays_here() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let request = CreateProvider { name: "nkp".to_owned(), tpm_required: true, ..CreateProvider::default() };
    assert!(rig.client.create_provider(&request).await.expect("free").reason.expect("said").contains("TPM"));
    let p12 = rig.back_up("nkp").await;
    let provider = rig.confirm("nkp", p12).await.expect("a good backup");
    assert_eq!(provider.state, ProviderState::Degraded);
    assert!(provider.reason.expect("what to do").contains("--tpm-required"));
    assert!(rig.host.given().is_empty());
    refused(rig.encrypt(vm, None).await, ProblemCode::ProviderNotUsable);
}

#[tokio::test]
async fn the_switched_off_feature_refuses_creation_with_the_given_words() {
    let rig = Rig::start().await;
    let (_, p12) = rig.active("nkp").await;
    let off = SetFeature { enabled: false, message: Some("use the key server".to_owned()) };
    let feature = rig.client.set_feature(NATIVE_KEY_PROVIDER, &off).await.expect("known");
    assert_eq!((feature.enabled, feature.message.as_deref()), (false, Some("use the key server")));
    let request = CreateProvider { name: "new".to_owned(), ..CreateProvider::default() };
    let problem = refused(rig.client.create_provider(&request).await, ProblemCode::FeatureDisabled);
    assert!(problem.status == 403 && problem.detail.contains("use the key server"), "{problem}");
    for dry_run in [true, false] {
        let request = crate::backups::restoring(p12.clone(), None, dry_run);
        refused(rig.client.restore_provider(&request).await, ProblemCode::FeatureDisabled);
    }
    let vm = rig.host.add_vm("web01");
    rig.encrypt(vm, None).await.expect("what exists goes on");
    rig.client.rotate_provider("nkp").await.expect("what exists goes on");
    refused(rig.client.set_feature("other", &off).await, ProblemCode::NoSuchFeature);
    let long = SetFeature { enabled: false, message: Some("x".repeat(1_001)) };
    refused(rig.client.set_feature(NATIVE_KEY_PROVIDER, &long).await, ProblemCode::BadRequest);
    let on = SetFeature { enabled: true, message: Some("dropped".to_owned()) };
    assert_eq!(rig.client.set_feature(NATIVE_KEY_PROVIDER, &on).await.expect("known").message, None);
    rig.client.create_provider(&request).await.expect("on again");
}
