//! All VMs are re-encrypted, and the server is killed at random instants meanwhile: nothing is lost, and it goes on where it was.
//!
//! `VMS` and `KILLS` say how many; the defaults are for everyday use, 10,000 VMs and 20 kills were done once (see CONTRIBUTING.md).

use std::{path::Path, thread, time::Duration};

use cadenas_e2e::{ManyHomes, World};
use cadenas_secret::random;

#[test]
fn a_server_that_is_killed_while_it_re_encrypts_all_loses_none_and_goes_on() {
    let (vms, kills) = (number("VMS", 400), number("KILLS", 5));
    let mut world = World::empty();
    let backups = [world.active_provider("nkp"), world.active_provider("nkp-2")];
    let backups = [backups[0].as_path(), backups[1].as_path()];
    let homes = ManyHomes::make(&world, backups[0], vms);
    for kill in 0..kills {
        let to = ["nkp-2", "nkp"][kill % 2];
        kill_while_recrypting(&mut world, to, whole_run(vms));
        assert_eq!(homes.closed(&backups), 0, "after kill {kill}");
        assert_opens_in_the_server(&world, vms);
    }
    finishes(&world, "nkp-2", vms);
    assert_eq!(homes.closed(&backups[1..]), 0, "all need the last provider alone");
    world.cadenas.cadenas(&["provider", "rm", "nkp"]);
}

/// Longer than a whole run takes: some kills come after its end.
fn whole_run(vms: usize) -> Duration {
    Duration::from_millis(300 + u64::try_from(vms).expect("few") / 2)
}

fn kill_while_recrypting(world: &mut World, to: &str, within: Duration) {
    let wait = random_below(within);
    thread::scope(|scope| {
        let cadenas = &world.cadenas;
        let recrypting = scope.spawn(|| drop(cadenas.try_cadenas(&["vm", "recrypt", "--all", "--to", to])));
        thread::sleep(wait);
        cadenas.signal_kill();
        recrypting.join().expect("the command ends when its server does");
    });
    world.cadenas.restart();
}

fn assert_opens_in_the_server(world: &World, vms: usize) {
    let report = world.json(&["report", "keys"]);
    let rows = report.as_array().expect("a list");
    assert_eq!(rows.len(), vms);
    assert!(rows.iter().all(|row| row["padlock"] == "encrypted"), "{report}");
}

fn finishes(world: &World, to: &str, vms: usize) {
    let task = world.json(&["vm", "recrypt", "--all", "--to", to]);
    let bulk = &task["outcome"]["bulk"];
    let count = |name: &str| bulk[name].as_u64().unwrap_or_else(|| panic!("no {name}: {task}"));
    assert_eq!((count("changed") + count("already"), count("failed")), (u64::try_from(vms).expect("few"), 0));
}

fn random_below(limit: Duration) -> Duration {
    let number = u64::from_le_bytes(random::array());
    Duration::from_micros(number % u64::try_from(limit.as_micros()).expect("seconds"))
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// A known copy of a VM's home keeps its provider from being removed, and the refusal says where it is.
#[test]
fn a_provider_that_only_a_copy_needs_is_not_removed_unnoticed() {
    let world = World::empty();
    let old = world.active_provider("nkp");
    world.active_provider("nkp-2");
    let homes = ManyHomes::make(&world, &old, 1);
    let copy = world.libvirt.datastore().join("backup");
    cadenas_e2e::run("cp", ["-a", text(&homes.folder()), text(&copy)]);
    let copy = copy.join("vm00000");
    world.cadenas.cadenas(&["copy", "add", text(&copy)]);
    world.cadenas.cadenas(&["vm", "recrypt", "--all", "--to", "nkp-2"]);
    let shown = world.json(&["provider", "show", "nkp"]);
    assert_eq!((&shown["users"][0]["kind"], &shown["users"][0]["path"]), (&"copy".into(), &text(&copy).into()));
    let refusal = world.cadenas.try_cadenas(&["provider", "rm", "nkp"]).failed_with(1);
    assert!(refusal.contains(text(&copy)), "{refusal}");
    world.cadenas.cadenas(&["copy", "rm", text(&copy)]);
    world.cadenas.cadenas(&["provider", "rm", "nkp"]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
