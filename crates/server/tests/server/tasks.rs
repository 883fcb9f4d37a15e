//! Tasks: one for each VM, durable, cancellable.

use std::time::{Duration, Instant};

use cadenas_api::{Problem, ProblemCode, RecryptVm, TaskId, TaskQuery, TaskState};

use crate::{
    host::Script,
    rig::{Rig, refused},
};

const WAIT: TaskQuery = TaskQuery { wait: Some(20) };

#[tokio::test]
async fn a_second_request_for_a_vm_is_told_the_task_that_holds_it() {
    let rig = Rig::start().await;
    let (busy, _) = (rig.host.add_vm("web01"), rig.host.add_vm("web02"));
    rig.host.script(busy, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    assert_eq!(task.state, TaskState::Running);
    let problem = refused(rig.client.start_vm("web01").await, ProblemCode::VmBusy);
    assert_eq!(problem.task, Some(task.id));
    rig.client.verify_vm("web02").await.expect("another VM is free");
    rig.client.cancel_task(task.id).await.expect("running");
    let ended = rig.client.task(task.id, &WAIT).await.expect("ends");
    assert_eq!(ended.state, TaskState::Cancelled);
    assert_eq!(ended.problem.expect("said").code, ProblemCode::Cancelled);
    assert!(ended.progress.done > 0 && ended.progress.total == 1 << 40 && ended.finished.is_some());
    refused(rig.client.cancel_task(task.id).await, ProblemCode::TooLateToCancel);
    refused(rig.client.cancel_task(TaskId::now()).await, ProblemCode::NoSuchTask);
    refused(rig.client.task(TaskId::now(), &WAIT).await, ProblemCode::NoSuchTask);
}

#[tokio::test]
async fn progress_is_live_in_every_view() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    let first = rig.client.task(task.id, &TaskQuery::default()).await.expect("runs").progress.done;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listed = rig.client.tasks().await.expect("list").remove(0);
    assert!(listed.progress.done > first && listed.state == TaskState::Running);
}

#[tokio::test]
async fn a_failure_is_the_tasks_not_the_requests() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    let problem = Problem::new(ProblemCode::VmNotOff, "VM web01 runs").next("Shut it down.");
    rig.host.script(vm, Script::Fail(problem.clone()));
    let task = rig.client.start_vm("web01").await.expect("a task");
    assert_eq!((task.state, task.problem), (TaskState::Failed, Some(problem)));
    assert_eq!(rig.event_kinds().await, ["vm.start-failed"]);
    rig.host.script(vm, Script::Panic);
    let task = rig.client.start_vm("web01").await.expect("a task");
    let problem = task.problem.expect("a reason");
    assert!(problem.code == ProblemCode::Internal && !problem.to_string().contains("hunter2"), "{problem}");
    refused(rig.client.start_vm("web02").await, ProblemCode::NoSuchVm);
}

#[tokio::test]
async fn a_wait_ends_with_the_task_or_with_the_time() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    let begun = Instant::now();
    let query = TaskQuery { wait: Some(1) };
    assert_eq!(rig.client.task(task.id, &query).await.expect("runs").state, TaskState::Running);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let (client, begun) = (rig.client.clone(), Instant::now());
    let waiting = tokio::spawn(async move { client.task(task.id, &WAIT).await.expect("ends") });
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.client.cancel_task(task.id).await.expect("running");
    assert_eq!(waiting.await.expect("no panic").state, TaskState::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn without_a_preference_the_answer_does_not_wait() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::UntilCancelled);
    let begun = Instant::now();
    let request = "POST /api/v1/vms/web01:verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (status, _, body) = rig.raw(request).await;
    assert_eq!(status, 202, "{body}");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_stop_interrupts_tasks_and_the_next_start_knows_them() {
    let mut rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::UntilCancelled);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    rig.restart().await;
    let known = rig.client.task(task.id, &TaskQuery::default()).await.expect("kept");
    assert_eq!(known.state, TaskState::Failed);
    assert!(known.problem.expect("a reason").detail.contains("was undone"));
    rig.client.verify_vm("web01").await.expect("the VM is free");
}

