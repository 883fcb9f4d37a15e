//! Standard key providers: made, looked at, tested.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    server::Server,
    tables::{KEY, PROVIDER, VM, days_ago, in_days, merged, timeless},
};

#[test]
fn a_standard_provider_is_made_with_its_servers_in_their_order() {
    let server = Server::that_says(new_cluster());
    let args = ["provider", "create", "cluster", "--kind", "standard", "--kms", "kms1", "--kms", "kms2:5697"];
    let said = server.run(&args).ok();
    assert_snapshot!(said.replace(PROVIDER, "ID"));
    let expected =
        json!({ "name": "cluster", "tpm_required": false, "kind": "standard", "kms": ["kms1", "kms2:5697"] });
    assert_eq!(server.requests()[0].body, expected);
}

#[test]
fn a_key_server_needs_the_kind_that_has_one_and_the_other_way_round() {
    let server = Server::that_says(new_cluster());
    let told = server.run(&["provider", "create", "cluster", "--kms", "kms1"]).refused(2);
    assert!(told.contains("only a standard key provider has\n  add --kind standard"), "{told}");
    let told = server.run(&["provider", "create", "cluster", "--kind", "standard"]).refused(2);
    assert!(told.contains("--kms <HOST[:PORT]>"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_standard_provider_shows_its_servers_its_alarms_and_what_needs_it() {
    let server = Server::that_says(cluster());
    let shown = timeless(&server.run(&["provider", "show", "cluster"]).ok());
    assert_snapshot!("provider_show_standard", shown);
    let new = timeless(&Server::that_says(new_cluster()).run(&["provider", "show", "cluster"]).ok());
    assert_snapshot!("provider_show_standard_new", new);
}

#[test]
fn alarms_and_expiring_identities_stand_below_the_list() {
    let native_alarm = json!({ "alarms": [{ "key": KEY, "vms": [] }], "name": "nkp", "kind": "native", "kms": null,
        "state": "not-backed-up" });
    let server = Server::that_says(json!([cluster(), new_cluster(), merged(new_cluster(), native_alarm)]));
    assert_snapshot!("provider_ls_standard", timeless(&server.run(&["provider", "ls"]).ok()));
    assert_snapshot!("provider_ls_standard_wide", timeless(&server.run(&["provider", "ls", "-v"]).ok()));
}

#[test]
fn a_long_list_of_users_is_cut_unless_all_are_asked_for() {
    let user = |number: usize| json!({ "kind": "vm", "vm": VM, "name": format!("vm{number}"), "keys": [KEY] });
    let users: Vec<Value> = (0..60).map(user).collect();
    let server = Server::that_says(merged(cluster(), json!({ "users": users })));
    let cut = server.run(&["provider", "show", "cluster"]).ok();
    assert!(
        cut.contains("vm49 ") && !cut.contains("vm50 ") && cut.ends_with("... and 10 more; -v shows all\n"),
        "{cut}"
    );
    assert!(server.run(&["provider", "show", "cluster", "-v"]).ok().contains("vm59 "));
}

#[test]
fn a_test_tells_server_by_server_what_works_and_fails_if_anything_does_not() {
    let step = |step: &str, ok: bool, detail: &str| json!({ "step": step, "ok": ok, "detail": detail });
    let good = json!({ "server": "kms1:5696", "ok": true, "steps": [step("tcp", true, "connected in 0.4 ms"),
        step("tls", true, "TLS 1.3, CN=kms1"), step("version", true, "KMIP 1.4")] });
    let bad = json!({ "server": "kms2:5697", "ok": false, "steps": [step("tcp", false, "connection refused")] });
    let well = Server::that_says(json!([good])).run(&["provider", "test", "cluster"]);
    assert_eq!((well.status, well.err.as_str()), (Some(0), "The key server works.\n"));
    let server = Server::that_says(json!([good, bad]));
    let badly = server.run(&["provider", "test", "cluster"]);
    assert_eq!((badly.status, badly.err.as_str()), (Some(1), "1 of 2 key servers work.\n"));
    assert_snapshot!(badly.out);
    assert_eq!(server.asked(), ["POST /providers/cluster:test"]);
    let json = server.run(&["provider", "test", "cluster", "-o", "json"]);
    assert_eq!((json.status, json.err.as_str()), (Some(1), ""));
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), json!([good, bad]));
}

#[test]
fn the_servers_can_be_replaced() {
    let server = Server::that_says(cluster());
    let said = server.run(&["provider", "set-kms", "cluster", "--kms", "kms1", "--kms", "kms2:5697"]).ok();
    assert!(said.starts_with("cluster asks kms1:5696, then kms2:5697. Next:\n"), "{said}");
    assert_eq!(server.asked(), ["POST /providers/cluster:set-servers"]);
    assert_eq!(server.requests()[0].body, json!({ "servers": ["kms1", "kms2:5697"] }));
    assert!(server.run(&["provider", "set-kms", "cluster"]).refused(2).contains("--kms"));
}

#[test]
fn nobody_chooses_a_password_for_the_backup_of_a_standard_provider() {
    let server = Server::that_says(cluster());
    let told = server.run(&["provider", "backup", "cluster", "--out", "cluster.p12"]).refused(1);
    assert!(told.contains("its keys are in its key servers"), "{told}");
    assert_eq!(server.asked(), ["GET /providers/cluster"]);
}

/// A certificate with this digit all over its fingerprint.
pub(crate) fn certificate(name: &str, digit: char, expires_in_days: u64) -> Value {
    json!({ "subject": format!("CN={name}"), "issuer": "CN=KMS CA", "names": [name, "10.0.0.1"],
        "not_before": "2026-01-02T03:04:05Z", "not_after": in_days(expires_in_days),
        "sha256": String::from(digit).repeat(64), "pem": format!("-----BEGIN CERTIFICATE-----\n{name}\n") })
}

/// A provider that works, and whose keys give reason to act.
pub(crate) fn cluster() -> Value {
    let alarm = |state: &str, kms_key: &str, vms: &[&str]| json!({ "key": KEY, "kms_key": kms_key, "state": state, "vms": vms });
    let user = |kind: &str, name: &str| json!({ "kind": kind, "vm": VM, "name": name, "keys": [KEY] });
    let many: Vec<String> = (1..=12).map(|number| format!("web{number:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    merged(
        new_cluster(),
        json!({ "state": "degraded", "reason": "kms2:5697 does not answer", "vms": 13,
            "kms": { "servers": ["kms1:5696", "kms2:5697"], "trust": { "pinned": ["a".repeat(64), "b".repeat(64)] },
                "identity": certificate("cadenas", 'c', 12), "csr_pending": true, "user": "cadenas" },
            "rotation": { "every_days": 90, "next": in_days(30) },
            "alarms": [alarm("compromised", "17", &["mail"]), alarm("deactivated", "18", &many),
                alarm("missing", "19", &["db"])],
            "users": [user("vm", "web01"), user("template", "golden"),
                merged(user("copy", "web01"), json!({ "path": "/backup/web01", "keys": [KEY, PROVIDER] }))] }),
    )
}

/// A provider that was just made.
pub(crate) fn new_cluster() -> Value {
    json!({ "id": PROVIDER, "name": "cluster", "kind": "standard", "state": "not-trusted", "default": false,
        "tpm_required": false, "key": null, "versions": [], "vms": 0, "created": days_ago(9),
        "kms": { "servers": ["kms1:5696", "kms2:5697"] } })
}
