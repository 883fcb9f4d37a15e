//! How results look.

use std::time::{Duration, SystemTime};

use insta::assert_snapshot;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    server::{Answer, Server},
    terminal::Terminal,
};

pub(crate) const PROVIDER: &str = "0b3c0f6e-5d0e-4d8b-9f39-6a7c0c9a9e11";
pub(crate) const KEY: &str = "7d4f4a3e-9a55-4d6e-8f0e-2f4cf6f9b1aa";
pub(crate) const VM: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const TASK: &str = "0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44";
pub(crate) const FINGERPRINT: &str = "000102030405060708090a0b0c0d0e0f";

#[test]
fn vm_ls_shows_padlocks_in_words_where_nobody_looks() {
    let server = Server::that_says(json!([encrypted_vm(), plain_vm(), locked_vm()]));
    assert_snapshot!(server.run(&["vm", "ls"]).ok());
    assert_snapshot!("vm_ls_wide", server.run(&["vm", "ls", "-v"]).ok());
}

#[test]
fn vm_ls_shows_a_padlock_on_a_terminal_that_has_one() {
    let server = Server::that_says(json!([encrypted_vm(), plain_vm(), locked_vm()]));
    let socket = server.socket();
    let on = |locale: &str| {
        let terminal = Terminal::run(&["vm", "ls"], |command| {
            command.env("LC_ALL", locale).env("CADENAS_SOCKET", &socket);
        });
        terminal.end().1
    };
    assert_snapshot!("vm_ls_terminal", on("C.UTF-8"));
    assert_snapshot!("vm_ls_terminal_ascii", on("C"));
}

#[test]
fn vm_show_says_what_is_encrypted_and_what_is_missing() {
    let shown = |vm| Server::that_says(vm).run(&["vm", "show", "web01"]).ok();
    assert_snapshot!("vm_show_encrypted", shown(encrypted_vm()));
    assert_snapshot!("vm_show_locked", shown(locked_vm()));
    assert_snapshot!("vm_show_plain", shown(plain_vm()));
    assert_snapshot!("vm_show_standard", shown(vm_of_a_key_server("deactivated")));
    let well = shown(vm_of_a_key_server("active"));
    assert!(well.contains("\nKMS key    17\n"), "that it works needs no words: {well}");
}

#[test]
fn vm_verify_says_for_each_object_what_was_found_and_fails_if_anything_is_wrong() {
    let key = json!({ "id": PROVIDER, "name": "nkp", "key": KEY, "fingerprint": FINGERPRINT });
    let good = json!({ "object": "configuration", "encrypted": true, "key": key, "detail": "opened" });
    let bad =
        json!({ "object": "disk:vda", "encrypted": false, "detail": "64 sectors read", "problem": "plain text found" });
    let outcome = |objects| json!({ "changed": false, "message": "verified", "objects": objects });
    let task = |objects| merged(task("succeeded"), json!({ "outcome": outcome(objects) }));
    let verified = |objects| Server::that_says(task(objects)).run(&["vm", "verify", "web01"]);
    let well = verified(json!([good]));
    assert_eq!(well.status, Some(0));
    let badly = verified(json!([good, bad]));
    assert_eq!(badly.status, Some(1));
    assert_snapshot!(badly.out);
}

#[test]
fn providers_show_their_state_and_whether_their_backup_has_a_password() {
    let server = Server::that_says(json!([active_provider(), new_provider()]));
    assert_snapshot!("provider_ls", server.run(&["provider", "ls"]).ok());
    let shown = Server::that_says(active_provider()).run(&["provider", "show", "nkp"]).ok();
    assert_snapshot!("provider_show", timeless(&shown));
}

#[test]
fn tasks_show_progress_and_problems() {
    let failed = json!({ "problem": crate::server::problem("no-space", "/data is full", "free 4 GiB") });
    let failed = merged(task("failed"), failed);
    let server = Server::that_says(json!([task("running"), failed]));
    assert_snapshot!("task_ls", server.run(&["task", "ls"]).ok());
    let shown = Server::that_says(failed).run(&["task", "show", TASK]).ok();
    assert_snapshot!("task_show", timeless(&shown));
}

