//! Standard key providers, against a key server in memory that speaks KMIP over TLS.

use std::time::Duration;

use cadenas_api::{
    ActionKind, CreateProvider, KmsKeyState, KmsTrust, Padlock, Password, ProblemCode, Provider, ProviderKind,
    ProviderState, RecryptAll, RecryptKind, RecryptVm, SetKmsIdentity, SetKmsServers, SetKmsUser, TaskState, TrustKms,
    Vm,
};
use cadenas_kmip::{
    KeyState, KmipId, KmipOperation, ResultReason,
    testing::{Authority, Clients, Dates, Fault, ServerOptions, TestKeys, TestServer, When},
};

use crate::rig::{Rig, encryption, password, refused};

/// A provider named `cluster` that trusts `server` by its authority.
async fn trusted(rig: &Rig, authority: &Authority, servers: &[&TestServer]) -> Provider {
    let kms = servers.iter().map(|server| server.endpoint().to_string()).collect();
    let request =
        CreateProvider { name: "cluster".to_owned(), kind: ProviderKind::Standard, kms, ..Default::default() };
    rig.client.create_provider(&request).await.expect("a free name");
    let trust = TrustKms { authorities: Some(authority.certificate_pem()), ..TrustKms::default() };
    rig.client.trust_kms("cluster", &trust).await.expect("a certificate")
}

async fn encrypted(rig: &Rig, name: &str) -> Vm {
    let id = rig.host.add_vm(name);
    let task = rig.encrypt(id, Some("cluster")).await.expect("begun");
    assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
    rig.client.vm(name).await.expect("it is there")
}

fn kms_key(vm: &Vm) -> KmipId {
    vm.providers[0].kms_key.as_ref().expect("a key server's key").as_str().parse().expect("a name")
}

#[tokio::test]
async fn nothing_is_asked_of_servers_that_are_not_trusted() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    let kms = vec![server.endpoint().to_string()];
    let request =
        CreateProvider { name: "cluster".to_owned(), kind: ProviderKind::Standard, kms, ..Default::default() };
    let provider = rig.client.create_provider(&request).await.expect("made");
    assert_eq!((provider.kind, provider.state), (ProviderKind::Standard, ProviderState::NotTrusted));
    let vm = rig.host.add_vm("web01");
    let refusal = refused(rig.encrypt(vm, None).await, ProblemCode::ProviderNotUsable);
    assert!(refusal.detail.contains("not trusted yet"), "{refusal}");
    let shown = rig.client.show_certificates("cluster").await.expect("it listens");
    let certificate = shown[0].certificate.clone().expect("it shows one");
    assert!(server.take_log().is_empty(), "no KMIP is spoken before there is trust");
    let trust = TrustKms { pin: vec![certificate.sha256], ..TrustKms::default() };
    let provider = rig.client.trust_kms("cluster", &trust).await.expect("pinned");
    assert_eq!(provider.state, ProviderState::Active);
    assert_eq!(provider.kms.expect("servers").trust, Some(KmsTrust::Pinned(vec![certificate.sha256])));
    let task = rig.encrypt(vm, None).await.expect("begun");
    assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
}

#[tokio::test]
async fn every_vm_has_a_key_of_its_own_that_is_active_and_bears_its_name() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let (one, other) = (encrypted(&rig, "web01").await, encrypted(&rig, "web02").await);
    assert_ne!(kms_key(&one), kms_key(&other));
    assert_eq!(server.keys().vm_of(&kms_key(&one)), Some(one.id.to_string()));
    assert_eq!(one.providers[0].state, Some(KmsKeyState::Active));
    assert!(one.providers[0].created.is_some());
    assert!(rig.host.has(one.providers[0].id, one.providers[0].key));
}

#[tokio::test]
async fn the_same_provider_again_changes_nothing_and_makes_no_key() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let before = encrypted(&rig, "web01").await;
    let task = rig.client.recrypt_vm("web01", &RecryptVm::default()).await.expect("begun");
    let outcome = rig.ended(task).await.outcome.expect("succeeded");
    assert!(!outcome.changed);
    assert_eq!(rig.client.vm("web01").await.expect("there").providers, before.providers);
    assert_eq!(server.keys().count(), 1);
}

#[tokio::test]
async fn a_key_that_was_made_for_nothing_serves_the_next_attempt() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let vm = rig.host.add_vm("web01");
    let refusal = cadenas_api::Problem::new(ProblemCode::VmNotOff, "it runs");
    rig.host.script(vm, crate::host::Script::Fail(refusal));
    for _ in 0..3 {
        let task = rig.encrypt(vm, None).await.expect("begun");
        assert_eq!(rig.ended(task).await.state, TaskState::Failed);
    }
    assert_eq!(server.keys().count(), 1);
}

