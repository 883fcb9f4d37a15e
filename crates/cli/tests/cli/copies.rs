//! Known copies of VM homes, and templates.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    server::Server,
    tables::{KEY, PROVIDER, VM, days_ago, encrypted_vm, merged},
};

#[test]
fn a_copy_is_made_known_by_its_absolute_path() {
    let server = Server::that_says(copy());
    let said = server.run(&["copy", "add", "backup/web01"]).ok();
    assert_eq!(said, format!("/backup/web01 is known as a copy of web01; it needs key 17 of provider {PROVIDER}\n"));
    assert_eq!(server.asked(), ["POST /copies"]);
    assert_eq!(server.requests()[0].body, json!({ "path": server.folder().join("backup/web01") }));
}

#[test]
fn a_copy_is_forgotten_whether_it_is_there_or_not() {
    let server = Server::that_says(copy());
    let said = server.run(&["copy", "rm", "gone"]).ok();
    assert_eq!(said, "/backup/web01 is not known any more; its files stay\n");
    assert_eq!(server.asked(), ["POST /copies:forget"]);
    assert_eq!(server.requests()[0].body, json!({ "path": server.folder().join("gone") }));
}

#[test]
fn copies_are_listed_with_the_keys_that_they_need() {
    let keys = json!([{ "provider": PROVIDER, "key": KEY }, { "provider": PROVIDER, "key": VM }]);
    let gone = json!({ "path": "/backup/db", "name": "db", "keys": keys, "problem": "No such file or directory" });
    let server = Server::that_says(json!([copy(), merged(copy(), gone)]));
    assert_snapshot!(server.run(&["copy", "ls"]).ok());
    assert_eq!(server.asked(), ["GET /copies"]);
}

#[test]
fn a_vm_becomes_a_template_and_a_vm_again() {
    let template = merged(encrypted_vm(), json!({ "template": true }));
    let server = Server::that_says(template);
    let said = server.run(&["vm", "template", "web01"]).ok();
    assert_eq!(said, "web01 is a template: it is re-encrypted with the others and does not start\n");
    assert!(server.run(&["vm", "show", "web01"]).ok().contains("\nTemplate   yes"));
    let server = Server::that_says(encrypted_vm());
    assert_eq!(server.run(&["vm", "template", "web01", "--off"]).ok(), "web01 is no template any more: it starts\n");
    assert_eq!(server.asked(), ["POST /vms/web01:set-template"]);
    assert_eq!(server.requests()[0].body, json!({ "template": false }));
}

fn copy() -> Value {
    json!({ "path": "/backup/web01", "vm": VM, "name": "web01", "seen": days_ago(3),
        "keys": [{ "provider": PROVIDER, "key": KEY, "kms_key": "17" }] })
}
