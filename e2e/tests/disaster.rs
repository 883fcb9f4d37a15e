//! Another site: a copy of the VM home and the backup file, or the key server, are enough.

use cadenas_e2e::{Cadenas, Guest, PrivateLibvirt, PyKmip, World, run, text};

#[test]
fn a_copied_home_and_the_backup_file_start_the_vm_on_another_server() {
    let world = World::ready();
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let home = world.home("web01").display().to_string();
    let backup = world.libvirt.datastore().join("nkp.p12");

    let other = World::empty();
    let copied = other.libvirt.datastore().join("web01").display().to_string();
    run("cp", ["-a", &home, &copied]);
    let moved = other.libvirt.datastore().join("nkp.p12");
    run("cp", ["-a", &backup.display().to_string(), &moved.display().to_string()]);
    other.cadenas.cadenas(&["vm", "register", &copied]);

    // Locked: it says what it lacks, and does not start.
    let vm = other.vm("web01");
    let provider = world.json(&["provider", "show", "nkp"]);
    assert_eq!(vm["padlock"], "locked");
    assert_eq!(vm["missing_keys"][0]["provider"], provider["id"]);
    assert_eq!(vm["missing_keys"][0]["key"], provider["key"]);
    let refused = other.cadenas.try_cadenas(&["vm", "start", "web01"]).failed_with(1);
    assert!(refused.contains(&text(&provider["id"])) && refused.contains(&text(&provider["key"])), "{refused}");

    drop(other.restore(&moved).ok());
    assert_eq!(other.padlock("web01"), "encrypted", "it unlocks by itself");
    other.start_and_read_marks(&guest);
}

#[test]
fn a_copied_home_and_the_key_server_start_the_vm_under_a_provider_of_the_same_id() {
    let (world, other, kms) = (World::empty(), World::empty(), PyKmip::start());
    world.standard_provider("cluster", &[&kms]);
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let home = world.home("web01").display().to_string();
    let copied = other.libvirt.datastore().join("web01").display().to_string();
    run("cp", ["-a", &home, &copied]);
    other.cadenas.cadenas(&["vm", "register", &copied]);
    other.standard_provider("another", &[&kms]);
    assert_eq!(other.padlock("web01"), "locked", "the same key server under another ID gives no key");

    let id = text(&other.vm("web01")["missing_keys"][0]["provider"]);
    other.standard_provider_with("cluster", &[&kms], &["--id", &id]);
    let twice = ["provider", "create", "twice", "--kind", "standard", "--kms", "kms1", "--id", &id];
    let refused = other.cadenas.try_cadenas(&twice).failed_with(1);
    assert!(refused.contains("cluster") && refused.contains(&id), "{refused}");
    let native = other.cadenas.try_cadenas(&["provider", "create", "nkp", "--id", &id]).failed_with(1);
    assert!(native.contains("cadenas provider restore"), "{native}");
    other.start_and_read_marks(&guest);
}

#[test]
fn a_dry_run_changes_nothing_and_a_second_restore_says_so() {
    let world = World::ready();
    let backup = world.libvirt.datastore().join("nkp.p12").display().to_string();
    let libvirt = PrivateLibvirt::start();
    let other = Cadenas::start(&libvirt.uri());
    let restore = |more: &[&str]| {
        let args = [&["provider", "restore", &backup, "--password-file", "-", "-o", "json"], more].concat();
        let said = other.cadenas_with(&args, cadenas_e2e::BACKUP_PASSWORD.as_bytes());
        text(&serde_json::from_str::<serde_json::Value>(&said).unwrap()["outcome"])
    };
    assert_eq!(restore(&["--dry-run"]), "created");
    assert_eq!(other.cadenas(&["provider", "ls", "-o", "json"]).trim(), "[]");
    assert_eq!(restore(&["--name", "from-paris"]), "created");
    assert_eq!(restore(&[]), "already-so");
}
