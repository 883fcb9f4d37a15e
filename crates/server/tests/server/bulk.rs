//! Many VMs at once, rotation in the background, ages of keys, and what needs them.

use cadenas_api::{
    CopyPath, DeleteProvider, KeyVersionState, PlannedStep, Problem, ProblemCode, ProviderState, RecryptAll,
    RecryptKind, RecryptVm, SetRotation, SetTemplate, Task, TaskState, UserKind,
};
use cadenas_keys::{KeyId, VmId};
use jiff::Timestamp;

use crate::{
    backups::restoring,
    host::Script,
    rig::{Rig, refused},
};

fn to(provider: &str) -> RecryptAll {
    RecryptAll { to: Some(provider.to_owned()), ..RecryptAll::default() }
}

async fn encrypted(rig: &Rig, count: usize) -> Vec<VmId> {
    let mut vms = vec![];
    for at in 0..count {
        let vm = rig.host.add_vm(&format!("vm{at:03}"));
        let task = rig.encrypt(vm, None).await.expect("begun");
        assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
        vms.push(vm);
    }
    vms
}

async fn recrypted(rig: &Rig, request: &RecryptAll) -> Task {
    let task = rig.client.recrypt_all(request).await.expect("begun");
    rig.ended(task).await
}

#[tokio::test]
async fn a_plan_says_what_would_be_done_and_changes_nothing() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let vms = encrypted(&rig, 3).await;
    rig.host.add_vm("plain");
    rig.active("nkp-2").await;
    let request = RecryptVm { provider: Some("nkp-2".to_owned()), ..RecryptVm::default() };
    let task = rig.client.recrypt_vm(&vms[1].to_string(), &request).await.expect("begun");
    rig.ended(task).await;
    let plan = rig.client.plan_recrypt(&to("nkp-2")).await.expect("planned");
    let steps: Vec<_> = plan.vms.iter().map(|planned| planned.step).collect();
    assert_eq!(steps, [PlannedStep::Recrypt, PlannedStep::AlreadySo, PlannedStep::Recrypt]);
    assert_eq!(rig.client.provider("nkp").await.expect("there").vms, 2);
    let only = RecryptAll { from: Some("nkp".to_owned()), ..to("nkp-2") };
    assert_eq!(rig.client.plan_recrypt(&only).await.expect("planned").vms.len(), 2);
}

#[tokio::test]
async fn all_are_done_in_batches_and_one_that_fails_stops_nobody() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let vms = encrypted(&rig, 260).await;
    rig.active("nkp-2").await;
    rig.host.script(vms[7], Script::Fail(Problem::new(ProblemCode::DatastoreFailed, "no space")));
    let task = recrypted(&rig, &to("nkp-2")).await;
    assert_eq!((task.state, task.vm, task.progress.done), (TaskState::Succeeded, None, 260));
    let bulk = task.outcome.expect("succeeded").bulk.expect("many");
    assert_eq!((bulk.changed, bulk.already, bulk.failed), (259, 0, 1));
    assert_eq!((bulk.failures[0].vm, bulk.failures[0].problem.detail.as_str()), (vms[7], "no space"));
    assert_eq!(rig.host.batches(), [130, 130], "in two halves at the same time");
    let again = recrypted(&rig, &to("nkp-2")).await.outcome.expect("succeeded").bulk.expect("many");
    assert_eq!((again.changed, again.already, again.failed), (0, 259, 1));
    let kinds = rig.event_kinds().await;
    let told = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!((told("vm.recrypted"), told("vm.recrypt-failed"), told("vm.all-recrypted")), (259, 2, 2));
}

#[tokio::test]
async fn a_vm_that_another_task_holds_is_left_alone_and_told() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let vms = encrypted(&rig, 2).await;
    rig.active("nkp-2").await;
    rig.host.script(vms[0], Script::UntilCancelled);
    let held = rig.client.kill_vm(&vms[0].to_string()).await.expect("begun");
    let bulk = recrypted(&rig, &to("nkp-2")).await.outcome.expect("succeeded").bulk.expect("many");
    assert_eq!((bulk.changed, bulk.failed), (1, 1));
    assert_eq!(bulk.failures[0].problem.code, ProblemCode::VmBusy);
    rig.client.cancel_task(held.id).await.expect("at work");
}

