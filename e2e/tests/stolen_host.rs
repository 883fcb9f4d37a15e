//! A host is stolen while its guest runs: nothing on its disks opens the guest's disk.
//!
//! The control, that the thief's way does work on a domain started as libvirt does by itself, is in `testbed.rs`
//! (`a_thief_finds_the_passphrase_of_a_domain_started_the_usual_way`) and, on our own disk, below.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_e2e::{BOOT, Guest, World, eventually, files_below, passphrases_in, run, try_run};

#[test]
fn nothing_on_a_stolen_host_opens_a_disk() {
    let world = World::ready();
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    world.start_and_read_marks(&guest);

    let stolen = tempfile::tempdir().unwrap();
    world.libvirt.copy_disk_to(&stolen.path().join("libvirt"));
    copy(world.cadenas.data_dir(), &stolen.path().join("cadenas"));
    fs::remove_file(stolen.path().join("cadenas/root.key")).expect("the root seal's key lies elsewhere");
    copy(&world.home("web01"), &stolen.path().join("home"));

    // The known way gives the one-time passphrase, which opens nothing any more.
    let passphrases = passphrases_in(&stolen.path().join("libvirt"));
    assert_eq!(passphrases.len(), 1, "libvirt leaves what it was given");
    let disk = stolen.path().join("home/vda.qcow2");
    let recovered = world.recover(&world.libvirt.datastore().join("nkp.p12"), "web01");
    assert!(opens(&disk, &fs::read_to_string(recovered.join("vda.passphrase")).unwrap()), "the copy is whole");
    for candidate in passphrases.iter().cloned().chain(words_in(&stolen.path().join("libvirt"))) {
        assert!(!opens(&disk, &candidate), "a passphrase on the stolen host opens the disk");
    }
}

/// The same way works where no slot was erased: with the DEK itself given to libvirt.
#[test]
fn the_same_way_opens_our_disk_when_it_is_started_without_the_one_time_slot() {
    let world = World::ready();
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let home = world.home("web01");
    let recovered = world.recover(&world.libvirt.datastore().join("nkp.p12"), "web01");
    start_the_usual_way(&world, &guest, &home, &recovered);

    let stolen = tempfile::tempdir().unwrap();
    world.libvirt.copy_disk_to(&stolen.path().join("libvirt"));
    copy(&home, &stolen.path().join("home"));
    let passphrases = passphrases_in(&stolen.path().join("libvirt"));
    let disk = stolen.path().join("home/vda.qcow2");
    assert!(passphrases.iter().any(|found| opens(&disk, found)), "{} found", passphrases.len());
}

fn start_the_usual_way(world: &World, guest: &Guest, home: &Path, recovered: &Path) {
    let uuid = "5ec4e700-0000-4000-8000-000000000002";
    let secret = home.with_file_name("secret.xml");
    let usage = "<usage type='volume'><volume>usual</volume></usage>";
    fs::write(&secret, format!("<secret ephemeral='yes' private='yes'><uuid>{uuid}</uuid>{usage}</secret>")).unwrap();
    world.libvirt.virsh(&["secret-define", &secret.display().to_string()]);
    let value = recovered.join("vda.passphrase").display().to_string();
    world.libvirt.virsh(&["secret-set-value", uuid, "--file", &value, "--plain"]);
    let encryption = format!("<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>");
    let plain = format!("<source file='{}'/>", guest.disk_path("vda").display());
    let source = format!("<source file='{}'>{encryption}</source>", home.join("vda.qcow2").display());
    let xml = home.with_file_name("usual.xml");
    fs::write(&xml, guest.xml().replace(&plain, &source)).unwrap();
    world.libvirt.virsh(&["create", &xml.display().to_string()]);
    guest.wait_for_console("MARK-READ vda 8 ok", BOOT);
}

/// Everything that could be a passphrase of ours: 64 hex digits in any file.
fn words_in(folder: &Path) -> Vec<String> {
    let mut words = Vec::new();
    for file in files_below(folder) {
        let bytes = fs::read(file).unwrap_or_default();
        let runs = bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == 64);
        words.extend(runs.map(|run| String::from_utf8_lossy(run).into_owned()));
    }
    words.sort();
    words.dedup();
    words
}

fn opens(disk: &Path, passphrase: &str) -> bool {
    let file: PathBuf = disk.with_file_name("candidate");
    fs::write(&file, passphrase).unwrap();
    let secret = format!("secret,id=s,file={}", file.display());
    let image = format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", disk.display());
    let read = ["-r", "--object", &secret, "--image-opts", &image, "-c", "read 0 512"];
    try_run("qemu-io", read).code == Some(0)
}

/// As a power cut would leave it: whatever is on disk at this instant.
fn copy(from: &Path, to: &Path) {
    eventually(
        BOOT,
        || {
            (try_run("cp", ["-a", &from.display().to_string(), &to.display().to_string()]).code == Some(0))
                .then_some(())
        },
        || format!("{} cannot be copied", from.display()),
    );
    run("sync", [to]);
}