#[test]
fn events_policies_features_and_checks_are_tables() {
    let policies = json!([{ "name": "VM Encryption Policy", "encrypts": true, "built_in": true, "description": "Encrypts." },
        { "name": "Datastore Default", "encrypts": false, "built_in": true, "description": "Does not." }]);
    assert_snapshot!("policy_ls", Server::that_says(policies).run(&["policy", "ls"]).ok());
    let features = json!([{ "name": "native-key-provider", "enabled": false, "message": "ask first", "description": "Providers." }]);
    assert_snapshot!("feature_ls", Server::that_says(features).run(&["feature", "ls"]).ok());
    let checks = json!([{ "name": "aes", "verdict": "ok", "found": "aes vaes" },
        { "name": "swap", "verdict": "warning", "found": "/dev/sda2 is not encrypted", "mend": "swapoff -a" },
        { "name": "libvirt", "verdict": "failure", "found": "no answer", "mend": "systemctl start libvirtd" }]);
    let doctor = Server::that_says(checks).run(&["doctor"]);
    assert_eq!(doctor.status, Some(1), "a failure fails");
    assert_snapshot!("doctor", doctor.out);
}

#[test]
fn events_are_listed_to_the_last_page_and_steer_no_terminal() {
    let event = |sequence: u64, message: &str| {
        json!({ "sequence": sequence, "at": "2026-01-02T03:04:05.678Z", "kind": "vm.encrypted", "vm": VM,
            "by": { "uid": 1000, "user": "ana" }, "message": message })
    };
    let server = Server::start(move |request| {
        Answer::Json(match request.path.as_str() {
            "/events?limit=1000" => json!([event(1, "web01 \u{1b}[2Jis encrypted")]),
            "/events?after=1&limit=1000" => json!([event(2, "web02 is encrypted")]),
            "/events?after=2&limit=1000" => json!([]),
            other => panic!("{other}"),
        })
    });
    assert_snapshot!("event_ls", server.run(&["event", "ls"]).ok());
    assert_snapshot!("event_ls_wide", server.run(&["event", "ls", "-v"]).ok());
}

#[test]
fn followed_events_come_one_to_a_line_until_the_server_is_gone() {
    let server = Server::start(|request| match request.path.as_str() {
        "/events?after=7&limit=1000&wait=60" => Answer::Json(json!([
            { "sequence": 8, "at": "2026-01-02T03:04:05Z", "kind": "vm.stopped", "message": "web01 stopped" },
            { "sequence": 9, "at": "2026-01-02T03:04:06Z", "kind": "vm.started", "message": "web01 runs" }])),
        _ => Answer::HangUp,
    });
    let json = server.run(&["event", "ls", "--follow", "--after", "7", "-o", "json"]);
    let lines: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[1]["sequence"], json.status), (2, &json!(9), Some(1)));
    assert_eq!(server.asked()[1], "GET /events?after=9&limit=1000&wait=60");
}

