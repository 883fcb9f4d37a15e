//! A real guest is encrypted, runs from its encrypted disks, and comes back as it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_e2e::{DiskFormat, Guest, World, eventually, files_with, run, text, try_run};

const MIB: u64 = 1 << 20;

/// A guest with a sparse qcow2 disk and a raw disk without holes, both with marks.
fn guest_with_both_formats(world: &World) -> Guest {
    let guest = Guest::builder("web01", &world.libvirt.datastore())
        .disk(DiskFormat::Qcow2, 64 * MIB)
        .disk(DiskFormat::Raw, 32 * MIB)
        .create();
    fill_with_noise(&guest.disk_path("vdb"), 32 * MIB);
    world.marked_guest(guest)
}

/// So that the raw disk has no holes, and becomes a raw LUKS volume.
fn fill_with_noise(path: &Path, bytes: u64) {
    let out = format!("of={}", path.display());
    run("dd", ["if=/dev/urandom", &out, "bs=1M", &format!("count={}", bytes / MIB), "status=none"]);
}

/// The guest's bytes of a plain image.
fn raw_copy(image: &Path, format: &str, to: &Path) {
    run("qemu-img", ["convert", "-f", format, "-O", "raw", &image.display().to_string(), &to.display().to_string()]);
}

#[test]
fn an_encrypted_guest_reads_its_marks_back_and_nothing_of_it_lies_in_clear() {
    let world = World::ready();
    let guest = guest_with_both_formats(&world);
    let definition = world.libvirt.virsh(&["dumpxml", "web01", "--security-info"]);
    let originals = world.libvirt.datastore().join("originals");
    fs::create_dir(&originals).unwrap();
    raw_copy(&guest.disk_path("vda"), "qcow2", &originals.join("vda"));
    raw_copy(&guest.disk_path("vdb"), "raw", &originals.join("vdb"));

    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let home = world.home("web01");
    assert_eq!(world.padlock("web01"), "encrypted");
    assert!(!guest.disk_path("vda").exists() && !guest.disk_path("vdb").exists(), "the plain disks are gone");
    assert_eq!(world.libvirt.virsh(&["list", "--all", "--name"]).trim(), "", "libvirt holds no definition");

    world.start_and_read_marks(&guest);
    world.cadenas.cadenas(&["vm", "kill", "web01"]);

    nothing_in_clear(&world, &home, &definition);
    let backup = world.back_up("nkp");
    let recovered = world.recover(&backup, "web01");
    judged_by_qemu_and_cryptsetup(&home, &recovered);
    same_bytes(&home, &recovered, &originals);
    assert_eq!(fs::read_to_string(recovered.join("web01.xml")).unwrap().trim(), definition.trim());

    let verified = world.json(&["vm", "verify", "web01"]);
    let objects = verified["outcome"]["objects"].as_array().expect("objects");
    assert_eq!(objects.len(), 3);
    assert!(objects.iter().all(|object| object["encrypted"] == true && object["problem"].is_null()), "{verified}");
}

fn nothing_in_clear(world: &World, home: &Path, definition: &str) {
    assert_eq!(files_with(home, &Guest::MARK_PREFIXES), Vec::<PathBuf>::new(), "a mark lies in clear");
    let lines: Vec<&str> = definition.lines().map(str::trim).filter(|line| line.len() >= 8).collect();
    for folder in [home, &world.libvirt.config_dir(), &world.libvirt.state_dir(), &world.libvirt.run_dir()] {
        assert_eq!(files_with(folder, &lines), Vec::<PathBuf>::new(), "the domain's XML lies in clear");
    }
}

fn judged_by_qemu_and_cryptsetup(home: &Path, recovered: &Path) {
    let vda = home.join("vda.qcow2").display().to_string();
    let check =
        try_run("qemu-img", ["check", "--object", &secret(recovered, "vda"), "--image-opts", &opened(home, "vda")]);
    assert!(check.clone().ok().contains("No errors were found"), "{check}");
    assert!(run("qemu-img", ["info", &vda]).contains("encrypted: yes"));
    let vdb = home.join("vdb.luks").display().to_string();
    let dump = run("cryptsetup", ["luksDump", &vdb]);
    assert!(dump.contains("xts-plain64") && dump.contains("Key Slot 1: DISABLED"), "{dump}");
    let passphrase = recovered.join("vdb.passphrase").display().to_string();
    run("cryptsetup", ["open", "--test-passphrase", "--type", "luks1", &vdb, "--key-file", &passphrase]);
}

fn secret(recovered: &Path, target: &str) -> String {
    format!("secret,id=s,file={}", recovered.join(format!("{target}.passphrase")).display())
}

