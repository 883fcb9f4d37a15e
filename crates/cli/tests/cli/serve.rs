//! The real server, with libvirt's test driver as its hypervisor: `cadenas serve` and the life of a key provider.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    passwords::private,
    program::{Ended, cadenas, other, run_in},
    serving::Serving,
};

#[test]
fn it_starts_from_nothing_and_stops_when_asked() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Serving::start();
        assert!(server.run(&["vm", "ls"]).ok().contains("test"), "the test driver has one domain");
        server.signal(signal);
        assert_eq!(server.child.wait().expect("our own child").code(), Some(0), "{signal:?}: {}", server.log());
        assert!(!server.data().join("cadenas.sock").exists(), "{signal:?}");
        let told = server.run(&["vm", "ls"]).refused(1);
        assert!(told.contains("no Cadenas server answers"), "{told}");
    }
}

#[test]
fn the_process_that_was_started_is_the_server() {
    let server = Serving::start();
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", server.child.id())).expect("it runs");
    assert!(arguments.contains("cadenasd\0serve\0"), "{arguments:?}");
    // A core dump would hold keys.
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Serving::start();
    let second = cadenas()
        .current_dir(server.folder.path())
        .args([
            "serve",
            "--data",
            "data",
            "--libvirt",
            "test:///default",
            "--socket",
            "other.sock",
            "--console",
            "none",
        ])
        .output()
        .expect("the program starts");
    let told = Ended::from(second).refused(1);
    assert!(told.contains("is in use by another server") && told.contains(&server.child.id().to_string()), "{told}");
    server.run(&["vm", "ls"]).ok();
}

