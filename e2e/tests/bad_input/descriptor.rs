//! Descriptors that are not what was written. The unit tests change every byte; here a few are changed under a server.

use std::{fs, path::PathBuf};

use cadenas_e2e::{Guest, World};

use crate::state::{State, refused};

/// Two VMs under the same key, encrypted; neither has ever run.
fn two_vms() -> World {
    let world = World::ready();
    for name in ["web01", "web02"] {
        world.define(&Guest::with_one_disk(name, &world.libvirt.datastore()));
        world.cadenas.cadenas(&["vm", "encrypt", name]);
    }
    world
}

fn descriptor(world: &World, name: &str) -> PathBuf {
    world.libvirt.datastore().join(name).join(format!("{name}.cadenas"))
}

/// Refused in every way that would use the VM, while the list still shows both.
#[track_caller]
fn unusable(world: &World, words: &[&str]) {
    for verb in [&["decrypt"][..], &["recrypt", "--deep"], &["unlock"]] {
        refused(world, &[&["vm"], verb, &["web01"]].concat(), words);
    }
    neither_starts_nor_is_recrypted(world, words);
    world.cadenas.cadenas(&["vm", "verify", "web02"]);
}

#[track_caller]
fn neither_starts_nor_is_recrypted(world: &World, words: &[&str]) {
    for verb in ["start", "recrypt"] {
        refused(world, &["vm", verb, "web01"], words);
    }
    let list = world.cadenas.cadenas(&["vm", "ls"]);
    assert!(list.contains("web01") && list.contains("web02"), "{list}");
    assert!(!world.vm("web01")["problem"].is_null(), "the VM shows its problem");
    assert_eq!(world.padlock("web02"), "encrypted");
}

#[test]
fn a_changed_byte_anywhere() {
    let world = two_vms();
    let path = descriptor(&world, "web01");
    let whole = fs::read(&path).expect("a descriptor");
    let before = State::of(&world);
    let places =
        ["\"vm\": \"", "\"policy\": \"", "luks_uuid\": \"", "\"salt\": \"", "\"wrapped\": \"", "ciphertext\": \""];
    let text = String::from_utf8(whole.clone()).expect("JSON is text");
    let of_values = places.map(|place| text.find(place).expect("a field") + place.len());
    for at in of_values.into_iter().chain([0, 20, whole.len() - 1]) {
        let mut changed = whole.clone();
        // Another digit, letter or sign, so that what can be read is read.
        changed[at] ^= 1;
        fs::write(&path, &changed).expect("written");
        neither_starts_nor_is_recrypted(&world, &["web01.cadenas"]);
    }
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("written");
        neither_starts_nor_is_recrypted(&world, &["web01.cadenas"]);
    }
    fs::write(&path, &whole).expect("written");
    before.assert_still(&world);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
}

#[test]
fn an_unknown_format_version() {
    let world = two_vms();
    let path = descriptor(&world, "web01");
    let text = fs::read_to_string(&path).expect("a descriptor");
    fs::write(&path, text.replace("\"cadenas\": 1", "\"cadenas\": 3")).expect("written");
    let words = ["web01.cadenas", "format version 3 is unknown here", "newer Cadenas"];
    unusable(&world, &words);
    world.cadenas.cadenas(&["vm", "unregister", "web01"]);
    refused(&world, &["vm", "register", &path.display().to_string()], &words);
    fs::write(&path, &text).expect("written");
    world.cadenas.cadenas(&["vm", "register", &path.display().to_string()]);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
}

#[test]
fn key_safe_entries_of_another_vm() {
    let world = two_vms();
    let paths = ["web01", "web02"].map(|name| descriptor(&world, name));
    let [mine, theirs] = paths.clone().map(|path| fs::read_to_string(path).expect("a descriptor"));
    fs::write(&paths[0], mine.replace(key_safe(&mine), key_safe(&theirs))).expect("written");
    unusable(&world, &["web01.cadenas", "changed or belongs to another VM", "copy that you trust"]);
    fs::write(&paths[0], &mine).expect("written");
    world.cadenas.cadenas(&["vm", "start", "web01"]);
}

fn key_safe(text: &str) -> &str {
    let start = text.find("\"key_safe\"").expect("a field");
    let end = text.find("\"configuration\": {").expect("a field");
    &text[start..end]
}

#[test]
fn a_home_that_is_gone_or_is_no_home() {
    let world = two_vms();
    let datastore = world.libvirt.datastore();
    let home = datastore.join("web01");
    fs::rename(&home, datastore.join("away")).expect("renamed");
    unusable(&world, &["web01.cadenas", "is gone", "bring its datastore back"]);
    let file = datastore.join("nkp.p12").display().to_string();
    let folder = datastore.display().to_string();
    for (path, word) in [
        (home.display().to_string(), "no VM home"),
        (folder, "no descriptor"),
        (file, "must end in .cadenas"),
        // The same VM from a second place, while the first may come back.
        (datastore.join("web02/vda.qcow2").display().to_string(), "must end in .cadenas"),
    ] {
        refused(&world, &["vm", "register", &path], &[&path, word]);
    }
    fs::rename(datastore.join("away"), &home).expect("renamed");
    world.cadenas.cadenas(&["vm", "start", "web01"]);
}