#[tokio::test]
async fn without_its_key_server_a_restarted_host_has_locked_vms_which_unlock_by_themselves() {
    let (mut rig, authority) = (Rig::start().await, Authority::new("ca"));
    let mut server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    encrypted(&rig, "web01").await;
    server.stop();
    rig.restart().await;
    let locked = rig.client.vm("web01").await.expect("there");
    assert_eq!(locked.padlock, Padlock::Locked);
    let actions = rig.client.vm_actions("web01").await.expect("a VM");
    let start = actions.iter().find(|action| action.operation == ActionKind::Start).expect("every operation");
    assert!(start.allowed, "a start asks the key server: {start:?}");
    let refusal = refused(rig.client.start_vm("web01").await, ProblemCode::KmsUnreachable);
    assert!(refusal.detail.contains(&server.endpoint().to_string()) && refusal.detail.contains("web01"), "{refusal}");
    let provider = rig.client.provider("cluster").await.expect("there");
    assert_eq!(provider.state, ProviderState::Degraded);
    server.restart();
    rig.eventually("it unlocks by itself", async || {
        let vm = rig.client.vm("web01").await.expect("there");
        (vm.padlock == Padlock::Encrypted).then_some(())
    })
    .await;
    assert!(rig.event_kinds().await.contains(&"vm.unlocked".to_owned()));
}

#[tokio::test]
async fn a_vm_whose_key_is_in_memory_goes_on_without_its_key_server() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let mut server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    encrypted(&rig, "web01").await;
    rig.active("nkp").await;
    server.stop();
    for _ in 0..2 {
        let task = rig.client.start_vm("web01").await.expect("begun");
        assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
    }
    let request = RecryptVm { provider: Some("nkp".to_owned()), ..RecryptVm::default() };
    let task = rig.client.recrypt_vm("web01", &request).await.expect("begun");
    assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
    rig.client.delete_provider("cluster", &cadenas_api::DeleteProvider::default()).await.expect("nothing needs it");
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_use_raises_an_alarm_and_wraps_nothing_any_more() {
    for (state, shown, due) in [
        (KeyState::Deactivated, KmsKeyState::Deactivated, RecryptKind::Shallow),
        (KeyState::Compromised, KmsKeyState::Compromised, RecryptKind::Deep),
        (KeyState::Destroyed, KmsKeyState::Destroyed, RecryptKind::Shallow),
    ] {
        let (rig, authority) = (Rig::start().await, Authority::new("ca"));
        let server = TestServer::good(&authority);
        trusted(&rig, &authority, &[&server]).await;
        let vm = encrypted(&rig, "web01").await;
        server.keys().set_state(&kms_key(&vm), state);
        let alarm = rig
            .eventually("an alarm", async || rig.client.provider("cluster").await.expect("there").alarms.pop())
            .await;
        assert!(alarm.state == Some(shown) || alarm.state == Some(KmsKeyState::Missing), "{alarm:?}");
        assert_eq!(alarm.vms, ["web01"]);
        let kinds = rig.event_kinds().await;
        assert!(kinds.iter().any(|kind| kind.starts_with("provider.key-")), "{kinds:?}");
        assert_eq!(rig.client.vm("web01").await.expect("there").due.expect("something is due").kind, due);
        let task = rig.client.recrypt_vm("web01", &RecryptVm::default()).await.expect("begun");
        assert!(rig.ended(task).await.outcome.expect("succeeded").changed);
        let after = rig.client.vm("web01").await.expect("there");
        assert_ne!(kms_key(&after), kms_key(&vm), "a new key wraps");
        assert!(rig.client.provider("cluster").await.expect("there").alarms.is_empty());
    }
}

#[tokio::test]
async fn a_mark_that_comes_while_a_keys_state_is_asked_for_stays() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let vm = encrypted(&rig, "web01").await;
    drop(server.take_log());
    server.fail(KmipOperation::GetAttributes, Fault::Late(Duration::from_secs(2)), When::Next);
    rig.eventually("the state is asked for", async || {
        server.take_log().contains(&KmipOperation::GetAttributes).then_some(())
    })
    .await;
    rig.client.mark_compromised(&vm.providers[0].key.to_string()).await.expect("known");
    rig.eventually("it is asked for again", async || {
        server.take_log().contains(&KmipOperation::GetAttributes).then_some(())
    })
    .await;
    assert_eq!(rig.client.vm("web01").await.expect("there").due.expect("due").kind, RecryptKind::Deep);
}

