//! No secret shows itself: not to `ps`, not in a log, an error or a file, and not in a core file.

mod debug;
mod hunt;
mod life;
mod luks;
mod memory;
mod schedule;
mod watch;

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
};

use cadenas_secret::SecretBytes;
use hunt::{Hunt, Secret};
use life::{Life, PROVIDER};
use memory::{Extent, Memory};
use watch::Seen;

#[test]
fn a_whole_life_leaves_no_secret_where_others_look() {
    let mut life = Life::begin();
    life.first_half();
    let mut leaks = in_memory(&life, "while a VM runs");
    life.second_half();
    leaks.extend(in_memory(&life, "after the last VM"));
    leaks.extend(in_the_open(&life));
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

/// What the server's core file has of any secret, and all its memory of what it does not need at the moment.
fn in_memory(life: &Life, when: &str) -> Vec<String> {
    let server = life.world.cadenas.pid().expect("it runs");
    let (dumped, whole) = (Memory::of(server, Extent::AsDumped), Memory::of(server, Extent::Whole));
    // Controls: what is not secret is found, and so are the keys that the server needs as long as it runs.
    assert!(dumped.has(PROVIDER), "the core file holds what is not secret");
    assert!(!whole.find(&Hunt::new(&life.held)).is_empty(), "the locked memory holds the providers' keys");

    let all = Hunt::new(life.passing.iter().chain(&life.held));
    let in_core = dumped.find(&all).into_iter().map(|found| format!("core file {when}: {found}"));
    let found = whole.find(&Hunt::new(&life.passing)).into_iter().map(|found| format!("memory {when}: {found}"));
    in_core.chain(found).collect()
}

/// Secrets in command lines, environments, words and files.
fn in_the_open(life: &Life) -> Vec<String> {
    let seen = life.watch.seen();
    everything_was_seen(&seen);
    let all = Hunt::new(life.passing.iter().chain(&life.held));
    let mut leaks = Vec::new();
    let mut search = |place: &str, bytes: &[u8]| {
        leaks.extend(all.find(bytes).iter().map(|finding| format!("{place}: {finding}")));
    };
    seen.command_lines.iter().for_each(|line| search("a command line", line));
    seen.environments.iter().for_each(|variables| search("an environment", variables));
    search("what commands and the API say", life.said.as_bytes());
    let log = life.world.cadenas.log();
    assert!(log.contains("DEBUG cadenas") && log.contains("virDomainCreateXML"), "ours and libvirt's log are there");
    search("the server's log", log.as_bytes());
    for file in life.files() {
        // A socket's or a guest's file can be gone.
        search(&file.display().to_string(), &fs::read(&file).unwrap_or_default());
    }
    leaks
}

/// The control of what was seen running: commands with a password in hand, the server, QEMU.
fn everything_was_seen(seen: &Seen) {
    for arguments in [
        &["serve", "--data"][..],
        &["provider", "backup", PROVIDER],
        &["provider", "verify-backup"],
        &["provider", "restore"],
        &["recover", "--backup"],
        &["disk", "check"],
        &["guest=web01,debug-threads=on"],
    ] {
        assert!(seen.ran(arguments), "{arguments:?} was seen running");
    }
}

/// The control of the search in memory.
#[test]
fn a_key_that_a_process_holds_is_found_in_its_memory() {
    let key = SecretBytes::random(32);
    let mut holder = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
    let mut pipe = holder.stdin.take().expect("it is piped");
    pipe.write_all(key.expose()).expect("it reads");
    // When it has said the bytes it has them.
    let mut echo = [0; 32];
    holder.stdout.as_mut().expect("it is piped").read_exact(&mut echo).expect("it says what it read");
    let memory = Memory::of(holder.id(), Extent::AsDumped);
    drop(pipe);
    holder.wait().expect("our own child");
    assert!(!memory.find(&Hunt::new([&Secret::key("the key", key.expose())])).is_empty());
}
