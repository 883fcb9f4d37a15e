//! Passwords: typed on a terminal or in a file, never seen.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::{
    backup::backup_server,
    program::{run_in, run_with_input},
    server::Server,
    terminal::Terminal,
};

const BACKUP: [&str; 5] = ["provider", "backup", "nkp", "--out", "nkp.p12"];

#[test]
fn a_new_password_is_asked_for_twice_and_not_shown() {
    let server = backup_server();
    let mut person = at_backup(&server);
    person.expect("New password of the backup of nkp: ").type_line("corréct horse");
    person.expect("The same again: ").type_line("corréct horse");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    let asked = server.requests();
    assert_eq!(asked[1].body, json!({ "password": "corréct horse", "no_password": false }));
    assert_eq!(asked[2].body["password"], json!("corréct horse"));
}

#[test]
fn a_different_second_password_changes_nothing() {
    let server = backup_server();
    let mut person = at_backup(&server);
    person.expect("New password").type_line("one").expect("again: ").type_line("two");
    assert_refused_before_the_backup(person, &server, "the two passwords differ");
}

#[test]
fn an_empty_password_changes_nothing_and_is_not_asked_for_again() {
    let server = backup_server();
    let mut person = at_backup(&server);
    person.expect("New password").type_line("");
    assert_refused_before_the_backup(person, &server, "the password that was typed is empty");
}

#[test]
fn a_line_is_edited_as_always() {
    let server = backup_server();
    let mut person = at_backup(&server);
    person.expect("New password").type_line("wrong\u{15}onx\u{7f}ly");
    person.expect("again: ").type_line("only\u{7f}y");
    assert_eq!(person.end().0, Some(0));
    assert_eq!(server.requests()[1].body["password"], json!("only"));
}

#[test]
fn ctrl_c_at_the_question_changes_nothing() {
    let server = backup_server();
    let mut person = at_backup(&server);
    person.expect("New password").type_keys("\u{3}");
    let (status, _) = person.end();
    assert_eq!(status, None, "the signal ended it");
    assert_eq!(server.asked(), ["GET /providers/nkp"]);
}

#[test]
fn an_existing_password_is_asked_for_once() {
    let server = backup_server();
    fs::write(server.folder().join("nkp.p12"), b"p12").expect("written");
    let mut person = Terminal::run(&["provider", "verify-backup", "nkp.p12"], |command| {
        command.env("CADENAS_SOCKET", server.socket()).current_dir(server.folder());
    });
    person.expect("Password of nkp.p12: ").type_line("pw");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(server.requests()[0].body, json!({ "p12": "cDEy", "password": "pw" }));
}

#[test]
fn without_a_terminal_or_a_file_the_way_out_is_told() {
    let server = backup_server();
    let told = server.run(&BACKUP).refused(2);
    assert!(told.contains("--password-file FILE") && told.contains("--no-password"), "{told}");
    fs::write(server.folder().join("disk"), [0; 512]).expect("written");
    let told = run_in(server.folder(), &["disk", "encrypt", "disk", "new"]).refused(2);
    assert!(told.contains("--passphrase-file FILE"), "{told}");
    assert!(!server.folder().join("new").exists());
}

#[test]
fn one_newline_at_the_end_of_a_file_is_not_part_of_the_password() {
    for (content, password) in [("pw", "pw"), ("pw\n", "pw"), ("pw\n\n", "pw\n"), (" pw \n", " pw ")] {
        let server = backup_server();
        private(&server.folder().join("pw"), content.as_bytes());
        server.run(&[&BACKUP[..], &["--password-file", "pw"]].concat()).ok();
        assert_eq!(server.requests()[1].body["password"], json!(password), "{content:?}");
    }
}

#[test]
fn a_password_comes_from_standard_input_too() {
    let server = backup_server();
    let socket = server.socket().display().to_string();
    let args = [&BACKUP[..], &["--password-file", "-", "--socket", &socket]].concat();
    run_with_input(server.folder(), &args, b"pw\n").ok();
    assert_eq!(server.requests()[1].body["password"], json!("pw"));
    let told = run_with_input(server.folder(), &[&args[..], &["--force"]].concat(), b"").refused(1);
    assert!(told.contains("the password from standard input is empty"), "{told}");
}

#[test]
fn a_bad_password_file_is_told_and_nothing_is_asked_for() {
    let server = backup_server();
    let cases: [(&str, &[u8], &str); 4] = [
        ("empty", b"", "the password in empty is empty"),
        ("newline", b"\n", "the password in newline is empty"),
        ("bytes", b"\xff\xfe", "the password in bytes is not UTF-8 text"),
        ("long", &[b'x'; 5000], "the password in long is longer than 4096 bytes"),
    ];
    for (name, content, expected) in cases {
        private(&server.folder().join(name), content);
        let told = server.run(&[&BACKUP[..], &["--password-file", name]].concat()).refused(1);
        assert!(told.contains(expected), "{told}");
    }
    let told = server.run(&[&BACKUP[..], &["--password-file", "missing"]].concat()).refused(1);
    assert!(told.contains("cannot read the password in missing: No such file"), "{told}");
    assert!(server.asked().iter().all(|asked| asked == "GET /providers/nkp"), "{:?}", server.asked());
}

#[test]
fn a_password_file_that_every_user_can_read_is_warned_about() {
    let server = backup_server();
    let path = server.folder().join("pw");
    private(&path, b"pw");
    let args = [&BACKUP[..], &["--force", "--password-file", "pw"]].concat();
    assert_eq!(server.run(&args).err, "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its own file");
    let warned = server.run(&args);
    assert_eq!(warned.status, Some(0));
    assert!(warned.err.contains("every user can read the password in pw; `chmod 600` it"), "{}", warned.err);
}

#[test]
fn no_password_must_be_said() {
    let server = backup_server();
    server.run(&[&BACKUP[..], &["--no-password"]].concat()).ok();
    assert_eq!(server.requests()[1].body, json!({ "no_password": true }));
    assert_eq!(server.requests()[2].body, json!({ "p12": "cDEy" }));
}

fn at_backup(server: &Server) -> Terminal {
    Terminal::run(&BACKUP, |command| {
        command.env("CADENAS_SOCKET", server.socket()).current_dir(server.folder());
    })
}

#[track_caller]
fn assert_refused_before_the_backup(person: Terminal, server: &Server, why: &str) {
    let (status, shown) = person.end();
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains(why), "{shown}");
    assert_eq!(server.asked(), ["GET /providers/nkp"], "no backup was made");
    assert!(!server.folder().join("nkp.p12").exists());
}

/// A file that only its owner can read.
pub(crate) fn private(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its own file");
}