/// How QEMU's tools are told to open an encrypted disk.
fn opened(home: &Path, target: &str) -> String {
    if target == "vda" {
        format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", home.join("vda.qcow2").display())
    } else {
        format!("driver=luks,key-secret=s,file.filename={}", home.join("vdb.luks").display())
    }
}

fn same_bytes(home: &Path, recovered: &Path, originals: &Path) {
    for target in ["vda", "vdb"] {
        let plain = originals.join(format!("{target}.recovered")).display().to_string();
        let (secret, opened) = (secret(recovered, target), opened(home, target));
        run("qemu-img", ["convert", "--object", &secret, "--image-opts", &opened, "-O", "raw", &plain]);
        run("cmp", [&plain, &originals.join(target).display().to_string()]);
    }
}

#[test]
fn decrypting_brings_the_definition_and_the_disks_back_as_they_were() {
    let world = World::ready();
    let guest = guest_with_both_formats(&world);
    world.libvirt.virsh(&["autostart", "web01"]);
    let definition = world.libvirt.virsh(&["dumpxml", "web01", "--security-info"]);
    let raw = fs::read(guest.disk_path("vdb")).unwrap();
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let home = world.home("web01");
    world.cadenas.cadenas(&["vm", "decrypt", "web01"]);

    assert_eq!(world.padlock("web01"), "none");
    assert!(!home.exists());
    assert_eq!(world.libvirt.virsh(&["dumpxml", "web01", "--security-info"]), definition);
    assert!(world.libvirt.virsh(&["dominfo", "web01"]).contains("Autostart:      enable"));
    assert!(fs::read(guest.disk_path("vdb")).unwrap() == raw, "the raw disk is the same, byte for byte");
    run("qemu-img", ["check", &guest.disk_path("vda").display().to_string()]);
    world.start_and_read_marks(&guest);
}

#[test]
fn a_sparse_disk_stays_sparse_and_the_guest_sees_the_same_size() {
    let world = World::ready();
    let guest = Guest::builder("thin", &world.libvirt.datastore()).disk(DiskFormat::Raw, 512 * MIB).create();
    let guest = world.marked_guest(guest);
    world.cadenas.cadenas(&["vm", "encrypt", "thin"]);
    let vm = world.vm("thin");
    assert_eq!(vm["disks"][0]["format"], "qcow2");
    assert_eq!(vm["disks"][0]["size"], 512 * MIB);
    let file = text(&vm["disks"][0]["source"]);
    let used: u64 = run("du", ["--block-size=1", &file]).split('\t').next().unwrap().parse().unwrap();
    assert!(used < 32 * MIB, "{used} bytes for a few marks");
    world.start_and_read_marks(&guest);
}

#[test]
fn only_the_chosen_disk_is_encrypted_and_the_other_stays_where_it_is() {
    let world = World::ready();
    let guest = guest_with_both_formats(&world);
    let home = world.libvirt.datastore().join("elsewhere");
    let at = home.display().to_string();
    world.cadenas.cadenas(&["vm", "encrypt", "web01", "--disk", "vda", "--home", &at]);
    let vm = world.vm("web01");
    assert_eq!(text(&vm["home"]), at);
    assert_eq!(vm["disks"].as_array().unwrap().len(), 2);
    assert_eq!((&vm["disks"][0]["encrypted"], &vm["disks"][1]["encrypted"]), (&true.into(), &false.into()));
    assert!(guest.disk_path("vdb").exists() && !guest.disk_path("vda").exists());
    world.start_and_read_marks(&guest);
}

#[test]
fn deep_recrypt_rewrites_every_disk_under_new_keys() {
    let world = World::ready();
    let guest = guest_with_both_formats(&world);
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let backup = world.back_up("nkp");
    let before = world.recover(&backup, "web01");
    let old = fs::read(before.join("vda.passphrase")).unwrap();
    fs::remove_dir_all(&before).unwrap();
    world.cadenas.cadenas(&["vm", "recrypt", "--deep", "web01"]);
    let after = world.recover(&backup, "web01");
    assert_ne!(fs::read(after.join("vda.passphrase")).unwrap(), old);
    assert_eq!(fs::read_dir(world.home("web01")).unwrap().count(), 3, "one descriptor, two disks, nothing old");
    world.start_and_read_marks(&guest);
}

#[test]
fn shutting_down_waits_for_the_guest() {
    let world = World::ready();
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    world.start_and_read_marks(&guest);
    world.cadenas.cadenas(&["vm", "shutdown", "web01"]);
    assert_eq!(world.vm("web01")["power"], "off");
    let events = || world.cadenas.cadenas(&["event", "ls"]);
    eventually(cadenas_e2e::BOOT, || events().contains("vm.stopped").then_some(()), events);
}