#[test]
fn json_is_the_answer_of_the_server() {
    let vms = json!([encrypted_vm(), plain_vm(), locked_vm()]);
    let printed = Server::that_says(vms.clone()).run(&["vm", "ls", "-o", "json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), vms);
    let provider = active_provider();
    let printed = Server::that_says(provider.clone()).run(&["-o", "json", "provider", "set-default", "nkp"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), provider);
}

#[test]
fn quiet_confirms_nothing_and_still_lists() {
    let server = Server::that_says(active_provider());
    assert_eq!(server.run(&["-q", "provider", "set-default", "nkp"]).ok(), "");
    assert!(server.run(&["-q", "provider", "show", "nkp"]).ok().contains("active"));
}

pub(crate) fn encrypted_vm() -> Value {
    json!({ "id": VM, "name": "web01", "power": "running", "padlock": "encrypted", "policy": "VM Encryption Policy", "template": false,
        "providers": [{ "id": PROVIDER, "name": "nkp", "key": KEY, "fingerprint": FINGERPRINT }], "home": "/data/web01",
        "disks": [{ "target": "vda", "source": "/data/web01/vda.qcow2", "format": "qcow2", "size": 10_737_418_240_u64,
            "encrypted": true, "cipher": "aes-xts-plain64", "key_created": days_ago(3) },
          { "target": "vdb", "source": "/data/web01/vdb.luks", "format": "luks", "size": 1_610_612_736_u64,
            "encrypted": true, "cipher": "aes-xts-plain64", "key_created": days_ago(3) }] })
}

fn vm_of_a_key_server(state: &str) -> Value {
    let key = json!({ "id": PROVIDER, "name": "cluster", "key": KEY, "fingerprint": FINGERPRINT, "kms_key": "17",
        "created": days_ago(9), "state": state });
    let due = json!({ "kind": "shallow", "reason": "its key is deactivated in the key server" });
    let missing = json!([{ "provider": PROVIDER, "key": KEY, "kms_key": "17" }]);
    merged(encrypted_vm(), json!({ "providers": [key], "due": due, "missing_keys": missing }))
}

fn plain_vm() -> Value {
    json!({ "id": "21111111-2222-4333-8444-555555555555", "name": "db", "power": "off", "padlock": "none",
        "policy": "Datastore Default", "template": false, "providers": [],
        "disks": [{ "target": "sda", "source": "nbd", "format": "raw", "encrypted": false }] })
}

fn locked_vm() -> Value {
    json!({ "id": "31111111-2222-4333-8444-555555555555", "name": "mail", "power": "off", "padlock": "locked",
        "policy": "VM Encryption Policy", "template": false, "home": "/data/mail", "disks": [],
        "providers": [{ "id": PROVIDER, "key": KEY, "fingerprint": FINGERPRINT }],
        "missing_keys": [{ "provider": PROVIDER, "key": KEY }] })
}

fn active_provider() -> Value {
    let old = json!({ "id": PROVIDER, "fingerprint": FINGERPRINT, "state": "old", "created": days_ago(800),
        "backed_up": days_ago(800), "backup_has_password": true });
    let current = json!({ "id": KEY, "fingerprint": FINGERPRINT, "state": "current", "created": days_ago(9),
        "backed_up": days_ago(8), "backup_has_password": false });
    json!({ "id": PROVIDER, "name": "nkp", "kind": "native", "state": "active", "default": true, "tpm_required": false,
        "key": KEY, "versions": [current, old], "vms": 2, "created": days_ago(800) })
}

fn new_provider() -> Value {
    let version =
        json!({ "id": PROVIDER, "fingerprint": FINGERPRINT, "state": "not-backed-up", "created": days_ago(1) });
    json!({ "id": VM, "name": "nkp-tpm", "kind": "native", "state": "not-backed-up", "default": false,
        "tpm_required": true, "key": null, "versions": [version], "vms": 0, "created": days_ago(1) })
}

fn task(state: &str) -> Value {
    json!({ "id": TASK, "kind": "vm.encrypt", "vm": VM, "vm_name": "web01", "state": state,
        "progress": { "done": 3_u64 << 30, "total": 4_u64 << 30 }, "by": { "uid": 0, "user": "root" },
        "created": days_ago(2) })
}

pub(crate) fn merged(mut value: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    value.as_object_mut().expect("an object").extend(more);
    value
}

pub(crate) fn days_ago(days: u64) -> Value {
    // Half an hour more, so that a slow test does not see another age.
    let then = SystemTime::now() - Duration::from_secs(days * 86_400 + 1_800);
    json!(Timestamp::try_from(then).expect("a time"))
}

pub(crate) fn in_days(days: u64) -> Value {
    let then = SystemTime::now() + Duration::from_secs(days * 86_400 + 1_800);
    json!(Timestamp::try_from(then).expect("a time"))
}

/// Text without the moments that depend on when the test runs.
pub(crate) fn timeless(text: &str) -> String {
    const SHAPE: &str = "0000-00-00T00:00:00Z";
    let mut timeless = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let moment = rest.get(..SHAPE.len()).filter(|part| part.replace(|c: char| c.is_ascii_digit(), "0") == SHAPE);
        timeless.push_str(if moment.is_some() { "TIME" } else { &rest[..next.len_utf8()] });
        rest = &rest[moment.map_or(next.len_utf8(), str::len)..];
    }
    timeless
}
