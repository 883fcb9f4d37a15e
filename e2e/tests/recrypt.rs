//! Shallow recrypt: another key while the guest runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use cadenas_e2e::{BOOT, DiskFormat, Guest, World, eventually, run, text};

fn four_disks(world: &World, steps: &str) -> Guest {
    let builder = (0..4).fold(Guest::builder("web01", &world.libvirt.datastore()), |builder, _| {
        builder.disk(DiskFormat::Qcow2, 16 << 20)
    });
    let guest = builder.steps(steps).create();
    world.define(&guest);
    guest
}

fn digests(home: &Path) -> Vec<(PathBuf, String)> {
    let disks = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let mut disks: Vec<_> = disks.filter(|path| path.extension().is_some_and(|it| it != "cadenas")).collect();
    disks.sort();
    disks.into_iter().map(|path| (path.clone(), run("sha256sum", [path]))).collect()
}

#[test]
fn no_disk_byte_of_an_idle_guest_changes_and_the_old_provider_can_go() {
    let world = World::ready();
    let guest = four_disks(&world, "marks,idle");
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
    guest.wait_for_console("GUEST-IDLE", BOOT);
    let home = world.home("web01");
    let before = digests(&home);
    assert_eq!(before.len(), 4);

    world.active_provider("nkp-2");
    let refused = world.cadenas.try_cadenas(&["provider", "rm", "nkp"]).failed_with(1);
    assert!(refused.contains("web01"), "the refusal lists the VMs: {refused}");
    world.cadenas.cadenas(&["vm", "recrypt", "web01", "--provider", "nkp-2"]);
    assert_eq!(digests(&home), before);
    assert_eq!(world.vm("web01")["providers"][0]["name"], "nkp-2");
    world.cadenas.cadenas(&["provider", "rm", "nkp"]);

    world.cadenas.cadenas(&["vm", "kill", "web01"]);
    world.start_and_read_marks(&guest);
}

#[test]
fn a_writing_guest_is_never_paused() {
    let world = World::ready();
    let guest = four_disks(&world, "marks,tick");
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
    guest.wait_for_console("TICK vdd 2", BOOT);
    let events = Events::watch(&world);
    world.active_provider("nkp-2");
    for at in 0..20 {
        let task = world.json(&["vm", "recrypt", "web01", "--provider", ["nkp-2", "nkp"][at % 2]]);
        assert_eq!(task["outcome"]["changed"], true, "{task}");
    }
    let ticks = || guest.console().matches("TICK").count();
    let seen = ticks();
    eventually(BOOT, || (ticks() > seen + 8).then_some(()), || guest.console());
    assert!(!guest.console().contains("BAD"), "{}", guest.console());
    assert_eq!(events.heard(), "", "libvirt tells of no pause");
}

#[test]
fn recrypting_with_the_present_key_changes_nothing() {
    let world = World::ready();
    four_disks(&world, "idle");
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let descriptor = world.home("web01").join("web01.cadenas");
    let before = fs::read(&descriptor).unwrap();
    let task = world.json(&["vm", "recrypt", "web01"]);
    assert_eq!(task["outcome"]["changed"], false, "{task}");
    assert_eq!(fs::read(&descriptor).unwrap(), before);
    assert!(text(&task["outcome"]["message"]).contains("already"));
}

/// libvirt's lifecycle events, from `virsh event`.
struct Events {
    process: Child,
    log: PathBuf,
}

impl Events {
    fn watch(world: &World) -> Self {
        let log = world.libvirt.datastore().join("events.log");
        let file = fs::File::create(&log).unwrap();
        let process = Command::new("virsh")
            .args(["-q", "-c", &world.libvirt.uri(), "event", "--event", "lifecycle", "--loop"])
            .stdin(Stdio::null())
            .stdout(file)
            .spawn()
            .unwrap();
        Self { process, log }
    }

    fn heard(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        fs::read_to_string(&self.log).unwrap()
    }
}
