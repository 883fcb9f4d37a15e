//! Ages of keys, rotations, and keys that somebody else may have.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    kms::cluster,
    server::Server,
    tables::{FINGERPRINT, KEY, PROVIDER, VM, days_ago, in_days, merged, timeless},
};

#[test]
fn a_schedule_is_given_in_days_or_weeks() {
    let server = Server::that_says(merged(cluster(), json!({ "rotation": { "every_days": 84, "next": in_days(84) } })));
    let said = server.run(&["provider", "set-rotation", "cluster", "--every", "12w"]).ok();
    assert!(said.starts_with("cluster is rotated every 84 days, next 2") && said.ends_with("(in 84d)\n"), "{said}");
    let server_of_native = Server::that_says(native(&json!({ "every_days": 1, "next": days_ago(1) })));
    let said = server_of_native.run(&["provider", "set-rotation", "nkp", "--every", "1d"]).ok();
    assert!(said.contains("every 1 day, next 2") && said.contains("(due); each new key encrypts once it is"), "{said}");
    server.run(&["provider", "set-rotation", "cluster", "--every", "90d"]).ok();
    let bodies: Vec<Value> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [json!({ "every_days": 84 }), json!({ "every_days": 90 })]);
    assert_eq!(server.asked()[0], "POST /providers/cluster:set-rotation");
}

#[test]
fn a_schedule_ends() {
    let server = Server::that_says(native(&Value::Null));
    let said = server.run(&["provider", "set-rotation", "nkp", "--off"]).ok();
    assert_eq!(said, "nkp is rotated only when asked\n");
    assert_eq!(server.requests()[0].body, json!({}));
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused() {
    let server = Server::that_says(native(&Value::Null));
    for args in [&[][..], &["--every", "90"], &["--every", "0d"], &["--every", "11y"], &["--every", "1d", "--off"]] {
        server.run(&[&["provider", "set-rotation", "nkp"], args].concat()).refused(2);
    }
    let told = server.run(&["provider", "set-rotation", "nkp", "--every", "600w"]).refused(2);
    assert!(told.contains("1 to 3650 days"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_rotation_says_what_comes_next_for_each_kind() {
    let said = Server::that_says(native(&Value::Null)).run(&["provider", "rotate", "nkp"]).ok();
    assert!(said.ends_with("are then moved to it:\n  cadenas provider backup nkp --out nkp-1.p12\n"), "{said}");
    let said = Server::that_says(cluster()).run(&["provider", "rotate", "cluster"]).ok();
    assert!(said.starts_with("The VMs of cluster get new keys from its key servers"), "{said}");
}

#[test]
fn a_compromised_key_lists_what_to_encrypt_anew() {
    let vm = |name: &str, still: bool| json!({ "vm": VM, "name": name, "still": still });
    let report = json!({ "key": KEY, "provider": PROVIDER, "provider_name": "nkp",
        "vms": [vm("web01", true), vm("it's mine", false)] });
    let server = Server::that_says(report);
    assert_snapshot!(server.run(&["provider", "mark-compromised", KEY]).ok());
    assert_eq!(server.asked(), [format!("POST /keys/{KEY}:mark-compromised")]);
    assert!(server.run(&["-q", "provider", "mark-compromised", KEY]).ok().contains("--deep web01"), "it was asked for");
    let told = server.run(&["provider", "mark-compromised", "nkp"]).refused(2);
    assert!(told.contains("not a key ID"), "{told}");
    let none = Server::that_says(json!({ "key": KEY, "provider": PROVIDER, "vms": [] }));
    let said = none.run(&["provider", "mark-compromised", KEY]).ok();
    assert!(said.ends_with("\nNo VM has data keys that it opens.\n"), "{said}");
}

#[test]
fn the_report_tells_ages_in_days_and_what_is_due() {
    let server = Server::that_says(report());
    let ended = server.run(&["report", "keys"]);
    assert_eq!(ended.err, "3 encrypted VMs: a shallow recrypt is due for 1, a deep one for 1\n");
    assert_snapshot!("report_keys", ended.ok());
    assert_snapshot!("report_keys_wide", server.run(&["report", "keys", "-v"]).ok());
    assert_eq!(server.asked()[0], "GET /reports/keys");
    let json = server.run(&["report", "keys", "-o", "json"]);
    assert_eq!((serde_json::from_str::<Value>(&json.out).expect("JSON"), json.err.as_str()), (report(), ""));
}

#[test]
fn the_report_is_a_spreadsheet_with_ages_in_seconds() {
    let ended = Server::that_says(report()).run(&["report", "keys", "-o", "csv"]);
    assert_eq!(ended.err, "");
    assert!(ended.out.split_terminator("\r\n").all(|line| !line.contains('\n')), "{:?}", ended.out);
    assert!(ended.out.contains("\"db, \"\"old\"\"\","), "{}", ended.out);
    assert_snapshot!(ended.ok().replace("\r\n", "\n"));
}

#[test]
fn only_a_report_is_a_spreadsheet() {
    let server = Server::that_says(json!([]));
    for args in [&["vm", "ls", "-o", "csv"][..], &["-o", "csv", "disk", "info", "x"]] {
        let told = server.run(args).refused(2);
        assert_eq!(told, "cadenas: `-o csv` is for `cadenas report` alone\n  use `-o table` or `-o json`\n");
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_compromised_version_is_shown_so() {
    let version = json!({ "id": KEY, "fingerprint": FINGERPRINT, "state": "compromised", "created": days_ago(9) });
    let provider =
        merged(native(&Value::Null), json!({ "versions": [version], "alarms": [{ "key": KEY, "vms": ["web01"] }] }));
    let shown = Server::that_says(provider).run(&["provider", "show", "nkp"]).ok();
    assert_snapshot!(timeless(&shown));
}

fn report() -> Value {
    let vm = |name: &str, padlock: &str, more: Value| {
        let id = format!("{}1111111-2222-4333-8444-555555555555", name.len());
        let vm = json!({ "vm": id, "name": name, "padlock": padlock, "provider": PROVIDER, "key": KEY });
        merged(vm, more)
    };
    json!([
        vm(
            "web01",
            "encrypted",
            json!({ "provider_name": "cluster", "kind": "standard", "kms_key": "17",
            "kek_created": "2026-01-02T03:04:05Z", "kek_age_seconds": 86_400 * 9, "dek_created": "2024-01-02T03:04:05Z",
            "dek_age_seconds": 86_400 * 800, "due": { "kind": "deep", "reason": "key 12 was marked as compromised" } })
        ),
        vm(
            "db, \"old\"",
            "encrypted",
            json!({ "provider_name": "nkp", "kind": "native", "kek_age_seconds": 86_400 * 91,
            "dek_age_seconds": 3600, "due": { "kind": "shallow", "reason": "nkp has a newer key" } })
        ),
        vm("mail", "locked", json!({})),
        vm("mail", "locked", json!({ "provider_name": "nkp" })),
    ])
}

fn native(rotation: &Value) -> Value {
    let version = json!({ "id": KEY, "fingerprint": FINGERPRINT, "state": "not-backed-up", "created": days_ago(1) });
    merged(
        cluster(),
        json!({ "name": "nkp", "kind": "native", "state": "active", "reason": null, "key": KEY, "kms": null,
        "versions": [version], "alarms": [], "users": [], "rotation": rotation }),
    )
}