#[tokio::test]
async fn one_key_that_the_server_tells_nothing_of_hides_no_other() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let vms = [encrypted(&rig, "web01").await, encrypted(&rig, "web02").await];
    drop(server.take_log());
    server.fail(KmipOperation::GetAttributes, Fault::Refuse(ResultReason::PERMISSION_DENIED, "no"), When::Always);
    rig.eventually("both are asked for", async || {
        let asked = server.take_log().into_iter().filter(|operation| *operation == KmipOperation::GetAttributes);
        (asked.count() >= vms.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_server_that_has_another_key_under_the_name_does_no_harm() {
    let (mut rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let vm = encrypted(&rig, "web01").await;
    let right = server.keys().material(&kms_key(&vm));
    server.keys().replace(&kms_key(&vm), vec![7; 32]);
    rig.restart().await;
    let refusal = refused(rig.client.start_vm("web01").await, ProblemCode::KmsRefused);
    assert!(refusal.detail.contains("another key"), "{refusal}");
    assert!(!rig.host.has(vm.providers[0].id, vm.providers[0].key));
    server.keys().replace(&kms_key(&vm), right);
    rig.eventually("it unlocks", async || {
        (rig.client.vm("web01").await.expect("there").padlock == Padlock::Encrypted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_second_server_serves_when_the_first_goes_away_midway() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let keys = TestKeys::default();
    let certified = || authority.server(&["127.0.0.1"], Dates::Now);
    let mut first = TestServer::start(&certified(), &keys, ServerOptions::default());
    let second = TestServer::start(&certified(), &keys, ServerOptions::default());
    trusted(&rig, &authority, &[&first, &second]).await;
    for at in 0..20 {
        if at == 7 {
            first.stop();
        }
        encrypted(&rig, &format!("vm{at:02}")).await;
    }
    assert!(!second.take_log().is_empty());
}

#[tokio::test]
async fn all_vms_leave_a_key_server_and_come_back() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    for at in 0..20 {
        encrypted(&rig, &format!("vm{at:02}")).await;
    }
    rig.active("nkp").await;
    for (to, made) in [("nkp", 20), ("cluster", 40), ("cluster", 40)] {
        let request = RecryptAll { to: Some(to.to_owned()), ..RecryptAll::default() };
        let task = rig.client.recrypt_all(&request).await.expect("begun");
        let bulk = rig.ended(task).await.outcome.expect("succeeded").bulk.expect("many");
        assert_eq!((bulk.changed + bulk.already, bulk.failed), (20, 0), "{bulk:?}");
        assert_eq!(server.keys().count(), made);
        assert_eq!(rig.client.provider(to).await.expect("there").vms, 20);
    }
}

#[tokio::test]
async fn a_rotation_gives_every_vm_a_new_key_in_the_background() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let before = encrypted(&rig, "web01").await;
    rig.client.rotate_provider("cluster").await.expect("rotated");
    rig.eventually("the VM moves", async || {
        let vm = rig.client.vm("web01").await.expect("there");
        (vm.providers != before.providers).then_some(())
    })
    .await;
    assert_eq!(server.keys().count(), 2);
}

#[tokio::test]
async fn an_identity_signs_itself_or_is_signed_or_is_uploaded() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let clients = Clients::Of(authority.certificate().to_vec());
    let certified = authority.server(&["127.0.0.1"], Dates::Now);
    let server = TestServer::start(&certified, &TestKeys::default(), ServerOptions { clients, ..Default::default() });
    trusted(&rig, &authority, &[&server]).await;
    let tested = async || rig.client.test_provider("cluster").await.expect("tested").remove(0);
    assert!(!tested().await.ok, "it wants a certificate");
    let own = rig.client.set_kms_identity("cluster", &SetKmsIdentity::SelfSigned).await.expect("made");
    assert_eq!(own.certificate.as_ref().map(|own| own.subject == own.issuer), Some(true));
    assert!(!tested().await.ok, "it does not take one that signs itself");
    let csr = rig.client.set_kms_identity("cluster", &SetKmsIdentity::Csr).await.expect("made").csr.expect("a request");
    assert!(rig.client.provider("cluster").await.expect("there").kms.expect("servers").csr_pending);
    let certificate = authority.sign(&der(&csr));
    rig.client.set_kms_identity("cluster", &SetKmsIdentity::Signed { certificate }).await.expect("it fits");
    let works = tested().await;
    assert!(works.ok, "{works:?}");
    assert_eq!(
        works.steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>(),
        ["tcp", "tls", "version", "operations", "latency"]
    );
    let foreign = SetKmsIdentity::Uploaded {
        certificate: own.certificate.expect("one").pem,
        key: Password::new(cadenas_secret::SecretBytes::take_from(b"no key".to_vec())),
    };
    refused(rig.client.set_kms_identity("cluster", &foreign).await, ProblemCode::BadCertificate);
    assert!(tested().await.ok, "a bad file changes nothing");
}

#[tokio::test]
async fn a_user_goes_with_each_request_and_survives_a_restart() {
    let (mut rig, authority) = (Rig::start().await, Authority::new("ca"));
    let certified = authority.server(&["127.0.0.1"], Dates::Now);
    let options = ServerOptions { user: Some(("cadenas", "correct horse")), ..Default::default() };
    let server = TestServer::start(&certified, &TestKeys::default(), options);
    trusted(&rig, &authority, &[&server]).await;
    let vm = rig.host.add_vm("web01");
    let refusal = refused(rig.encrypt(vm, None).await, ProblemCode::KmsRefused);
    assert!(refusal.detail.contains("does not accept who we are"), "{refusal}");
    let user = SetKmsUser { user: Some("cadenas".to_owned()), password: Some(password("correct horse")) };
    rig.client.set_kms_user("cluster", &user).await.expect("set");
    rig.restart().await;
    let task = rig.encrypt(vm, None).await.expect("begun");
    assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
}

#[tokio::test]
async fn what_belongs_to_the_other_kind_is_refused() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    rig.create("nkp").await;
    let request = cadenas_api::BackupRequest { password: Some(password("x")), no_password: false };
    refused(rig.client.backup_provider("cluster", &request).await, ProblemCode::WrongProviderKind);
    refused(rig.client.test_provider("nkp").await, ProblemCode::WrongProviderKind);
    let servers = SetKmsServers { servers: vec!["kms1".to_owned()] };
    refused(rig.client.set_kms_servers("nkp", &servers).await, ProblemCode::WrongProviderKind);
    for (kms, words) in
        [(vec![], "no key server"), (vec!["a:b"], "not a key server's address"), (vec!["a", "A"], "twice")]
    {
        let servers = kms.into_iter().map(ToOwned::to_owned).collect();
        let refusal =
            refused(rig.client.set_kms_servers("cluster", &SetKmsServers { servers }).await, ProblemCode::BadRequest);
        assert!(refusal.detail.contains(words), "{refusal}");
    }
}

#[tokio::test]
async fn a_server_that_lacks_an_operation_says_so_in_the_test() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let certified = authority.server(&["127.0.0.1"], Dates::Now);
    let options = ServerOptions { lacking: vec![KmipOperation::Activate], ..Default::default() };
    let server = TestServer::start(&certified, &TestKeys::default(), options);
    trusted(&rig, &authority, &[&server]).await;
    let test = rig.client.test_provider("cluster").await.expect("tested").remove(0);
    let operations = test.steps.iter().find(|step| step.step == "operations").expect("a step");
    assert!(!test.ok && !operations.ok && operations.detail.contains("Activate"), "{test:?}");
}

#[tokio::test]
async fn no_secret_of_a_standard_provider_lies_in_the_data_folder() {
    let (mut rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    trusted(&rig, &authority, &[&server]).await;
    let user = SetKmsUser { user: Some("cadenas".to_owned()), password: Some(password("hunter2-hunter2")) };
    rig.client.set_kms_user("cluster", &user).await.expect("set");
    rig.client.set_kms_identity("cluster", &SetKmsIdentity::SelfSigned).await.expect("made");
    encrypted(&rig, "web01").await;
    let material = server.keys().material(&kms_key(&rig.client.vm("web01").await.expect("there")));
    rig.stop().await;
    for entry in std::fs::read_dir(rig.data()).expect("readable") {
        let bytes = std::fs::read(entry.expect("readable").path()).unwrap_or_default();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(b"hunter2-hunter2") && !holds(&material));
    }
}

/// The bytes of a PEM block.
fn der(pem: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).expect("base64")
}

/// A VM that is encrypted with the default provider.
#[tokio::test]
async fn a_standard_provider_can_be_the_default() {
    let (rig, authority) = (Rig::start().await, Authority::new("ca"));
    let server = TestServer::good(&authority);
    assert!(trusted(&rig, &authority, &[&server]).await.default, "the first one");
    let vm = rig.host.add_vm("web01");
    let task = rig.client.set_policy(&vm.to_string(), &encryption(None)).await.expect("begun");
    assert_eq!(rig.ended(task).await.state, TaskState::Succeeded);
    assert_eq!(server.keys().count(), 1);
}