#[test]
fn a_log_in_json_is_one_object_per_line() {
    let server = Serving::start_with(&["--log-format", "json", "-v"]);
    server.run(&["provider", "create", "nkp"]).ok();
    for line in server.log().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn a_provider_is_made_backed_up_rotated_and_verified() {
    let server = Serving::start();
    assert!(server.run(&["provider", "create", "nkp"]).ok().contains("encrypts nothing until it is backed up"));
    assert_eq!(server.provider("nkp")["state"], "not-backed-up");
    let said = server.run(&["provider", "backup", "nkp", "--out", "1.p12", "--password-file", "pw"]).ok();
    assert!(said.contains("nkp is active"), "{said}");
    other(server.folder.path(), "openssl", &["pkcs12", "-in", "1.p12", "-passin", "file:pw", "-noout"]);
    server.run(&["provider", "verify-backup", "1.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "rotate", "nkp"]).ok();
    assert_eq!(server.run(&["provider", "verify-backup", "1.p12", "--password-file", "pw"]).status, Some(1));
    server.run(&["provider", "backup", "nkp", "--out", "2.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "verify-backup", "2.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "rename", "nkp", "nkp-paris"]).ok();
    server.run(&["provider", "verify-backup", "2.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "rm", "nkp-paris"]).ok();
    assert!(!server.run(&["provider", "ls"]).ok().contains("nkp"));
}

#[test]
fn a_provider_is_restored_on_another_server() {
    let (one, two) = (Serving::start(), Serving::start());
    one.run(&["provider", "create", "nkp"]).ok();
    let file = two.folder.path().join("nkp.p12").display().to_string();
    one.run(&["provider", "backup", "nkp", "--out", &file, "--password-file", "pw"]).ok();
    let restore =
        |more: &[&str]| two.run(&[&["provider", "restore", "nkp.p12", "--password-file", "pw"][..], more].concat());
    assert!(restore(&["--dry-run"]).ok().contains("would be restored"));
    assert!(!two.run(&["provider", "ls"]).ok().contains("nkp"), "a dry run does nothing");
    assert!(restore(&[]).ok().contains("is restored and active"));
    assert_eq!(one.provider("nkp")["key"], two.provider("nkp")["key"]);
    assert!(restore(&[]).ok().contains("nothing to do"));
}

#[test]
fn a_name_that_is_taken_is_told_and_another_can_be_given() {
    let (one, two) = (Serving::start(), Serving::start());
    for server in [&one, &two] {
        server.run(&["provider", "create", "nkp"]).ok();
        server.run(&["provider", "backup", "nkp", "--out", "nkp.p12", "--password-file", "pw"]).ok();
    }
    let file = one.folder.path().join("nkp.p12").display().to_string();
    let told = two.run(&["provider", "restore", &file, "--password-file", "pw"]).refused(1);
    assert!(told.contains("nkp") && told.contains("--name"), "{told}");
    two.run(&["provider", "restore", &file, "--password-file", "pw", "--name", "nkp-old"]).ok();
    assert_eq!(two.provider("nkp-old")["id"], one.provider("nkp")["id"]);
}

#[test]
fn a_standard_provider_is_set_up_step_by_step() {
    let server = Serving::start();
    let cluster = |verb: &str, more: &[&str]| server.run(&[&["provider", verb, "cluster"], more].concat());
    // Nothing listens there.
    assert!(cluster("create", &["--kind", "standard", "--kms", "127.0.0.1:1"]).ok().contains("provider trust cluster"));
    assert_eq!(server.provider("cluster")["state"], "not-trusted");
    assert_eq!(cluster("trust", &["--show"]).status, Some(1));
    cluster("trust", &["--pin", &"ab".repeat(32)]).ok();
    cluster("identity", &["--self-signed", "--out", "cadenas.pem"]).ok();
    other(server.folder.path(), "openssl", &["x509", "-in", "cadenas.pem", "-noout"]);
    cluster("identity", &["--csr", "--out", "cadenas.csr"]).ok();
    other(server.folder.path(), "openssl", &["req", "-in", "cadenas.csr", "-noout", "-verify"]);
    cluster("user", &["--user", "ana", "--password-file", "pw"]).ok();
    cluster("set-rotation", &["--every", "12w"]).ok();
    cluster("set-kms", &["--kms", "127.0.0.1:1", "--kms", "localhost"]).ok();
    let shown = cluster("show", &[]).ok();
    for expected in ["SHA-256 AB:AB:", "every 84 days", "waits to be signed", "User         ana", "localhost:5696"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let tested = cluster("test", &[]);
    assert_eq!(tested.status, Some(1));
    assert!(tested.out.starts_with("SERVER") && tested.out.contains("FAILED"), "{}", tested.out);
    cluster("rm", &[]).ok();
}

#[test]
fn what_is_for_one_kind_of_provider_is_refused_for_the_other() {
    let server = Serving::start();
    server.run(&["provider", "create", "nkp"]).ok();
    for args in
        [&["trust", "nkp", "--show"][..], &["identity", "nkp", "--csr"], &["user", "nkp", "--none"], &["test", "nkp"]]
    {
        let told = server.run(&[&["provider"], args].concat()).refused(1);
        assert!(told.contains("nkp"), "{told}");
    }
}

#[test]
fn where_there_is_no_encrypted_vm_there_is_nothing_to_report_or_to_recrypt() {
    let server = Serving::start();
    assert_eq!(server.run(&["report", "keys", "-o", "csv"]).ok().lines().count(), 1);
    assert_eq!(server.run(&["copy", "ls"]).ok().lines().count(), 1);
    server.run(&["copy", "add", "missing"]).refused(1);
    let told = server.run(&["vm", "recrypt", "--all"]).refused(1);
    assert!(told.contains("default"), "{told}");
    server.run(&["provider", "create", "nkp"]).ok();
    server.run(&["provider", "backup", "nkp", "--out", "nkp.p12", "--password-file", "pw"]).ok();
    assert_eq!(server.run(&["vm", "recrypt", "--all", "--to", "nkp", "--dry-run"]).ok().lines().count(), 1);
    let said = server.run(&["vm", "recrypt", "--all", "--to", "nkp"]).ok();
    assert!(said.starts_with("0 VMs re-encrypted, 0 already so, 0 failed"), "{said}");
}

#[test]
fn bad_backups_are_refused_by_restore_and_verify_alike() {
    let server = Serving::start();
    let here = server.folder.path();
    server.run(&["provider", "create", "nkp"]).ok();
    server.run(&["provider", "backup", "nkp", "--out", "nkp.p12", "--password-file", "pw"]).ok();
    let whole = fs::read(here.join("nkp.p12")).expect("there");
    fs::write(here.join("cut.p12"), &whole[..whole.len() - 7]).expect("written");
    private(&here.join("wrong"), b"not it");
    other(
        here,
        "openssl",
        &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "k", "-out", "c"],
    );
    other(
        here,
        "openssl",
        &["pkcs12", "-export", "-inkey", "k", "-in", "c", "-passout", "file:pw", "-out", "other.p12"],
    );
    for (file, password, expected) in [
        ("cut.p12", "pw", "truncated"),
        ("nkp.p12", "wrong", "password"),
        ("other.p12", "pw", "not a Cadenas backup"),
        ("pw", "pw", "PKCS#12"),
    ] {
        for verb in ["restore", "verify-backup"] {
            let told = server.run(&["provider", verb, file, "--password-file", password]).refused(1);
            assert!(told.contains(expected), "{verb} {file}: {told}");
        }
    }
    assert_eq!(server.provider("nkp")["versions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn bad_names_are_refused_with_the_rule() {
    let server = Serving::start();
    for name in ["a/b", "a b", "clé", &"x".repeat(300)] {
        let told = server.run(&["provider", "create", name]).refused(1);
        assert!(told.contains("use 1 to 63 of the characters"), "{told}");
        let told = server.run(&["vm", "encrypt", name]).refused(1);
        assert!(told.len() < 1000, "{told}");
    }
}

#[test]
fn the_password_is_in_no_log_even_at_trace_level() {
    let server = Serving::start_with(&["-vv"]);
    private(&server.folder.path().join("pw"), b"xyzzy-plugh");
    server.run(&["provider", "create", "nkp"]).ok();
    server.run(&["provider", "backup", "nkp", "--out", "nkp.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "restore", "nkp.p12", "--password-file", "pw"]).ok();
    server.run(&["provider", "create", "cluster", "--kind", "standard", "--kms", "127.0.0.1:1"]).ok();
    server.run(&["provider", "user", "cluster", "--user", "ana", "--password-file", "pw"]).ok();
    let log = server.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    assert!(!log.contains("xyzzy-plugh"), "{log}");
}

#[test]
fn the_doctor_says_so_when_no_server_answers_and_checks_the_host() {
    let ended = run_in(Path::new("."), &["doctor", "-o", "json", "--socket", "/nonexistent/s"]);
    assert!(ended.err.contains("no server answers at /nonexistent/s"), "{}", ended.err);
    let checks: Vec<Value> = serde_json::from_str(&ended.out).expect("JSON");
    let fails = checks.iter().any(|check| check["verdict"] == "failure");
    assert!(checks.iter().any(|check| check["name"] == "aes"));
    assert_eq!(ended.status, Some(i32::from(fails)));
}
