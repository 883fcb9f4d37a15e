//! Backup files: made, proved, verified, restored here and on another server.

use std::time::Duration;

use cadenas_api::{
    BackupRequest, ConfirmBackup, DeleteProvider, P12, Padlock, ProblemCode, ProviderState, RestoreRequest, Restored,
    VerifyBackup,
};

use crate::rig::{PASSWORD, Rig, password, refused};

pub(crate) fn restoring(p12: P12, name: Option<&str>, dry_run: bool) -> RestoreRequest {
    let name = name.map(|name| name.parse().expect("an allowed name"));
    RestoreRequest { p12, password: Some(password(PASSWORD)), name, dry_run }
}

#[tokio::test]
async fn a_backup_needs_a_password_or_the_word_that_there_shall_be_none() {
    let rig = Rig::start().await;
    rig.create("nkp").await;
    let ask = |password, no_password| BackupRequest { password, no_password };
    let client = &rig.client;
    refused(client.backup_provider("nkp", &ask(None, false)).await, ProblemCode::PasswordNeeded);
    refused(client.backup_provider("nkp", &ask(Some(password("")), false)).await, ProblemCode::PasswordNeeded);
    refused(client.backup_provider("nkp", &ask(Some(password("x")), true)).await, ProblemCode::BadRequest);
    refused(client.backup_provider("nkp", &ask(Some(password("🔒")), false)).await, ProblemCode::BadRequest);
    refused(client.backup_provider("none", &ask(None, true)).await, ProblemCode::NoSuchProvider);
    let p12 = client.backup_provider("nkp", &ask(None, true)).await.expect("said so").p12;
    let proved = client.confirm_backup("nkp", &ConfirmBackup { p12, password: None }).await.expect("opens");
    assert_eq!(proved.state, ProviderState::Active);
    assert_eq!(proved.versions[0].backup_has_password, Some(false), "stays visible");
    let events = client.events(&cadenas_api::EventQuery::default()).await.expect("events");
    assert!(
        events.iter().any(|event| event.kind == "provider.backed-up" && event.message.contains("without a password"))
    );
}

#[tokio::test]
async fn only_a_whole_file_of_this_provider_proves_its_backup() {
    let rig = Rig::start().await;
    rig.create("nkp").await;
    rig.create("other").await;
    let (mine, others) = (rig.back_up("nkp").await, rig.back_up("other").await);
    refused(rig.confirm("nkp", others).await, ProblemCode::BackupMismatch);
    let cut = P12(mine.0[..mine.0.len() - 1].to_vec());
    refused(rig.confirm("nkp", cut).await, ProblemCode::BadBackup);
    refused(rig.confirm("nkp", P12(vec![])).await, ProblemCode::BadBackup);
    let wrong = |p12: &P12, given| ConfirmBackup { p12: p12.clone(), password: given };
    let client = &rig.client;
    let answer = client.confirm_backup("nkp", &wrong(&mine, Some(password("wrong")))).await;
    assert!(!refused(answer, ProblemCode::WrongPassword).to_string().contains("wrong horse"));
    refused(client.confirm_backup("nkp", &wrong(&mine, None)).await, ProblemCode::PasswordNeeded);
    assert_eq!(client.provider("nkp").await.expect("there").state, ProviderState::NotBackedUp);
    rig.confirm("nkp", mine).await.expect("the file itself");
}

#[tokio::test]
async fn verifying_tells_what_a_file_holds_and_lacks() {
    let rig = Rig::start().await;
    let (provider, old) = rig.active("nkp").await;
    let verify = |p12: &P12| VerifyBackup { p12: p12.clone(), password: Some(password(PASSWORD)) };
    let report = rig.client.verify_backup(&verify(&old)).await.expect("opens");
    assert!(report.holds_present_key && report.has_password && report.problem.is_none());
    assert_eq!((report.provider, report.name.as_str(), report.keys.len()), (provider.id, "nkp", 1));
    rig.client.rotate_provider("nkp").await.expect("there");
    let report = rig.client.verify_backup(&verify(&old)).await.expect("opens");
    assert!(!report.holds_present_key && report.problem.expect("said").contains("lacks the present key"));
    let elsewhere = Rig::start().await;
    let report = elsewhere.client.verify_backup(&verify(&old)).await.expect("opens");
    assert!(!report.holds_present_key && report.problem.expect("said").contains("does not know the provider"));
    let wrong = VerifyBackup { p12: old, password: Some(password("wrong")) };
    refused(rig.client.verify_backup(&wrong).await, ProblemCode::WrongPassword);
}

