//! Every method of the client reaches an operation of the server, and the document has no other.

use std::collections::BTreeSet;

use cadenas_api::{
    API_PREFIX, ConfirmBackup, CopyPath, CreateProvider, DATASTORE_DEFAULT, DeleteProvider, EventQuery,
    NATIVE_KEY_PROVIDER, ProviderKind, RecryptAll, RecryptVm, RegisterVm, RenameProvider, RestoreRequest, SetFeature,
    SetKmsIdentity, SetKmsServers, SetKmsUser, SetPolicy, SetRotation, SetTemplate, Sha256, ShutdownVm, TaskQuery,
    TrustKms, VerifyBackup,
};

use crate::rig::{PASSWORD, Rig, password};

#[tokio::test]
async fn every_method_of_the_client_is_answered() {
    let rig = Rig::start().await;
    providers(&rig).await;
    vms(&rig).await;
    many_vms(&rig).await;
    key_servers(&rig).await;
    system(&rig).await;
}

async fn providers(rig: &Rig) {
    let client = &rig.client;
    let (provider, p12) = rig.active("nkp").await;
    let open = || (p12.clone(), Some(password(PASSWORD)));
    assert_eq!(client.providers().await.expect("list").len(), 1);
    assert_eq!(client.provider(&provider.id.to_string()).await.expect("show").name, provider.name);
    let (p12, password) = open();
    assert!(client.verify_backup(&VerifyBackup { p12, password }).await.expect("verify").holds_present_key);
    client.rotate_provider("nkp").await.expect("rotate");
    client.rename_provider("nkp", &RenameProvider { name: "renamed".to_owned() }).await.expect("rename");
    client.set_default_provider("renamed").await.expect("default");
    let (p12, password) = open();
    client.confirm_backup("renamed", &ConfirmBackup { p12, password }).await.expect_err("the new key is not in it");
    client.delete_provider("renamed", &DeleteProvider::default()).await.expect("remove");
    let (p12, password) = open();
    let request = RestoreRequest { p12, password, name: None, dry_run: false };
    assert_eq!(client.restore_provider(&request).await.expect("restore").provider.name.as_str(), "nkp");
}

async fn vms(rig: &Rig) {
    let client = &rig.client;
    let vm = client.register_vm(&RegisterVm { path: "/vms/web01".into() }).await.expect("register");
    assert_eq!(client.vms().await.expect("list"), std::slice::from_ref(&vm));
    assert_eq!(client.vm("web01").await.expect("show"), vm);
    let ended = rig.encrypt(vm.id, None).await.expect("encrypt");
    for task in [
        client.start_vm("web01").await,
        client.recrypt_vm("web01", &RecryptVm::default()).await,
        client.recrypt_vm("web01", &RecryptVm { deep: true, ..RecryptVm::default() }).await,
        client.verify_vm("web01").await,
        client.unlock_vm("web01").await,
        client.shutdown_vm("web01", &ShutdownVm::default()).await,
        client.kill_vm("web01").await,
        client.set_policy("web01", &decryption()).await,
        client.task(ended.id, &TaskQuery::default()).await,
    ] {
        assert!(task.expect("a task").state.is_final());
    }
    client.cancel_task(ended.id).await.expect_err("it has ended");
    assert_eq!(client.tasks().await.expect("list").len(), 9);
    client.unregister_vm("web01").await.expect("unregister");
}

