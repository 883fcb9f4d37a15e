//! No secret shows itself: not to `ps`, not in a log, an error or a file, and not in a core file.

mod hunt;
mod life;
mod luks;
mod memory;
mod watch;

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
};

use hunt::{Hunt, Secret};
use life::{Life, PROVIDER, shown};
use memory::Memories;
use watch::Watch;

#[test]
fn a_whole_life_leaves_no_secret_where_others_look() {
    let watch = Watch::start();
    let mut life = Life::begin();
    life.run();
    let server = life.world.cadenas.pid().expect("it runs");
    let memories = Memories::of(server);
    let seen = watch.stop();

    let (passing, all) = (Hunt::new(&life.passing), Hunt::new(life.passing.iter().chain(&life.held)));
    let held = Hunt::new(&life.held);
    let mut leaks = Vec::new();
    let mut search = |place: &str, bytes: &[u8]| {
        leaks.extend(all.find(bytes).iter().map(|finding| format!("{place}: {finding}")));
    };
    seen.command_lines.iter().for_each(|line| search("a command line", line));
    seen.environments.iter().for_each(|variables| search("an environment", variables));
    search("what commands say", life.said.as_bytes());
    search("the server's log", life.world.cadenas.log().as_bytes());
    for file in life.files() {
        search(&shown(&file), &fs::read(&file).unwrap_or_default());
    }
    leaks.extend(memories.dumped.find(&all).iter().map(|found| format!("core file: {found}")));
    leaks.extend(memories.whole.find(&passing).iter().map(|found| format!("memory: {found}")));
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));

    assert!(memories.dumped.count(PROVIDER) > 0, "what is not secret is in the core file");
    assert!(!memories.whole.find(&held).is_empty(), "the keys that the server holds are in its memory");
    for arguments in [
        vec!["serve", "--data"],
        vec!["provider", "backup", PROVIDER],
        vec!["provider", "restore"],
        vec!["recover", "--backup"],
        vec!["vm", "start", "web01"],
        vec!["guest=web01,debug-threads=on"],
    ] {
        assert!(seen.ran(&arguments), "{arguments:?} was seen running");
    }
}

#[test]
fn a_secret_that_a_process_holds_is_found_in_its_memory() {
    let bytes = cadenas_secret::SecretBytes::random(32).expose().to_vec();
    let hunt = Hunt::new([&Secret::new("a key", bytes.clone())]);
    let mut holder = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
    let mut pipe = holder.stdin.take().expect("it is piped");
    pipe.write_all(&bytes).expect("it reads");
    // When it has said the bytes it has them.
    let mut echo = vec![0; bytes.len()];
    holder.stdout.as_mut().expect("it is piped").read_exact(&mut echo).expect("it says what it read");
    let memories = Memories::of(holder.id());
    drop(pipe);
    holder.wait().expect("our own child");
    assert!(!memories.dumped.find(&hunt).is_empty() && !memories.whole.find(&hunt).is_empty());
}