#[tokio::test]
async fn nothing_moves_to_a_new_version_before_it_is_in_a_backup_and_then_all_does() {
    let mut rig = Rig::start().await;
    rig.active("nkp").await;
    let vm = encrypted(&rig, 1).await[0].to_string();
    let before = rig.client.vm(&vm).await.expect("there").providers;
    let rotated = rig.client.rotate_provider("nkp").await.expect("rotated");
    assert_eq!(rotated.versions[0].state, KeyVersionState::NotBackedUp);
    // A server looks at what is left to move when it starts, and then every minute.
    rig.restart().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(rig.client.vm(&vm).await.expect("there").providers, before);
    moves_when_it_is_backed_up(&mut rig, &vm, rotated.versions[0].id).await;
}

async fn moves_when_it_is_backed_up(rig: &mut Rig, vm: &str, key: KeyId) {
    let p12 = rig.back_up("nkp").await;
    rig.confirm("nkp", p12).await.expect("a good backup");
    rig.restart().await;
    rig.eventually("the VM moves", async || {
        let providers = rig.client.vm(vm).await.expect("there").providers;
        (providers[0].key == key).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_schedule_is_shown_and_ends() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let set = async |every_days| rig.client.set_rotation("nkp", &SetRotation { every_days }).await;
    let rotation = set(Some(90)).await.expect("set").rotation.expect("a schedule");
    assert_eq!(rotation.every_days, 90);
    refused(set(Some(0)).await, ProblemCode::BadRequest);
    refused(set(Some(3651)).await, ProblemCode::BadRequest);
    assert_eq!(set(None).await.expect("set").rotation, None);
}

#[tokio::test]
async fn a_schedule_that_is_due_makes_one_version_and_moves_the_vms_after_its_backup() {
    let mut rig = Rig::start().await;
    let (first, _) = rig.active("nkp").await;
    let vm = encrypted(&rig, 1).await[0].to_string();
    rig.client.set_rotation("nkp", &SetRotation { every_days: Some(90) }).await.expect("set");
    rig.restart_years_after(first.id).await;
    let provider = async || rig.client.provider("nkp").await.expect("there");
    rig.eventually("a new version", async || (provider().await.versions.len() == 2).then_some(())).await;
    let next = provider().await.rotation.expect("a schedule").next;
    assert_eq!(next.duration_since(Timestamp::now()).as_hours(), 90 * 24 - 1, "counted from now");

    // The version that waits for its backup is not followed by another one, however long it waits.
    rig.restart_years_after(first.id).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let rotated = rig.client.provider("nkp").await.expect("there");
    assert_eq!((rotated.versions.len(), rotated.key), (2, first.key));
    rig.client.set_rotation("nkp", &SetRotation { every_days: None }).await.expect("ended");
    moves_when_it_is_backed_up(&mut rig, &vm, rotated.versions[0].id).await;
}

#[tokio::test]
async fn a_compromised_key_wraps_nothing_and_tells_who_needs_new_data_keys() {
    let rig = Rig::start().await;
    let (provider, _) = rig.active("nkp").await;
    let vms = encrypted(&rig, 2).await;
    rig.active("nkp-2").await;
    let request = RecryptVm { provider: Some("nkp-2".to_owned()), ..RecryptVm::default() };
    let task = rig.client.recrypt_vm(&vms[0].to_string(), &request).await.expect("begun");
    rig.ended(task).await;
    let key = provider.key.expect("current").to_string();
    let report = rig.client.mark_compromised(&key).await.expect("known");
    let told: Vec<_> = report.vms.iter().map(|vm| (vm.name.as_str(), vm.still)).collect();
    assert_eq!(told, [("vm000", false), ("vm001", true)]);
    for row in rig.client.key_report().await.expect("a report") {
        assert_eq!(row.due.expect("due").kind, RecryptKind::Deep, "{}", row.name);
    }
    let refusal = refused(rig.encrypt(rig.host.add_vm("new"), Some("nkp")).await, ProblemCode::ProviderNotUsable);
    assert!(refusal.detail.contains("compromised"), "{refusal}");
    assert_eq!(rig.client.provider("nkp").await.expect("there").alarms[0].vms, ["vm001"]);
    refused(rig.client.mark_compromised("no-key").await, ProblemCode::NoSuchKey);
    assert_eq!(rig.client.mark_compromised(&key).await.expect("again").vms.len(), 2);
}

#[tokio::test]
async fn a_key_stays_compromised_when_its_provider_goes_and_when_it_comes_back() {
    let rig = Rig::start().await;
    let (provider, p12) = rig.active("nkp").await;
    let vm = encrypted(&rig, 1).await[0].to_string();
    let (later, _) = rig.active("nkp-2").await;
    rig.active("nkp-3").await;
    rig.client.mark_compromised(&provider.key.expect("current").to_string()).await.expect("known");
    for (from, to) in [("nkp", "nkp-2"), ("nkp-2", "nkp-3")] {
        let request = RecryptVm { provider: Some(to.to_owned()), ..RecryptVm::default() };
        rig.ended(rig.client.recrypt_vm(&vm, &request).await.expect("begun")).await;
        rig.client.delete_provider(from, &DeleteProvider::default()).await.expect("nothing needs it");
        assert_eq!(rig.client.vm(&vm).await.expect("there").due.expect("due").kind, RecryptKind::Deep);
    }
    // Of a provider that is gone, a key can still be marked.
    let report = rig.client.mark_compromised(&later.key.expect("current").to_string()).await.expect("remembered");
    assert_eq!(report.vms.len(), 1);

    let restored = rig.client.restore_provider(&restoring(p12, None, false)).await.expect("restored").provider;
    assert_eq!((restored.state, restored.key), (ProviderState::Degraded, None));
}

#[tokio::test]
async fn an_older_version_is_due_for_a_shallow_recrypt() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    encrypted(&rig, 1).await;
    assert_eq!(rig.client.key_report().await.expect("a report")[0].due, None);
    rig.active("nkp-2").await;
    rig.client.rotate_provider("nkp").await.expect("rotated");
    let row = rig.client.key_report().await.expect("a report").remove(0);
    assert!(row.kek_age_seconds.is_some_and(|age| age >= 0));
    assert_eq!(row.due.expect("due").kind, RecryptKind::Shallow);
}

#[tokio::test]
async fn a_template_is_re_encrypted_with_the_others_and_does_not_start() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let vm = encrypted(&rig, 1).await[0].to_string();
    let template = rig.client.set_template(&vm, SetTemplate { template: true }).await.expect("off");
    assert!(template.template);
    let refusal = refused(rig.client.start_vm(&vm).await, ProblemCode::BadRequest);
    assert!(refusal.detail.contains("is a template"), "{refusal}");
    let users = rig.client.provider("nkp").await.expect("there").users;
    assert_eq!(users.iter().map(|user| user.kind).collect::<Vec<_>>(), [UserKind::Template]);
    rig.active("nkp-2").await;
    let bulk = recrypted(&rig, &to("nkp-2")).await.outcome.expect("succeeded").bulk.expect("many");
    assert_eq!(bulk.changed, 1);
    rig.client.set_template(&vm, SetTemplate { template: false }).await.expect("off");
    rig.client.start_vm(&vm).await.expect("a VM again");
    refused(rig.client.set_template(&vm, SetTemplate { template: true }).await, ProblemCode::VmNotOff);
}

