//! Start, stop, start again; who is served.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use cadenas_api::{Padlock, Problem, ProblemCode, ProviderState};
use cadenas_server::{DataFolderError, Server, SocketError, StartError};

use crate::rig::Rig;

#[tokio::test]
async fn a_restart_keeps_everything_and_gives_the_host_its_keys_again() {
    let mut rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let (active, _) = rig.active("nkp").await;
    let task = rig.encrypt(vm, None).await.expect("active");
    rig.client.rotate_provider("nkp").await.expect("there");
    let (provider, events) = (rig.client.provider("nkp").await.expect("there"), rig.event_kinds().await);
    rig.restart().await;
    assert_eq!(rig.client.provider("nkp").await.expect("kept"), provider);
    assert_eq!(rig.event_kinds().await, events);
    assert_eq!(rig.client.tasks().await.expect("kept")[0], task);
    assert_eq!(rig.client.vm("web01").await.expect("there").padlock, Padlock::Encrypted);
    assert_eq!(provider.state, ProviderState::Active);
    assert!(rig.host.has(active.id, active.key.expect("active")));
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let rig = Rig::start().await;
    let mut options = rig.options();
    options.socket = rig.folder.path().join("other");
    match Server::start(options).await.err().expect("in use") {
        StartError::DataFolder(DataFolderError::InUse { path, pid }) => {
            assert_eq!((path, pid), (rig.data(), Some(std::process::id())));
        }
        other => panic!("{other}"),
    }
    rig.create("nkp").await;
}

#[tokio::test]
async fn a_socket_that_a_live_server_has_is_not_taken() {
    let rig = Rig::start().await;
    let mut options = rig.options();
    options.data = rig.folder.path().join("other-data");
    let error = Server::start(options).await.err().expect("in use");
    assert!(matches!(error, StartError::Socket(SocketError::InUse { .. })), "{error}");
    rig.create("nkp").await;
}

#[tokio::test]
async fn the_socket_goes_with_the_server_and_everything_is_private() {
    let mut rig = Rig::start().await;
    rig.create("nkp").await;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&rig.data()), 0o700);
    assert_eq!(mode(rig.client.socket()), 0o600);
    for file in ["root.key", "cadenas.db"] {
        assert_eq!(mode(&rig.data().join(file)), 0o600, "{file}");
    }
    rig.stop().await;
    assert!(!rig.client.socket().exists());
    let error = rig.client.vms().await.expect_err("nobody listens").to_string();
    assert!(error.contains("cadenas serve"), "{error}");
}

#[tokio::test]
async fn a_lost_root_key_is_told_and_not_replaced() {
    let mut rig = Rig::start().await;
    rig.create("nkp").await;
    rig.stop().await;
    let path = rig.data().join("root.key");
    let key = fs::read(&path).expect("was made");
    fs::remove_file(&path).expect("ours");
    let error = rig.go().await.expect_err("gone").to_string();
    assert!(error.contains("root.key") && error.contains("restore the providers from their backups"), "{error}");
    fs::write(&path, &key).expect("ours");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
    let error = rig.go().await.expect_err("open to others").to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
    rig.go().await.expect("put back");
}

#[tokio::test]
async fn the_database_holds_no_key_in_the_clear() {
    let mut rig = Rig::start().await;
    let (_, p12) = rig.active("nkp").await;
    rig.stop().await;
    let backup = cadenas_keys::Backup::from_p12(&p12.0, Some(crate::rig::password(crate::rig::PASSWORD).secret()));
    let backup = backup.expect("our backup");
    let database = fs::read(rig.data().join("cadenas.db")).expect("there");
    let holds = |bytes: &[u8]| database.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(backup.keys[0].id.to_string().as_bytes()), "the database was flushed");
    assert!(!holds(backup.keys[0].kdk.expose().expose()));
}

/// A user other than root and the server's own may connect only where the socket's mode was changed, and is still refused.
#[tokio::test]
async fn other_users_are_refused() {
    let rig = Rig::start().await;
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).expect("Linux") != 0 {
        eprintln!("skipped: only root can ask as another user");
        return;
    }
    fs::set_permissions(rig.folder.path(), Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(rig.client.socket(), Permissions::from_mode(0o666)).expect("ours");
    let socket = rig.client.socket().to_owned();
    let answer = tokio::task::spawn_blocking(move || ask_as(65534, &socket)).await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let problem: Problem = serde_json::from_str(body).expect("problem details");
    assert_eq!(problem.code, ProblemCode::Forbidden);
    assert!(problem.detail.contains("65534"));
}

/// What a request of another user is answered. Perl is on every Debian machine and speaks to Unix sockets.
fn ask_as(uid: u32, socket: &Path) -> String {
    const SCRIPT: &str = r#"use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or die; connect(S, sockaddr_un($ARGV[0])) or die $!;
        syswrite S, "GET /api/v1/providers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"; print while <S>"#;
    let output = Command::new("perl").args(["-e", SCRIPT]).arg(socket).uid(uid).gid(uid).output().expect("perl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