#[tokio::test]
async fn another_server_restores_the_same_provider_and_its_vms_unlock() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let (provider, p12) = rig.active("nkp").await;
    rig.encrypt(vm, None).await.expect("active");

    let mut other = Rig::start().await;
    other.stop().await;
    other.host = std::sync::Arc::new(rig.host.restarted());
    other.go().await.expect("a folder of ours");
    let client = &other.client;
    let locked = client.vm("web01").await.expect("there");
    assert_eq!((locked.padlock, locked.missing_keys[0].provider), (Padlock::Locked, provider.id));

    let dry = client.restore_provider(&restoring(p12.clone(), None, true)).await.expect("can be restored");
    assert_eq!(
        (dry.outcome, dry.dry_run, dry.unlocked.as_slice()),
        (Restored::Created, true, &["web01".to_owned()][..])
    );
    assert_eq!(dry.provider.state, ProviderState::Active);
    assert!(client.providers().await.expect("list").is_empty(), "nothing was done");

    let done = client.restore_provider(&restoring(p12.clone(), None, false)).await.expect("can be restored");
    assert_eq!((done.outcome, done.unlocked.as_slice()), (Restored::Created, &["web01".to_owned()][..]));
    assert_eq!((done.provider.id, done.provider.key), (provider.id, provider.key));
    assert_eq!((done.provider.state, done.provider.default), (ProviderState::Active, true));
    assert_eq!(done.provider.versions[0].backup_has_password, Some(true), "the file has just proved it");
    assert_eq!(client.vm("web01").await.expect("there").padlock, Padlock::Encrypted);

    let again = client.restore_provider(&restoring(p12, None, false)).await.expect("already so");
    assert_eq!((again.outcome, again.unlocked.len()), (Restored::AlreadySo, 0));
}

#[tokio::test]
async fn a_name_clash_is_told_with_the_option_that_solves_it() {
    let rig = Rig::start().await;
    let (old, p12) = rig.active("nkp").await;
    rig.client.delete_provider("nkp", &DeleteProvider::default()).await.expect("unused");
    let new = rig.create("nkp").await;
    assert_ne!(old.id, new.id);
    let problem =
        refused(rig.client.restore_provider(&restoring(p12.clone(), None, false)).await, ProblemCode::NameTaken);
    assert!(problem.next.expect("help").contains("--name"));
    let restored = rig.client.restore_provider(&restoring(p12.clone(), Some("old"), false)).await.expect("a free name");
    assert_eq!((restored.provider.id, restored.provider.name.as_str()), (old.id, "old"));
    let renaming = rig.client.restore_provider(&restoring(p12, Some("older"), false)).await;
    assert!(refused(renaming, ProblemCode::BadRequest).next.expect("help").contains("rename"));
}

#[tokio::test]
async fn versions_that_are_missing_here_are_added() {
    let rig = Rig::start().await;
    let (_, old) = rig.active("nkp").await;
    // Times of creation order the versions of different files.
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.client.rotate_provider("nkp").await.expect("there");
    let new = rig.back_up("nkp").await;
    let newest = rig.confirm("nkp", new.clone()).await.expect("a good backup").key;

    let other = Rig::start().await;
    let first = other.client.restore_provider(&restoring(old.clone(), None, false)).await.expect("new here");
    assert_ne!(first.provider.key, newest);
    let second = other.client.restore_provider(&restoring(new, None, false)).await.expect("more keys");
    assert_eq!((second.outcome, second.provider.versions.len()), (Restored::KeysAdded, 2));
    assert_eq!((second.provider.key, second.provider.state), (newest, ProviderState::Active));
    let third = other.client.restore_provider(&restoring(old, None, false)).await.expect("an old file");
    assert_eq!(third.outcome, Restored::AlreadySo);
    assert_eq!(third.provider.key, newest);
}

#[tokio::test]
async fn a_different_key_under_a_known_id_is_refused() {
    use cadenas_keys::{Backup, BackupKey, Kdk};
    let rig = Rig::start().await;
    let (provider, _) = rig.active("nkp").await;
    let key = provider.key.expect("active");
    let created_at = provider.created.to_string();
    let forged = Backup {
        provider: provider.id,
        name: "nkp".to_owned(),
        tpm_required: false,
        exported_at: created_at.clone(),
        current: key,
        keys: vec![BackupKey { id: key, created_at, kdk: Kdk::generate() }],
    };
    let p12 = P12(forged.to_p12(Some(password(PASSWORD).secret())).expect("can be written"));
    refused(rig.client.restore_provider(&restoring(p12.clone(), None, false)).await, ProblemCode::DifferentKey);
    refused(rig.client.restore_provider(&restoring(p12.clone(), None, true)).await, ProblemCode::DifferentKey);
    refused(rig.confirm("nkp", p12).await, ProblemCode::BackupMismatch);
}

#[tokio::test]
async fn a_file_whose_name_is_no_name_here_needs_another_one() {
    use cadenas_keys::{Backup, BackupKey, Kdk, KeyId, ProviderId};
    let rig = Rig::start().await;
    let (id, time) = (KeyId::random(), "2026-11-24T00:00:00Z".to_owned());
    let backup = Backup {
        provider: ProviderId::random(),
        name: "clé de Paris".to_owned(),
        tpm_required: true,
        exported_at: time.clone(),
        current: id,
        keys: vec![BackupKey { id, created_at: time, kdk: Kdk::generate() }],
    };
    let p12 = P12(backup.to_p12(Some(password(PASSWORD).secret())).expect("can be written"));
    let problem =
        refused(rig.client.restore_provider(&restoring(p12.clone(), None, false)).await, ProblemCode::BadName);
    assert!(problem.next.expect("help").contains("--name"));
    let restored = rig.client.restore_provider(&restoring(p12, Some("paris"), false)).await.expect("a name");
    assert!(restored.provider.tpm_required, "as the file says");
    assert_eq!(restored.provider.state, ProviderState::Degraded);
}
