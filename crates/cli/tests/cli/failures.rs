//! What is told when something does not work, and how it ends.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    program::{cadenas, run_in},
    server::{Answer, Server, problem},
    terminal::Terminal,
};

#[test]
fn a_missing_server_is_told_with_what_to_do() {
    let told = run_in(Path::new("."), &["vm", "ls", "--socket", "/nonexistent/s"]).refused(1);
    assert!(told.starts_with("cadenas: no Cadenas server answers at /nonexistent/s: "), "{told}");
    assert!(told.contains("\n  start it with `cadenas serve`"), "{told}");
}

#[test]
fn a_refusal_is_told_once_with_the_next_step_below() {
    let server = refusing();
    let told = server.run(&["vm", "start", "web01"]).refused(1);
    assert_eq!(told, "cadenas: web01 is locked\n  restore provider nkp\n");
}

#[test]
fn with_json_a_refusal_is_the_problem_on_standard_error() {
    let told = refusing().run(&["-o", "json", "vm", "start", "web01"]).refused(1);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told, problem("vm-locked", "web01 is locked", "restore provider nkp"));
    let told = run_in(Path::new("."), &["-o", "json", "vm", "ls", "--socket", "/nonexistent/s"]).refused(1);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["code"], &told["type"]), (&json!("no-server"), &json!("urn:cadenas:problem:no-server")));
    assert!(told["next"].as_str().is_some_and(|next| next.contains("cadenas serve")));
}

#[test]
fn a_server_that_breaks_off_or_talks_nonsense_is_told() {
    let broken = Server::start(|_| Answer::HangUp).run(&["vm", "ls"]).refused(1);
    assert!(broken.contains("the connection to the server broke"), "{broken}");
    let nonsense = Server::that_says(json!("hello")).run(&["vm", "ls"]).refused(1);
    assert!(nonsense.contains("not understood"), "{nonsense}");
}

#[test]
fn encrypting_with_a_policy_that_does_not_encrypt_is_refused_before_anything_is_asked() {
    let server = Server::start(|request| match request.path.as_str() {
        "/policies" => Answer::Json(json!([{ "name": "Datastore Default", "encrypts": false, "built_in": true,
            "description": "" }])),
        other => panic!("{other}"),
    });
    let told = server.run(&["vm", "encrypt", "web01", "--policy", "Datastore Default"]).refused(2);
    assert!(told.contains("does not encrypt") && told.contains("cadenas vm decrypt"), "{told}");
}

#[test]
fn a_strange_name_is_asked_for_as_it_is() {
    let server = refusing();
    server.run(&["vm", "show", "../x y/é:start"]).refused(1);
    assert_eq!(server.asked(), ["GET /vms/..%2Fx%20y%2F%C3%A9%3Astart"]);
}

#[test]
fn encrypting_sends_what_was_said_with_absolute_paths() {
    let server = refusing();
    let args =
        ["vm", "encrypt", "web01", "--provider", "nkp", "--disk", "vda", "--disk", "vdb", "--home", "homes/web01"];
    server.run(&args).refused(1);
    let home = server.folder().join("homes/web01");
    let expected =
        json!({ "policy": "VM Encryption Policy", "provider": "nkp", "disks": ["vda", "vdb"], "home": home });
    assert_eq!(server.requests()[0].body, expected);
}

#[test]
fn decrypting_is_the_other_policy() {
    let server = refusing();
    server.run(&["vm", "decrypt", "web01"]).refused(1);
    assert_eq!(server.asked(), ["POST /vms/web01:set-policy"]);
    assert_eq!(server.requests()[0].body, json!({ "policy": "Datastore Default" }));
}

#[test]
fn a_removal_by_force_needs_the_name_once_more() {
    let server = refusing();
    let told = server.run(&["provider", "rm", "nkp", "--force"]).refused(2);
    assert!(told.contains("--confirm"), "{told}");
    assert_eq!(server.asked(), [""; 0], "nothing was asked of the server");
    server.run(&["provider", "rm", "nkp", "--force", "--confirm", "nkp"]).refused(1);
    assert_eq!(server.asked(), ["DELETE /providers/nkp?force=true&confirm=nkp"]);
}

#[test]
fn a_person_types_the_name_once_more() {
    let server = refusing();
    let remove = || {
        Terminal::run(&["provider", "rm", "nkp", "--force"], |command| {
            command.env("CADENAS_SOCKET", server.socket());
        })
    };
    let mut person = remove();
    person.expect("name again").type_line("");
    let (status, shown) = person.end();
    assert_eq!(status, Some(1));
    assert!(shown.contains("nothing was removed"), "{shown}");
    let mut person = remove();
    person.expect("name again").type_line("nkp");
    person.end();
    assert_eq!(server.asked(), ["DELETE /providers/nkp?force=true&confirm=nkp"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let server = Server::that_says(json!([]));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = cadenas();
    command.env("CADENAS_SOCKET", server.socket()).args(["vm", "ls"]).stdout(writer);
    let output = command.output().expect("the program starts");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_client_needs_no_libvirt() {
    // It would take as long to load as a whole re-encryption may take, and `recover` must run without it.
    let linked = std::process::Command::new("ldd").arg(env!("CARGO_BIN_EXE_cadenas")).output().expect("ldd runs");
    let linked = String::from_utf8(linked.stdout).expect("text");
    assert!(linked.contains("libc.so") && !linked.contains("virt"), "{linked}");
}

fn refusing() -> Server {
    Server::start(|_| Answer::Problem(problem("vm-locked", "web01 is locked", "restore provider nkp")))
}
