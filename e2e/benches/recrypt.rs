//! Shallow recrypt of a running VM with four disks: in the host, and as a whole call of the program.
//!
//! Beside it, in the same run, what the machine itself takes for the least that must happen: one small file written and
//! flushed, renamed, and its folder flushed; and a program that does nothing.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use cadenas_e2e::{BOOT, DiskFormat, Guest, World};

const ROUNDS: usize = 200;

fn main() {
    let world = World::ready();
    world.active_provider("nkp-2");
    let folder = world.libvirt.datastore();
    let builder = (0..4).fold(Guest::builder("web01", &folder), |guest, _| guest.disk(DiskFormat::Qcow2, 16 << 20));
    let guest = builder.steps("marks,idle").create();
    world.define(&guest);
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
    guest.wait_for_console("GUEST-IDLE", BOOT);

    let (mut host, mut call, mut flush, mut nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let provider = ["nkp-2", "nkp"][round % 2];
        let began = Instant::now();
        let printed = world.cadenas.cadenas(&["vm", "recrypt", "web01", "--provider", provider, "-o", "json"]);
        call.push(began.elapsed());
        host.push(host_time(&printed));
    }
    // In a loop of their own: what the server still writes when a call has ended would be flushed along.
    for _ in 0..ROUNDS {
        flush.push(timed(|| one_small_file(&folder)));
        nothing.push(timed(|| drop(Command::new("true").status())));
    }
    let (flush, nothing) = (median(flush), median(nothing));
    println!("shallow recrypt, a running VM with four disks, median of {ROUNDS}");
    report("in the host, flushed", median(host), flush, "one small file written, flushed, renamed");
    report("the whole call of `cadenas vm recrypt`", median(call), nothing, "a program that does nothing");
}

/// What the task tells of the time in the host.
fn host_time(printed: &str) -> Duration {
    let task: serde_json::Value = serde_json::from_str(printed).expect("JSON");
    assert_eq!(task["outcome"]["changed"], true, "{task}");
    Duration::from_micros(task["outcome"]["microseconds"].as_u64().expect("a number"))
}

fn one_small_file(folder: &Path) {
    let (staged, path) = (folder.join("small.new"), folder.join("small"));
    let mut file = fs::File::create(&staged).expect("created");
    file.write_all(&[0x5a; 5000]).expect("written");
    file.sync_all().expect("flushed");
    fs::rename(&staged, &path).expect("renamed");
    fs::File::open(folder).expect("opened").sync_all().expect("flushed");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, time: Duration, peer: Duration, peer_is: &str) {
    let ratio = time.as_secs_f64() / peer.as_secs_f64();
    println!("  {what}: {:.2} ms, {ratio:.1} x {peer_is} ({:.2} ms)", ms(time), ms(peer));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
