//! Trusting the key servers of a standard provider.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    kms::{certificate, cluster, new_cluster},
    server::{Answer, Server},
    tables::{merged, timeless},
    terminal::Terminal,
};

const TRUST: [&str; 3] = ["provider", "trust", "cluster"];

#[test]
fn certificates_are_shown_and_nothing_is_changed() {
    let shown = json!([{ "server": "kms1:5696", "certificate": certificate("kms1", 'a', 300) },
        { "server": "kms2:5697", "problem": "connect: connection refused" }]);
    let server = Server::that_says(shown.clone());
    let looked = server.run(&[&TRUST[..], &["--show"]].concat());
    assert_eq!(looked.status, Some(1), "one server does not show one");
    assert_snapshot!(timeless(&looked.out));
    let json = server.run(&[&TRUST[..], &["--show", "-o", "json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), shown);
    assert!(server.asked().iter().all(|asked| asked == "POST /providers/cluster:show-certificates"));
}

#[test]
fn known_fingerprints_are_pinned_without_asking() {
    let server = Server::that_says(cluster());
    let colons = ["0F"; 32].join(":");
    let digits = "ab".repeat(32);
    let said = server.run(&[&TRUST[..], &["--pin", &colons, "--pin", &digits]].concat()).ok();
    assert!(said.starts_with("cluster trusts 2 certificates. Next:\n  cadenas provider test cluster"), "{said}");
    assert_eq!(server.asked(), ["POST /providers/cluster:trust"]);
    assert_eq!(server.requests()[0].body, json!({ "pin": ["0f".repeat(32), digits] }));
    let told = server.run(&[&TRUST[..], &["--pin", "0F:0F"]].concat()).refused(2);
    assert!(told.contains("64 hex digits"), "{told}");
}

#[test]
fn authorities_are_sent_as_they_are() {
    let trust = json!({ "servers": ["kms1:5696"], "trust": { "authorities": [certificate("Site CA", 'a', 900)] } });
    let server = Server::that_says(merged(new_cluster(), json!({ "kms": trust })));
    fs::write(server.folder().join("ca.pem"), "-----BEGIN CERTIFICATE-----\n").expect("written");
    let said = server.run(&[&TRUST[..], &["--ca", "ca.pem"]].concat()).ok();
    assert!(said.starts_with("cluster trusts what CN=Site CA signed. Next:\n  cadenas provider identity"), "{said}");
    assert_eq!(server.requests()[0].body, json!({ "authorities": "-----BEGIN CERTIFICATE-----\n" }));
    let told = server.run(&[&TRUST[..], &["--ca", "missing.pem"]].concat()).refused(1);
    assert!(told.contains("cannot read missing.pem: No such file"), "{told}");
}

#[test]
fn without_a_terminal_the_ways_are_told_and_nothing_is_asked() {
    let server = Server::that_says(cluster());
    let told = server.run(&TRUST).refused(2);
    assert!(told.contains("--show") && told.contains("--pin SHA256") && told.contains("--ca FILE"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
    let told = server.run(&[&TRUST[..], &["--show", "--ca", "ca.pem"]].concat()).refused(2);
    assert!(told.contains("cannot be used with"), "{told}");
}

#[test]
fn a_person_looks_at_each_certificate_once() {
    let shown = json!([shown_by("kms1:5696", 'a'), shown_by("kms2:5697", 'a'), shown_by("kms3:5696", 'b')]);
    let server = with_certificates(new_cluster(), shown);
    let mut person = at_trust(&server);
    person.expect("kms1:5696, kms2:5697").expect("AA:AA:AA").expect("Trust this certificate? [y/N]").type_line("y");
    person.expect("kms3:5696").expect("BB:BB:BB");
    person.type_line("");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(pinned(&server), ["a".repeat(64)], "the second was declined");
}

#[test]
fn a_person_who_declines_changes_nothing() {
    let server = with_certificates(new_cluster(), json!([shown_by("kms1:5696", 'a')]));
    let mut person = at_trust(&server);
    person.expect("[y/N]").type_line("n");
    let (status, shown) = person.end();
    assert_eq!(status, Some(1));
    assert!(shown.contains("nothing was changed"), "{shown}");
    assert_eq!(server.asked(), ["GET /providers/cluster", "POST /providers/cluster:show-certificates"]);
}

#[test]
fn what_is_trusted_stays_so_while_a_server_is_silent() {
    // `cluster` trusts a and b; kms1 shows a, kms2 may be the one with b.
    let silent = json!({ "server": "kms2:5697", "problem": "does not answer" });
    let server = with_certificates(cluster(), json!([shown_by("kms1:5696", 'a'), silent]));
    let mut person = at_trust(&server);
    person.expect("It is trusted already");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("kms2:5697: does not answer"), "{shown}");
    assert_eq!(pinned(&server), ["a".repeat(64), "b".repeat(64)]);
}

#[test]
fn a_certificate_that_no_server_has_any_more_is_dropped() {
    let server = with_certificates(cluster(), json!([shown_by("kms1:5696", 'a'), shown_by("kms2:5697", 'd')]));
    let mut person = at_trust(&server);
    person.expect("[y/N]").type_line("yes");
    assert_eq!(person.end().0, Some(0));
    assert_eq!(pinned(&server), ["a".repeat(64), "d".repeat(64)]);
}

#[test]
fn there_is_nothing_to_trust_where_no_server_answers() {
    let server = with_certificates(new_cluster(), json!([{ "server": "kms1:5696", "problem": "does not answer" }]));
    let (status, shown) = at_trust(&server).end();
    assert_eq!(status, Some(1));
    assert!(
        shown.contains("no key server of cluster showed a certificate\n  `cadenas provider test cluster`"),
        "{shown}"
    );
}

fn shown_by(server: &str, digit: char) -> Value {
    json!({ "server": server, "certificate": certificate("kms", digit, 300) })
}

fn with_certificates(provider: Value, shown: Value) -> Server {
    Server::start(move |request| {
        Answer::Json(match request.path.as_str() {
            "/providers/cluster:show-certificates" => shown.clone(),
            "/providers/cluster" | "/providers/cluster:trust" => provider.clone(),
            other => panic!("{other}"),
        })
    })
}

fn at_trust(server: &Server) -> Terminal {
    Terminal::run(&TRUST, |command| {
        command.env("CADENAS_SOCKET", server.socket());
    })
}

/// The fingerprints that were sent at last.
fn pinned(server: &Server) -> Vec<String> {
    let last = server.requests().pop().expect("something was asked");
    assert_eq!(last.path, "/providers/cluster:trust");
    serde_json::from_value(last.body["pin"].clone()).expect("a list of texts")
}
