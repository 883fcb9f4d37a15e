//! Waiting for long operations.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{
    program::cadenas,
    server::{Answer, Server, problem},
    terminal::Terminal,
};

const TASK: &str = "0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44";

#[test]
fn a_short_task_ends_with_its_sentence_and_one_request() {
    let server = Server::that_says(ended("succeeded", &json!({ "outcome": outcome() })));
    assert_eq!(server.run(&["vm", "recrypt", "web01"]).ok(), "web01: has a new key (0.74 ms)\n");
    assert_eq!(server.asked(), ["POST /vms/web01:recrypt"]);
    assert_eq!(server.run(&["-q", "vm", "recrypt", "web01"]).ok(), "");
}

#[test]
fn a_long_task_is_waited_for() {
    let server = after_polls(3, ended("succeeded", &json!({ "outcome": outcome() })));
    assert_eq!(server.run(&["vm", "encrypt", "web01"]).ok(), "web01: has a new key (0.74 ms)\n");
    let poll = format!("GET /tasks/{TASK}?wait=1");
    assert_eq!(server.asked(), ["POST /vms/web01:set-policy", &poll, &poll, &poll]);
}

#[test]
fn a_task_can_be_left_alone() {
    let server = Server::that_says(running(1));
    for flag in ["--detach", "--no-wait"] {
        assert_eq!(server.run(&["vm", "encrypt", "web01", flag]).ok(), format!("{TASK}\n"));
    }
    let printed = server.run(&["vm", "encrypt", "web01", "--detach", "-o", "json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), running(1));
    let quick = Server::that_says(ended("succeeded", &json!({ "outcome": outcome() })));
    assert_eq!(quick.run(&["vm", "encrypt", "web01", "--detach"]).ok(), format!("{TASK}\n"), "one that has ended too");
}

#[test]
fn a_failed_task_is_told_as_its_problem() {
    let why = json!({ "problem": problem("no-space", "/data has 1 GiB free", "free 3 GiB") });
    for command in [&["vm", "encrypt", "web01"][..], &["task", "wait", TASK], &["vm", "encrypt", "web01", "--detach"]] {
        let told = Server::that_says(ended("failed", &why)).run(command).refused(1);
        assert_eq!(told, "cadenas: /data has 1 GiB free\n  free 3 GiB\n");
    }
}

#[test]
fn a_server_that_dies_midway_is_told_with_the_task() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => Answer::Json(running(1)),
        _ => Answer::HangUp,
    });
    let told = server.run(&["vm", "encrypt", "web01"]).refused(1);
    assert!(told.starts_with("cadenas: the server stopped answering while task"), "{told}");
    assert!(told.contains(&format!("\n  when the server runs again, `cadenas task show {TASK}`")), "{told}");
}

#[test]
fn a_person_sees_a_bar_that_goes_away() {
    let server = after_polls(2, ended("succeeded", &json!({ "outcome": outcome() })));
    let mut person = at_terminal(&server, &["vm", "encrypt", "web01"]);
    person.expect("encrypt web01 [").expect("2.00 GiB").expect("web01: has a new key");
    assert_eq!(person.end().0, Some(0));
}

#[test]
fn ctrl_c_leaves_the_task_and_says_how_to_watch_and_cancel_it() {
    let server = after_polls(u64::MAX, Value::Null);
    let mut person = at_terminal(&server, &["vm", "encrypt", "web01"]);
    person.expect("encrypt web01 [").type_keys("\u{3}");
    let (status, shown) = person.end();
    assert_eq!(status, Some(1));
    assert!(shown.contains(&format!("task {TASK} goes on")), "{shown}");
    assert!(shown.contains("cadenas task wait") && shown.contains("cadenas task cancel"), "{shown}");
}

#[test]
fn waiting_in_a_script_prints_a_line_now_and_then() {
    let server = after_polls(u64::MAX, Value::Null);
    let mut child = background(&server.socket(), &["vm", "encrypt", "web01"]).spawn().expect("the program starts");
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(child.stderr.take().expect("piped"));
    std::io::BufRead::read_line(&mut lines, &mut said).expect("a line comes");
    child.kill().expect("it still waits");
    child.wait().expect("our own child");
    assert!(said.starts_with("cadenas: encrypt web01: 1 GiB of 4 GiB (25 %), "), "{said}");
}

#[test]
fn a_cancelled_task_says_that_it_will_undo_itself() {
    let server = Server::that_says(running(1));
    let said = server.run(&["task", "cancel", TASK]).ok();
    assert!(said.contains("will stop and undo"), "{said}");
    assert_eq!(server.asked(), [format!("POST /tasks/{TASK}:cancel")]);
}

/// A task that ends at the poll with this number.
fn after_polls(polls: u64, last: Value) -> Server {
    let (asked, last) = (AtomicU64::new(0), Mutex::new(last));
    Server::start(move |request| {
        if request.method == "POST" {
            return Answer::Json(running(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = asked.fetch_add(1, Ordering::Relaxed) + 1;
        Answer::Json(if now < polls {
            running(if polls < 9 { 2 } else { 1 })
        } else {
            last.lock().expect("held shortly").clone()
        })
    })
}

fn running(gib_done: u64) -> Value {
    json!({ "id": TASK, "kind": "vm.encrypt", "vm": "11111111-2222-4333-8444-555555555555", "vm_name": "web01",
        "state": "running", "progress": { "done": gib_done << 30, "total": 4_u64 << 30, "unit": "bytes" },
        "by": { "uid": 0, "user": "root" }, "created": "2026-01-02T03:04:05Z" })
}

fn ended(state: &str, more: &Value) -> Value {
    let mut task = running(4);
    task["state"] = state.into();
    let task_fields = task.as_object_mut().expect("an object");
    task_fields.extend(more.as_object().expect("an object").clone());
    task
}

fn outcome() -> Value {
    json!({ "changed": true, "message": "has a new key", "microseconds": 749 })
}

fn at_terminal(server: &Server, args: &[&str]) -> Terminal {
    Terminal::run(args, |command| {
        command.env("CADENAS_SOCKET", server.socket());
    })
}

fn background(socket: &PathBuf, args: &[&str]) -> Command {
    let mut command = cadenas();
    command.env("CADENAS_SOCKET", socket).args(args).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
