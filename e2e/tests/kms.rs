//! Leaving a key server that others wrote, and coming back, with real guests.

use std::{fs, time::Duration};

use cadenas_e2e::{BOOT, DiskFormat, Guest, PyKmip, World, eventually, text};
use serde_json::Value;

const NAMES: [&str; 3] = ["web01", "web02", "db01"];

#[test]
fn running_vms_leave_a_key_server_that_is_shut_down_for_good_and_come_back() {
    let (mut world, mut kms) = (World::empty(), PyKmip::start());
    world.standard_provider("cluster", &[&kms]);
    let guests = NAMES.map(|name| ticking_guest(&world, name));
    for name in NAMES {
        assert_eq!(provider_of(&world, name), "cluster");
    }
    world.active_provider("MY-NKP");
    world.cadenas.cadenas(&["provider", "set-default", "MY-NKP"]);
    let told = world.cadenas.cadenas(&["vm", "recrypt", "--all"]);
    assert!(told.contains("3 VMs re-encrypted, 0 already so, 0 failed"), "{told}");
    kms.stop();
    guests.iter().for_each(goes_on);
    for guest in &guests {
        assert_eq!(provider_of(&world, &guest.name), "MY-NKP");
        world.cadenas.cadenas(&["vm", "kill", &guest.name]);
        world.start_and_read_marks(guest);
    }
    assert_eq!(world.json(&["provider", "show", "cluster"])["vms"], 0);
    world.cadenas.cadenas(&["provider", "rm", "cluster"]);

    kms.restart();
    world.standard_provider("cluster", &[&kms]);
    world.cadenas.cadenas(&["vm", "recrypt", "--all", "--from", "MY-NKP", "--to", "cluster"]);
    world.cadenas.cadenas(&["provider", "rm", "MY-NKP"]);
    for guest in &guests {
        world.cadenas.cadenas(&["vm", "kill", &guest.name]);
    }
    // A server that begins anew has no key in memory and fetches what its VMs need.
    world.cadenas.restart();
    for guest in &guests {
        world.start_and_read_marks(guest);
    }
}

#[test]
fn vms_of_a_key_server_that_is_away_are_locked_and_unlock_by_themselves() {
    let (mut world, mut kms) = (World::empty(), PyKmip::start());
    world.standard_provider("cluster", &[&kms]);
    let guest = ticking_guest(&world, "web01");
    kms.stop();
    goes_on(&guest);
    world.cadenas.cadenas(&["vm", "kill", "web01"]);
    world.start_and_read_marks(&guest);
    world.cadenas.cadenas(&["vm", "kill", "web01"]);
    world.cadenas.restart();
    assert_eq!(world.padlock("web01"), "locked");
    let refusal = world.cadenas.try_cadenas(&["vm", "start", "web01"]).failed_with(1);
    assert!(refusal.contains("VM web01 is locked") && refusal.contains(&kms.address()), "{refusal}");
    assert_eq!(world.json(&["provider", "show", "cluster"])["state"], "degraded");
    kms.restart();
    let unlocked = || (world.padlock("web01") == "encrypted").then_some(());
    eventually(Duration::from_mins(2), unlocked, || world.cadenas.log());
    world.start_and_read_marks(&guest);
}

/// What the key server's administrator does to a key, and what becomes of it here.
#[test]
fn a_key_whose_state_changes_in_the_key_server_raises_an_alarm_and_is_left() {
    for (state, seen, due) in [
        ("DEACTIVATED", "deactivated", "shallow"),
        ("COMPROMISED", "compromised", "deep"),
        ("DESTROYED", "destroyed", "shallow"),
        ("DESTROYED_COMPROMISED", "destroyed-compromised", "deep"),
    ] {
        let world = World::with(cadenas_e2e::CadenasOptions::default().args(&["--kms-check", "1"]));
        let kms = PyKmip::start();
        world.standard_provider("cluster", &[&kms]);
        let guest = ticking_guest(&world, "web01");
        let before = world.vm("web01")["providers"][0].clone();
        kms.set_state(&text(&before["kms_key"]), state);
        let alarm = || world.json(&["provider", "show", "cluster"])["alarms"].get(0).cloned();
        let alarm = eventually(BOOT, alarm, || format!("no alarm for {state}: {}", world.cadenas.log()));
        assert_eq!((&alarm["state"], &alarm["vms"][0]), (&seen.into(), &"web01".into()), "{alarm}");
        assert!(has_event(&world, &format!("provider.key-{seen}")));
        assert_eq!(world.vm("web01")["due"]["kind"], due);
        goes_on(&guest);
        let task = world.json(&["vm", "recrypt", "web01"]);
        assert_eq!(task["outcome"]["changed"], true, "a key in that state wraps nothing any more: {task}");
        assert_ne!(world.vm("web01")["providers"][0]["kms_key"], before["kms_key"]);
        assert!(alarm_is_over(&world));
    }
}

