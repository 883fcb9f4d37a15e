//! libvirt's daemon is stopped: before a command, and in the middle of a task.

use std::time::Duration;

use cadenas_e2e::{Guest, World, eventually};

use crate::{
    midway::{interrupted, large_guest},
    state::{State, assert_refusal},
};

/// What waits is tried again every minute.
const REPAIR: Duration = Duration::from_secs(90);

#[test]
fn every_command_that_needs_libvirt_says_so_and_the_others_work() {
    let world = World::ready();
    for name in ["web01", "web02"] {
        world.define(&Guest::with_one_disk(name, &world.libvirt.datastore()));
    }
    world.cadenas.cadenas(&["vm", "encrypt", "web02"]);
    let before = State::of(&world);
    world.libvirt.stop();
    for args in [
        &["vm", "ls"][..],
        &["vm", "show", "web01"],
        &["vm", "encrypt", "web01"],
        &["vm", "start", "web01"],
        &["vm", "decrypt", "web02"],
        &["vm", "start", "web02"],
    ] {
        assert_refusal(&world.cadenas.try_cadenas(args), &["cannot reach libvirt", "systemctl status libvirtd"]);
    }
    world.cadenas.cadenas(&["provider", "ls"]);
    world.cadenas.cadenas(&["task", "ls"]);
    let doctor = world.cadenas.try_cadenas(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor}");
    world.libvirt.begin();
    before.assert_still(&world);
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
}

/// A large guest with its marks.
fn marked_large_guest(world: &World) -> Guest {
    let guest = large_guest(world);
    world.marked_guest(guest)
}

fn is_settled(world: &World, padlock: &str) -> bool {
    let vm = world.vm("web01");
    vm["padlock"] == padlock && vm["problem"].is_null()
}

#[test]
fn an_encryption_whose_libvirt_goes_midway_is_finished_when_it_is_back() {
    let world = World::ready();
    let guest = marked_large_guest(&world);
    let ended = interrupted(&world, &["vm", "encrypt", "web01"], || world.libvirt.stop());
    assert_refusal(&ended, &["web01", "is done, but", "undefining", "cannot reach libvirt", "every minute"]);
    assert!(guest.disk_path("vda").exists(), "nothing is removed while libvirt may still use it");
    world.libvirt.begin();
    assert!(!world.vm("web01")["problem"].is_null(), "the VM shows that it waits");
    assert_refusal(&world.cadenas.try_cadenas(&["vm", "start", "web01"]), &["web01", "not settled"]);

    eventually(REPAIR, || is_settled(&world, "encrypted").then_some(()), || world.vm("web01").to_string());
    let events = || world.cadenas.cadenas(&["event", "ls"]);
    eventually(REPAIR, || events().contains("vm.rolled-forward").then_some(()), events);
    assert!(!guest.disk_path("vda").exists());
    assert_eq!(world.libvirt.virsh(&["list", "--all", "--name"]).trim(), "");
    world.start_and_read_marks(&guest);
}

#[test]
fn a_decryption_whose_libvirt_goes_midway_is_finished_at_the_next_start() {
    let mut world = World::ready();
    let guest = marked_large_guest(&world);
    let definition = world.libvirt.virsh(&["dumpxml", "web01", "--security-info"]);
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let ended = interrupted(&world, &["vm", "decrypt", "web01"], || world.libvirt.stop());
    assert_refusal(&ended, &["web01", "is done, but", "defining", "cannot reach libvirt", "every minute"]);
    world.libvirt.begin();
    world.cadenas.restart();
    assert!(is_settled(&world, "none"), "{}", world.vm("web01"));
    assert_eq!(world.libvirt.virsh(&["dumpxml", "web01", "--security-info"]), definition);
    world.start_and_read_marks(&guest);
}
