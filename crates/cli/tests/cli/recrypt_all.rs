//! Re-encrypting many VMs: what can be, how far it is, what came of it.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    server::{Answer, Request, Server, problem},
    tables::{PROVIDER, TASK, VM, merged, timeless},
    terminal::Terminal,
};

const ALL: [&str; 3] = ["vm", "recrypt", "--all"];

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let server = Server::that_says(plan(&["recrypt", "already-so", "cannot"]));
    let ended = server.run(&[&ALL[..], &["--from", "cluster", "--to", "nkp", "--dry-run"]].concat());
    assert_eq!(ended.status, Some(1), "one cannot be");
    assert_eq!(ended.err, "With nkp: 1 VM to re-encrypt, 1 already so, 1 not possible\n");
    assert_snapshot!(ended.out);
    assert_eq!(server.asked(), ["POST /vms:plan-recrypt"]);
    assert_eq!(server.requests()[0].body, json!({ "from": "cluster", "to": "nkp" }));
    let well = Server::that_says(plan(&["recrypt"])).run(&[&ALL[..], &["--dry-run"]].concat());
    assert_eq!(well.status, Some(0));
    let json = Server::that_says(plan(&["recrypt"])).run(&[&ALL[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!((serde_json::from_str::<Value>(&json.out).expect("JSON"), json.err.as_str()), (plan(&["recrypt"]), ""));
}

#[test]
fn all_that_can_be_is_done_after_the_pre_flight() {
    let server = ending(plan(&["recrypt", "recrypt", "already-so"]), ended(&outcome(2, 1, &[])));
    let ended = server.run(&[&ALL[..], &["--jobs", "4"]].concat());
    assert_eq!(ended.err, "With nkp: 2 VMs to re-encrypt, 1 already so, 0 not possible\n");
    assert_eq!(ended.ok(), "2 VMs re-encrypted, 1 already so, 0 failed (median 0.21 ms, 99 % within 1.04 ms)\n");
    assert_eq!(server.asked(), ["POST /vms:plan-recrypt".to_owned(), "POST /vms:recrypt".to_owned(), POLL.to_owned()]);
    assert_eq!(server.requests()[1].body, json!({ "jobs": 4 }));
}

#[test]
fn a_vm_that_fails_is_listed_and_fails_the_command() {
    let answer = || ending(plan(&["recrypt", "recrypt"]), ended(&outcome(1, 0, &["web02", "db"])));
    let ended = answer().run(&ALL);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.out, "1 VM re-encrypted, 0 already so, 3 failed (median 0.21 ms, 99 % within 1.04 ms)\n");
    assert_snapshot!(ended.err);
    let quiet = answer().run(&[&ALL[..], &["-q"]].concat());
    assert_eq!((quiet.status, quiet.out.as_str()), (Some(1), ""));
    assert!(quiet.err.starts_with("VM ") && quiet.err.contains("web02"), "failures are told: {}", quiet.err);
    let json = answer().run(&[&ALL[..], &["-o", "json"]].concat());
    assert_eq!((json.status, json.err.as_str()), (Some(1), ""));
    let task: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(task["outcome"]["bulk"]["failures"][0]["name"], "web02");
}

#[test]
fn a_vm_that_cannot_be_is_listed_before_and_fails_the_command() {
    let server = ending(plan(&["recrypt", "cannot"]), ended(&outcome(1, 0, &["vm1"])));
    let ended = server.run(&ALL);
    assert_eq!(ended.status, Some(1));
    assert_snapshot!(ended.err);
}

#[test]
fn a_long_pre_flight_is_cut() {
    let server = ending(plan(&["cannot"; 60]), ended(&outcome(0, 0, &[])));
    let told = server.run(&ALL).err;
    assert!(told.contains("vm49 ") && !told.contains("vm50 ") && told.contains("... and 10 more; --dry-run"), "{told}");
}

#[test]
fn a_refusal_comes_before_anything_is_done() {
    let server = Server::start(|_| Answer::Problem(problem("no-default-provider", "there is no default", "set one")));
    let told = server.run(&ALL).refused(1);
    assert_eq!(told, "cadenas: there is no default\n  set one\n");
    assert_eq!(server.asked(), ["POST /vms:plan-recrypt"]);
}

#[test]
fn one_vm_or_all_but_not_both() {
    let server = Server::that_says(plan(&["recrypt"]));
    for args in [
        &["vm", "recrypt"][..],
        &["vm", "recrypt", "--all", "web01"],
        &["vm", "recrypt", "--all", "--deep"],
        &["vm", "recrypt", "--all", "--provider", "nkp"],
        &["vm", "recrypt", "--all", "--rate-limit", "1M"],
        &["vm", "recrypt", "--all", "--dry-run", "--detach"],
        &["vm", "recrypt", "web01", "--from", "nkp"],
        &["vm", "recrypt", "web01", "--to", "nkp"],
        &["vm", "recrypt", "web01", "--dry-run"],
    ] {
        server.run(args).refused(2);
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn the_task_can_be_left_alone_and_waited_for() {
    let server = ending(plan(&["recrypt"]), ended(&outcome(1, 0, &["web02"])));
    assert_eq!(server.run(&[&ALL[..], &["--detach"]].concat()).ok(), format!("{TASK}\n"));
    let failed = merged(running(0), json!({ "state": "failed", "problem": problem("internal", "no disk", "look") }));
    let failing = answering(plan(&["recrypt"]), move |_| failed.clone());
    let told = failing.run(&[&ALL[..], &["--detach", "-q"]].concat()).refused(1);
    assert_eq!(told, "cadenas: no disk\n  look\n", "what has failed already is told");
    let waited = server.run(&["task", "wait", TASK]);
    assert_eq!(waited.status, Some(1));
    assert!(
        waited.out.starts_with("1 VM re-encrypted") && waited.err.contains("web02"),
        "{}{}",
        waited.out,
        waited.err
    );
}

#[test]
fn a_person_sees_a_bar_that_counts_vms() {
    let polls = AtomicU64::new(0);
    let server = answering(plan(&["recrypt"]), move |_| {
        thread::sleep(Duration::from_millis(50));
        let enough = polls.fetch_add(1, Ordering::Relaxed) > 2;
        if enough { ended(&outcome(10_000, 0, &[])) } else { running(4000) }
    });
    let mut person = at_terminal(&server);
    person.expect("recrypt all VMs with nkp [").expect("4000 of 10000 VMs").expect("10000 VMs re-encrypted");
    assert_eq!(person.end().0, Some(0));
}

#[test]
fn ctrl_c_stops_the_task_and_says_how_far_it_came() {
    let stopped = AtomicBool::new(false);
    let server = answering(plan(&["recrypt"]), move |request| {
        thread::sleep(Duration::from_millis(20));
        if request.path.ends_with(":cancel") {
            stopped.store(true, Ordering::Relaxed);
        }
        let cancelled = stopped.load(Ordering::Relaxed) && request.method == "GET";
        let why = problem("cancelled", "stopped with 512 VMs re-encrypted", "what is done is skipped");
        if cancelled { merged(running(512), json!({ "state": "cancelled", "problem": why })) } else { running(256) }
    });
    let mut person = at_terminal(&server);
    person.expect("256 of 10000 VMs").type_keys("\u{3}").expect("stopping after the VMs at hand");
    let (status, shown) = person.end();
    assert_eq!(status, Some(1));
    assert!(shown.contains("cadenas: stopped with 512 VMs re-encrypted\n  what is done is skipped"), "{shown}");
    assert_eq!(server.asked().iter().filter(|asked| asked.ends_with(":cancel")).count(), 1);
}

#[test]
fn a_second_ctrl_c_stops_the_waiting() {
    let server = answering(plan(&["recrypt"]), |_| {
        thread::sleep(Duration::from_millis(20));
        running(256)
    });
    let mut person = at_terminal(&server);
    person.expect("256 of 10000 VMs").type_keys("\u{3}").expect("stopping after").type_keys("\u{3}");
    let (status, shown) = person.end();
    assert_eq!(status, Some(1));
    assert!(shown.contains(&format!("task {TASK} goes on")), "{shown}");
}

#[test]
fn a_task_for_many_vms_is_shown_and_cancelled_as_one() {
    let server = Server::that_says(running(4000));
    assert_snapshot!("task_show_many", timeless(&server.run(&["task", "show", TASK]).ok()));
    let said = server.run(&["task", "cancel", TASK]).ok();
    assert!(said.contains("will stop after the VMs at hand; what is done stays"), "{said}");
    let list = Server::that_says(json!([running(4000)])).run(&["task", "ls"]).ok();
    assert!(list.contains("40 % of 10000 VMs"), "{list}");
}

const POLL: &str = "GET /tasks/0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44?wait=1";

/// A server with this plan, whose task has ended so at the first look.
fn ending(plan: Value, task: Value) -> Server {
    answering(plan, move |request| if request.path == "/vms:recrypt" { running(0) } else { task.clone() })
}

fn answering(plan: Value, task: impl Fn(&Request) -> Value + Send + 'static) -> Server {
    Server::start(move |request| match request.path.as_str() {
        "/vms:plan-recrypt" => Answer::Json(plan.clone()),
        _ => Answer::Json(task(request)),
    })
}

fn plan(steps: &[&str]) -> Value {
    let vm = |(number, step): (usize, &&str)| {
        let reason = if *step == "cannot" { json!("it is locked: key 17 is missing") } else { Value::Null };
        json!({ "vm": VM, "name": format!("vm{number}"), "step": step, "reason": reason })
    };
    let mut plan =
        json!({ "to": PROVIDER, "to_name": "nkp", "vms": steps.iter().enumerate().map(vm).collect::<Vec<_>>() });
    for vm in plan["vms"].as_array_mut().expect("a list") {
        vm.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    }
    plan
}

fn running(done: u64) -> Value {
    json!({ "id": TASK, "kind": "vm.recrypt-all", "vm_name": "all VMs with nkp", "state": "running",
        "progress": { "done": done, "total": 10_000, "unit": "vms" }, "by": { "uid": 0, "user": "root" },
        "created": crate::tables::days_ago(2) })
}

fn ended(bulk: &Value) -> Value {
    let outcome = json!({ "changed": true, "message": "re-encrypted", "bulk": bulk });
    merged(running(10_000), json!({ "state": "succeeded", "outcome": outcome }))
}

/// Each of `failed` with its reason, and one more that is only counted, if there are any.
fn outcome(changed: u64, already: u64, failed: &[&str]) -> Value {
    let failure = |name: &&str| json!({ "vm": VM, "name": name, "problem": problem("kms-refused", "kms1: permission denied", "look at kms1") });
    let number = if failed.is_empty() { 0 } else { failed.len() + 1 };
    json!({ "changed": changed, "already": already, "failed": number, "median_microseconds": 210, "p99_microseconds": 1043,
        "failures": failed.iter().map(failure).collect::<Vec<_>>() })
}

fn at_terminal(server: &Server) -> Terminal {
    Terminal::run(&ALL, |command| {
        command.env("CADENAS_SOCKET", server.socket());
    })
}
