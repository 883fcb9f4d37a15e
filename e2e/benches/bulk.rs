//! 10,000 VMs are re-encrypted by one command: native to native, native to a key server, and back.
//!
//! Beside it, in the same run and on the same file system, a bare loop that writes, flushes, renames and flushes the folder, one
//! file at a time. `VMS` says how many VMs.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use cadenas_e2e::{ManyHomes, World};
use cadenas_kmip::testing::{Authority, TestServer};
use serde_json::Value;

fn main() {
    let vms = std::env::var("VMS").map_or(10_000, |text| text.parse().expect("a number"));
    let world = World::empty();
    let backup = world.active_provider("nkp");
    world.active_provider("nkp-2");
    let authority = Authority::new("bench");
    let server = TestServer::good(&authority);
    standard_provider(&world, &authority, &server);
    let homes = ManyHomes::make(&world, &backup, vms);
    let bare = bare_loop(&world.libvirt.datastore(), vms, &homes.a_descriptor());
    println!("{vms} VMs, each descriptor flushed; a bare loop, one file at a time: {:.0}/s", rate(vms, bare));
    recrypt(&world, "native to native", "nkp-2", vms, bare);
    recrypt(&world, "native to a key server, which makes a key for each", "cluster", vms, bare);
    recrypt(&world, "from the key server to native", "nkp", vms, bare);
}

/// A key server in this process: what is measured is Cadenas, with a server that answers at once.
fn standard_provider(world: &World, authority: &Authority, server: &TestServer) {
    let (ca, address) = (world.libvirt.datastore().join("ca.pem"), server.endpoint().to_string());
    fs::write(&ca, authority.certificate_pem()).expect("written");
    world.cadenas.cadenas(&["provider", "create", "cluster", "--kind", "standard", "--kms", &address]);
    world.cadenas.cadenas(&["provider", "trust", "cluster", "--ca", &ca.display().to_string()]);
}

fn recrypt(world: &World, what: &str, to: &str, vms: usize, bare: Duration) {
    let began = Instant::now();
    let task = world.json(&["vm", "recrypt", "--all", "--to", to]);
    let whole = began.elapsed();
    let outcome = &task["outcome"]["bulk"];
    assert_eq!(outcome["changed"], vms, "{task}");
    let took = span(&task);
    println!(
        "  {what}: {:.2} s, {:.0} VMs/s, {:.2} x the bare loop; each durable after {} ms (median), {} ms (99 %); \
         the whole command {:.2} s",
        took.as_secs_f64(),
        rate(vms, took),
        bare.as_secs_f64() / took.as_secs_f64(),
        milliseconds(&outcome["median_microseconds"]),
        milliseconds(&outcome["p99_microseconds"]),
        whole.as_secs_f64()
    );
}

/// From the task's beginning to its end.
fn span(task: &Value) -> Duration {
    let at = |name: &str| -> jiff::Timestamp { task[name].as_str().expect("a time").parse().expect("a time") };
    at("finished").duration_since(at("created")).try_into().expect("it ends after it begins")
}

fn bare_loop(folder: &Path, files: usize, bytes: &[u8]) -> Duration {
    let folder = folder.join("bare");
    for at in 0..files {
        fs::create_dir_all(folder.join(at.to_string())).expect("a folder");
    }
    let began = Instant::now();
    for at in 0..files {
        one_small_file(&folder.join(at.to_string()), bytes);
    }
    began.elapsed()
}

fn one_small_file(folder: &Path, bytes: &[u8]) {
    let (staged, path) = (folder.join("small.new"), folder.join("small"));
    let mut file = fs::File::create(&staged).expect("created");
    file.write_all(bytes).expect("written");
    file.sync_all().expect("flushed");
    fs::rename(&staged, &path).expect("renamed");
    fs::File::open(folder).expect("opened").sync_all().expect("flushed");
}

fn rate(vms: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(vms).expect("not so many")) / took.as_secs_f64()
}

fn milliseconds(microseconds: &Value) -> u64 {
    microseconds.as_u64().expect("a number") / 1000
}