async fn many_vms(rig: &Rig) {
    let client = &rig.client;
    let vm = client.register_vm(&RegisterVm { path: "/vms/web02".into() }).await.expect("register");
    rig.encrypt(vm.id, None).await.expect("encrypt");
    assert_eq!(client.plan_recrypt(&RecryptAll::default()).await.expect("plan").vms.len(), 1);
    assert!(client.recrypt_all(&RecryptAll::default()).await.expect("a task").state.is_final());
    assert!(client.set_template("web02", SetTemplate { template: true }).await.expect("off").template);
    let row = client.key_report().await.expect("report").remove(0);
    assert_eq!(client.mark_compromised(&row.key.to_string()).await.expect("known").vms.len(), 1);
    let every_days = Some(30);
    assert!(client.set_rotation("nkp", &SetRotation { every_days }).await.expect("set").rotation.is_some());
    rig.host.copy_home(vm.id, "/copies/web02");
    let copy = CopyPath { path: "/copies/web02".into() };
    client.add_copy(&copy).await.expect("readable");
    assert_eq!(client.copies().await.expect("list").len(), 1);
    client.forget_copy(&copy).await.expect("known");
}

/// What is behind these is tested with key servers in `kms.rs`.
async fn key_servers(rig: &Rig) {
    let client = &rig.client;
    let kms = vec!["127.0.0.1:1".to_owned()];
    let request =
        CreateProvider { name: "cluster".to_owned(), kind: ProviderKind::Standard, kms, ..Default::default() };
    client.create_provider(&request).await.expect("create");
    let servers = SetKmsServers { servers: vec!["127.0.0.1:2".to_owned()] };
    client.set_kms_servers("cluster", &servers).await.expect("set");
    assert!(client.show_certificates("cluster").await.expect("asked")[0].problem.is_some());
    let trust = TrustKms { pin: vec![Sha256([1; 32])], ..TrustKms::default() };
    client.trust_kms("cluster", &trust).await.expect("pinned");
    client.set_kms_identity("cluster", &SetKmsIdentity::SelfSigned).await.expect("made");
    client.set_kms_user("cluster", &SetKmsUser { user: None, password: None }).await.expect("none");
    assert!(!client.test_provider("cluster").await.expect("tested")[0].ok);
}

async fn system(rig: &Rig) {
    let client = &rig.client;
    assert_eq!(client.policies().await.expect("policies").len(), 2);
    assert_eq!(client.features().await.expect("features").len(), 1);
    client.set_feature(NATIVE_KEY_PROVIDER, &SetFeature { enabled: false, message: None }).await.expect("switch");
    assert!(!client.events(&EventQuery::default()).await.expect("events").is_empty());
    assert_eq!(client.summary().await.expect("summary").host, "memory");
    let refused = client.open_console_link().await.expect_err("no console").to_string();
    assert!(refused.contains("no web console") && refused.contains("--console 127.0.0.1:7780"), "{refused}");
    let names: Vec<_> = client.doctor().await.expect("doctor").into_iter().map(|check| check.name).collect();
    assert_eq!(names, ["libvirt", "data-folder", "root-seal"]);
    assert_eq!(client.openapi().await.expect("document")["info"]["title"], "Cadenas");
}

/// What only a browser asks for: the client has the socket instead of a session, and waits instead of watching.
const BROWSERS_ONLY: [&str; 4] = ["GET /session", "POST /session", "DELETE /session", "GET /changes"];

/// The doc comments of the client name method and path of each operation.
#[test]
fn client_and_document_have_the_same_operations() {
    let source = include_str!("../../../api/src/client.rs");
    let from_client: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// `")?.strip_suffix('`')?.split_once(' '))
        .filter(|(method, _)| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(method))
        .map(|(method, path)| format!("{method} {API_PREFIX}{path}"))
        .filter(|operation| !operation.ends_with("/openapi.json"))
        .collect();
    let document: serde_json::Value = serde_json::from_str(&cadenas_server::openapi_json()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let from_document: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().expect("operations").keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .filter(|operation| !BROWSERS_ONLY.contains(&operation.replace(API_PREFIX, "").as_str()))
        .collect();
    assert_eq!(from_client, from_document);
    assert!(from_client.len() > 25);
}

fn decryption() -> SetPolicy {
    SetPolicy { policy: DATASTORE_DEFAULT.to_owned(), ..SetPolicy::default() }
}
