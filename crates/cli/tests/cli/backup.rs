//! Backup files: written, read again, proved.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    passwords::private,
    server::{Answer, Server, problem},
};

const BACKUP: [&str; 6] = ["provider", "backup", "nkp", "--out", "nkp.p12", "--no-password"];

#[test]
fn a_backup_is_written_read_again_and_proved() {
    let server = backup_server();
    let said = server.run(&BACKUP).ok();
    assert_eq!(
        server.asked(),
        ["GET /providers/nkp", "POST /providers/nkp:backup", "POST /providers/nkp:confirm-backup"]
    );
    assert_eq!(server.requests()[2].body["p12"], json!("cDEy"), "what was read is what is proved");
    assert!(said.contains("nkp is active") && said.contains("000102030405060708090a0b0c0d0e0f"), "{said}");
    let file = server.folder().join("nkp.p12");
    assert_eq!(fs::read(&file).expect("there"), b"p12");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let server = backup_server();
    let file = server.folder().join("nkp.p12");
    fs::write(&file, b"old").expect("written");
    let told = server.run(&BACKUP).refused(1);
    assert!(told.contains("nkp.p12 is there already") && told.contains("--force"), "{told}");
    assert_eq!((server.asked().len(), fs::read(&file).expect("there")), (0, b"old".to_vec()));
    server.run(&[&BACKUP[..], &["--force"]].concat()).ok();
    assert_eq!(fs::read(&file).expect("there"), b"p12");
}

#[test]
fn a_file_that_is_not_proved_stays_and_the_provider_is_said_not_to_be_active() {
    let server = Server::start(|request| match request.path.as_str() {
        "/providers/nkp:confirm-backup" => {
            Answer::Problem(problem("backup-mismatch", "the backup lacks the newest key", "make it again"))
        }
        _ => answer(&request.path),
    });
    let told = server.run(&BACKUP).refused(1);
    assert!(
        told.contains("nkp.p12 was written, but the key provider is not active: the backup lacks the newest key"),
        "{told}"
    );
    assert!(server.folder().join("nkp.p12").exists());
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let server = backup_server();
    let args = ["provider", "backup", "nkp", "--out", "missing/nkp.p12", "--no-password"];
    let told = server.run(&args).refused(1);
    assert!(told.contains("cannot write missing/nkp.p12: No such file or directory"), "{told}");
}

#[test]
fn a_backup_without_the_present_key_fails_the_verification() {
    let server = Server::that_says(report(false));
    fs::write(server.folder().join("nkp.p12"), b"p12").expect("written");
    let ended = server.run(&["provider", "verify-backup", "nkp.p12", "--no-password"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.out.contains("Present key   NO") && ended.out.contains("lacks key 7"), "{}", ended.out);
}

#[test]
fn a_restore_says_what_it_did_and_which_vms_it_unlocked() {
    let done = |outcome: &str, dry_run: bool| {
        let result = json!({ "provider": provider("active"), "outcome": outcome, "dry_run": dry_run,
            "unlocked": if outcome == "created" { vec!["web01", "mail"] } else { vec![] } });
        let server = Server::that_says(result);
        fs::write(server.folder().join("nkp.p12"), b"p12").expect("written");
        let said = server.run(&["provider", "restore", "nkp.p12", "--no-password", "--name", "nkp-old"]).ok();
        (said, server.requests()[0].body.clone())
    };
    let (said, asked) = done("created", false);
    assert!(said.contains("is restored and active\nUnlocked: web01, mail"), "{said}");
    assert_eq!(asked, json!({ "p12": "cDEy", "name": "nkp-old", "dry_run": false }));
    assert!(done("created", true).0.contains("would be restored\nWould unlock: web01, mail"));
    assert!(done("keys-added", false).0.contains("the keys it lacked are restored"));
    assert!(done("already-so", false).0.contains("nothing to do"));
}

#[test]
fn a_bad_new_name_is_refused_with_the_rule() {
    let server = backup_server();
    let told = server.run(&["provider", "restore", "nkp.p12", "--name", "a/b", "--no-password"]).refused(2);
    assert!(told.contains("\"a/b\" cannot be a key provider's name: use 1 to 63"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn recover_refuses_what_is_no_backup() {
    let server = backup_server();
    fs::write(server.folder().join("nkp.p12"), b"no backup").expect("written");
    let args = ["recover", "--backup", "nkp.p12", "--vm", "web01.cadenas", "--out", "out", "--no-password"];
    let told = server.run(&args).refused(1);
    assert!(told.starts_with("cadenas: cannot use the backup nkp.p12: "), "{told}");
    assert!(!server.folder().join("out").exists());
}

#[test]
fn recover_takes_the_key_of_a_key_server_as_bytes_or_digits_and_nothing_else() {
    let server = backup_server();
    let recover =
        |file: &str| server.run(&["recover", "--vm", "web01.cadenas", "--out", "out", "--key", file]).refused(1);
    let cases: [(&str, &[u8]); 3] = [
        ("bytes", &[b'\n'; 32]),
        ("digits", &[b'a'; 64]),
        ("line", b"0123456789abcdefABCDEF00112233440123456789abcdefABCDEF0011223344\r\n"),
    ];
    for (name, content) in cases {
        private(&server.folder().join(name), content);
        let told = recover(name);
        assert!(told.contains("web01.cadenas"), "the key is one, so the VM is looked for: {told}");
    }
    let others: [(&str, &[u8]); 4] =
        [("empty", b""), ("short", &[7; 31]), ("other", &[b'g'; 64]), ("odd", &[b'a'; 63])];
    for (name, content) in others {
        private(&server.folder().join(name), content);
        let told = recover(name);
        assert!(told.contains(&format!("the key in {name} is neither 32 bytes nor 64 hex digits")), "{told}");
    }
    let key = ["recover", "--vm", "web01.cadenas", "--key", "bytes"];
    for more in [&["--backup", "nkp.p12"][..], &["--no-password"], &["--password-file", "pw"]] {
        server.run(&[&key[..], more].concat()).refused(2);
    }
    let told = server.run(&["recover", "--vm", "web01.cadenas"]).refused(2);
    assert!(told.contains("--backup <FILE>|--key <FILE>"), "{told}");
}

/// A server with the provider `nkp`, whose backups are the bytes `p12`.
pub(crate) fn backup_server() -> Server {
    Server::start(|request| answer(&request.path))
}

fn answer(path: &str) -> Answer {
    Answer::Json(match path {
        "/providers/nkp" => provider("not-backed-up"),
        "/providers/nkp:backup" => json!({ "p12": "cDEy" }),
        "/providers/nkp:confirm-backup" => provider("active"),
        "/providers:verify-backup" => report(true),
        other => panic!("{other}"),
    })
}

fn provider(state: &str) -> Value {
    let id = "0b3c0f6e-5d0e-4d8b-9f39-6a7c0c9a9e11";
    let version = json!({ "id": id, "fingerprint": "000102030405060708090a0b0c0d0e0f", "state": "current",
        "created": "2026-01-02T03:04:05Z" });
    json!({ "id": id, "name": "nkp", "kind": "native", "state": state, "default": true, "tpm_required": false, "key": id,
        "versions": [version], "vms": 2, "created": "2026-01-02T03:04:05Z" })
}

fn report(good: bool) -> Value {
    let id = "0b3c0f6e-5d0e-4d8b-9f39-6a7c0c9a9e11";
    json!({ "provider": id, "name": "nkp", "keys": [id], "exported": "2026-01-02T03:04:05Z", "has_password": false,
        "holds_present_key": good, "problem": if good { Value::Null } else { json!("lacks key 7") } })
}