#[test]
fn a_hundred_recrypts_go_on_when_the_first_of_two_key_servers_is_killed_midway() {
    let world = World::empty();
    let mut first = PyKmip::start();
    let second = first.twin();
    world.standard_provider("cluster", &[&first, &second]);
    world.active_provider("nkp");
    let guest = plain_guest(&world, "web01");
    world.define(&guest);
    world.cadenas.cadenas(&["vm", "encrypt", "web01", "--provider", "nkp"]);
    for at in 0..100 {
        if at == 50 {
            first.stop();
        }
        let provider = ["cluster", "nkp"][at % 2];
        let task = world.json(&["vm", "recrypt", "web01", "--provider", provider]);
        assert_eq!(task["outcome"]["changed"], true, "recrypt {at}: {task}");
    }
}

#[test]
fn a_test_tells_step_by_step_what_works() {
    let (world, mut kms) = (World::empty(), PyKmip::start());
    world.standard_provider("cluster", &[&kms]);
    let test = world.json(&["provider", "test", "cluster"]);
    let steps: Vec<&Value> = test[0]["steps"].as_array().expect("steps").iter().map(|step| &step["ok"]).collect();
    assert_eq!(steps, [true; 5], "{test}");
    kms.stop();
    let told = world.cadenas.try_cadenas(&["provider", "test", "cluster"]);
    assert!(told.code == Some(1) && told.stdout.contains("connection refused"), "{told}");
}

#[test]
fn a_certificate_request_is_signed_by_the_key_servers_authority() {
    let (world, kms) = (World::empty(), PyKmip::start());
    let folder = world.libvirt.datastore();
    let path = |name: &str| folder.join(name).display().to_string();
    world.cadenas.cadenas(&["provider", "create", "cluster", "--kind", "standard", "--kms", &kms.address()]);
    world.cadenas.cadenas(&["provider", "trust", "cluster", "--ca", &kms.ca().display().to_string()]);
    world.cadenas.cadenas(&["provider", "identity", "cluster", "--csr", "--out", &path("cadenas.csr")]);
    let signed = kms.sign(&fs::read_to_string(path("cadenas.csr")).expect("written"));
    fs::write(path("cadenas.crt"), signed).expect("written");
    world.cadenas.cadenas(&["provider", "identity", "cluster", "--signed", &path("cadenas.crt")]);
    world.cadenas.cadenas(&["provider", "test", "cluster"]);
}

fn plain_guest(world: &World, name: &str) -> Guest {
    Guest::builder(name, &world.libvirt.datastore()).disk(DiskFormat::Qcow2, 16 << 20).steps("marks,tick").create()
}

/// An encrypted guest that runs and writes.
fn ticking_guest(world: &World, name: &str) -> Guest {
    let guest = world.marked_guest(plain_guest(world, name));
    world.cadenas.cadenas(&["vm", "encrypt", name]);
    world.cadenas.cadenas(&["vm", "start", name]);
    guest.wait_for_console("TICK vda 2", BOOT);
    guest
}

fn goes_on(guest: &Guest) {
    let ticks = || guest.console().matches("TICK").count();
    let seen = ticks();
    eventually(BOOT, || (ticks() > seen + 2).then_some(()), || guest.console());
    assert!(!guest.console().contains("BAD"), "{}", guest.console());
}

fn provider_of(world: &World, vm: &str) -> String {
    text(&world.vm(vm)["providers"][0]["name"])
}

fn has_event(world: &World, kind: &str) -> bool {
    world.json(&["event", "ls"]).as_array().expect("events").iter().any(|event| event["kind"] == kind)
}

fn alarm_is_over(world: &World) -> bool {
    world.json(&["provider", "show", "cluster"])["alarms"].get(0).is_none()
}