#[tokio::test]
async fn a_known_copy_keeps_its_provider() {
    let rig = Rig::start().await;
    rig.active("nkp").await;
    let vm = encrypted(&rig, 1).await[0];
    rig.host.copy_home(vm, "/backup/vm000");
    let copy = CopyPath { path: "/backup/vm000".into() };
    rig.client.add_copy(&copy).await.expect("readable");
    rig.active("nkp-2").await;
    recrypted(&rig, &to("nkp-2")).await;
    let users = rig.client.provider("nkp").await.expect("there").users;
    assert_eq!((users[0].kind, users[0].path.as_deref()), (UserKind::Copy, Some("/backup/vm000")));
    let refusal =
        refused(rig.client.delete_provider("nkp", &DeleteProvider::default()).await, ProblemCode::ProviderInUse);
    assert!(refusal.detail.contains("/backup/vm000"), "{refusal}");
    assert_eq!(rig.client.copies().await.expect("a list").len(), 1);
    rig.client.forget_copy(&copy).await.expect("known");
    refused(rig.client.forget_copy(&copy).await, ProblemCode::NotFound);
    refused(rig.client.add_copy(&CopyPath { path: "relative".into() }).await, ProblemCode::BadRequest);
    rig.client.delete_provider("nkp", &DeleteProvider::default()).await.expect("nothing needs it");
}
