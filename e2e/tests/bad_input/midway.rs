//! Tasks in the middle of their work: cancelled, and asked for twice.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

use cadenas_e2e::{DiskFormat, Finished, Guest, World, eventually, files_below, run, text, try_run};

use crate::state::{State, assert_plain_and_boots, assert_refusal};

/// Large enough that there is a middle.
const LARGE: u64 = 256 << 20;
const BEGUN: u64 = 4 << 20;
const MIDWAY: Duration = Duration::from_secs(30);

/// A plain guest with a large raw disk full of data, defined; it has never run.
pub(crate) fn large_guest(world: &World) -> Guest {
    full_guest(world, LARGE)
}

/// As [`large_guest`], with a disk of this size.
pub(crate) fn full_guest(world: &World, bytes: u64) -> Guest {
    let guest = Guest::builder("web01", &world.libvirt.datastore()).disk(DiskFormat::Raw, bytes).create();
    let bytes = usize::try_from(bytes).expect("it fits in memory");
    fs::write(guest.disk_path("vda"), vec![0x5a; bytes]).expect("a file in our own folder");
    world.define(&guest);
    guest
}

/// A server that does nothing until this is dropped.
pub(crate) struct Frozen(String);

impl Drop for Frozen {
    fn drop(&mut self) {
        try_run("kill", ["-CONT", &self.0]);
    }
}

/// Runs a command that makes files in the datastore, and freezes the server when it has written some of a large disk.
pub(crate) fn freeze_midway<'scope>(
    scope: &'scope Scope<'scope, '_>,
    world: &'scope World,
    args: &'scope [&'scope str],
) -> (Frozen, ScopedJoinHandle<'scope, Finished>) {
    let datastore = world.libvirt.datastore();
    let before = used(&datastore);
    let grown = || used(&datastore).saturating_sub(before);
    let pid = world.cadenas.pid().expect("it runs").to_string();
    let command = scope.spawn(move || world.cadenas.try_cadenas(args));
    eventually(MIDWAY, || (grown() >= BEGUN).then_some(()), || format!("{args:?} writes nothing"));
    run("kill", ["-STOP", &pid]);
    let frozen = Frozen(pid);
    assert!(grown() < LARGE, "{args:?} has come too far: {} bytes", grown());
    (frozen, command)
}

/// How a command ends while whose server was frozen midway something else happened.
pub(crate) fn interrupted(world: &World, args: &[&str], meanwhile: impl FnOnce()) -> Finished {
    thread::scope(|scope| {
        let (frozen, command) = freeze_midway(scope, world, args);
        meanwhile();
        drop(frozen);
        command.join().expect("running a command does not panic")
    })
}

/// Bytes that the files below a folder take.
fn used(folder: &Path) -> u64 {
    files_below(folder).iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.blocks() * 512).sum()
}

/// Freezes a command, cancels its task, and gives how both ended.
fn cancelled(world: &World, args: &[&str], meanwhile: impl FnOnce(&str)) -> Finished {
    thread::scope(|scope| {
        let (frozen, command) = freeze_midway(scope, world, args);
        // Asked while the server is frozen, so that it answers as soon as it goes on.
        let tasks = scope.spawn(|| world.json(&["task", "ls"]));
        thread::sleep(Duration::from_millis(300));
        drop(frozen);
        let task = text(&tasks.join().expect("it answers")[0]["id"]);
        world.cadenas.cadenas(&["task", "cancel", &task]);
        let ended = command.join().expect("running a command does not panic");
        meanwhile(&task);
        ended
    })
}

#[test]
fn a_second_request_is_told_the_task() {
    let world = World::ready();
    large_guest(&world);
    let requests: [&[&str]; 5] = [
        &["vm", "encrypt", "web01"],
        &["vm", "start", "web01"],
        &["vm", "kill", "web01"],
        &["vm", "unregister", "web01"],
        &["vm", "verify", "web01"],
    ];
    let (answers, tasks) = thread::scope(|scope| {
        let (frozen, command) = freeze_midway(scope, &world, &["vm", "encrypt", "web01"]);
        let answers = requests.map(|request| scope.spawn(|| world.cadenas.try_cadenas(request)));
        let tasks = scope.spawn(|| world.json(&["task", "ls"]));
        // Until all have asked.
        thread::sleep(Duration::from_secs(1));
        drop(frozen);
        let answers = answers.map(|answer| answer.join().expect("it answers"));
        drop(command.join().expect("it answers").ok());
        (answers, tasks.join().expect("it answers"))
    });
    let task = text(&tasks[0]["id"]);
    for answer in answers {
        let way_out = [format!("cadenas task wait {task}"), format!("cadenas task cancel {task}")];
        assert_refusal(&answer, &["web01", &way_out[0], &way_out[1]]);
    }
    assert_eq!(world.padlock("web01"), "encrypted");
}

#[test]
fn cancelling_brings_everything_back() {
    let world = World::ready();
    let guest = large_guest(&world);
    let plain = State::of(&world);
    let undone = ["web01", "undone", "cancelled"];
    let is_kept = |task: &str| {
        let shown = world.json(&["task", "show", task]);
        assert_eq!(shown["state"], "cancelled", "{shown}");
        assert_refusal(&world.cadenas.try_cadenas(&["task", "wait", task]), &undone);
        assert_refusal(&world.cadenas.try_cadenas(&["task", "cancel", task]), &[task, "ended already"]);
    };
    assert_refusal(&cancelled(&world, &["vm", "encrypt", "web01"], is_kept), &undone);
    plain.assert_still(&world);
    assert_plain_and_boots(&world, &guest);
    world.cadenas.cadenas(&["vm", "kill", "web01"]);

    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let encrypted = State::of(&world);
    for args in [&["vm", "recrypt", "--deep", "web01"][..], &["vm", "decrypt", "web01"]] {
        assert_refusal(&cancelled(&world, args, is_kept), &undone);
        encrypted.assert_still(&world);
    }
    world.start_and_read_marks(&guest);
}