#[tokio::test]
async fn a_task_that_a_crash_cut_off_is_settled_by_what_the_repair_found() {
    let mut rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::Stuck);
    let task = rig.client.verify_vm("web01").await.expect("begins");
    rig.stop().await;
    // The stuck task's row says `running`, as a crash would leave it; its process still holds the database.
    let copy = tempfile::tempdir().expect("a temporary folder");
    for file in ["cadenas.db", "cadenas.db-wal", "root.key"] {
        if rig.data().join(file).exists() {
            std::fs::copy(rig.data().join(file), copy.path().join(file)).expect("readable");
        }
    }
    let host = std::sync::Arc::new(rig.host.restarted());
    host.will_repair("vm.rolled-back", vm, "staged files were removed");
    let socket = copy.path().join("s");
    let options = cadenas_server::Options {
        data: copy.path().to_owned(),
        socket: socket.clone(),
        seal: cadenas_server::SealChoice::KeyFile,
        host,
        kms_check: cadenas_server::Options::KMS_CHECK,
        console: None,
    };
    let running = cadenas_server::Server::start(options).await.expect("takes up what was left");
    let client = cadenas_api::Client::new(socket);
    let settled = client.task(task.id, &TaskQuery::default()).await.expect("kept");
    let problem = settled.problem.expect("a reason");
    assert_eq!((settled.state, problem.code), (TaskState::Failed, ProblemCode::Interrupted));
    assert!(problem.detail.contains("rolled back (staged files were removed)"), "{problem}");
    let events = client.events(&cadenas_api::EventQuery::default()).await.expect("events");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["vm.rolled-back", "vm.verify-interrupted"]);
    running.stop().await;
}

#[tokio::test]
async fn the_last_1_000_tasks_that_ended_are_kept() {
    let mut rig = Rig::start().await;
    rig.host.add_vm("web01");
    let first = rig.client.verify_vm("web01").await.expect("free");
    for _ in 0..500 {
        rig.client.verify_vm("web01").await.expect("free");
    }
    rig.restart().await;
    for _ in 0..502 {
        rig.client.verify_vm("web01").await.expect("free");
    }
    let tasks = rig.client.tasks().await.expect("list");
    assert_eq!(tasks.len(), 1_000);
    assert!(tasks.is_sorted_by(|newer, older| newer.created >= older.created));
    refused(rig.client.task(first.id, &TaskQuery::default()).await, ProblemCode::NoSuchTask);
}

#[tokio::test]
async fn many_clients_on_one_vm_get_one_task() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::UntilCancelled);
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let client = rig.client.clone();
            tokio::spawn(async move { client.verify_vm("web01").await })
        })
        .collect();
    let mut begun = 0;
    for answer in asked {
        match answer.await.expect("no panic") {
            Ok(_) => begun += 1,
            refusal => drop(refused(refusal, ProblemCode::VmBusy)),
        }
    }
    assert_eq!(begun, 1);
}

#[tokio::test]
async fn a_shallow_recrypt_is_quick_and_leaves_one_task_and_one_event() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("one").await;
    rig.active("two").await;
    rig.encrypt(vm, None).await.expect("active");
    let (tasks, events) = (rig.client.tasks().await.expect("list").len(), rig.event_kinds().await.len());
    let mut times = Vec::new();
    for round in 0..50 {
        let provider = Some(if round % 2 == 0 { "two" } else { "one" }.to_owned());
        let begun = Instant::now();
        let task =
            rig.client.recrypt_vm("web01", &RecryptVm { provider, ..RecryptVm::default() }).await.expect("active");
        times.push(begun.elapsed());
        assert!(task.outcome.expect("succeeded").changed);
    }
    assert_eq!(rig.client.tasks().await.expect("list").len(), tasks + 50);
    assert_eq!(rig.event_kinds().await.len(), events + 50);
    times.sort();
    println!("shallow recrypt over the socket, host in memory: median {:?}, worst {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(100), "far from the 10 ms that a whole call may take: {:?}", times[25]);
}
