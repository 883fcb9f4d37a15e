//! `kill -9` at every step of every transition: after a restart the VM is whole, and starts.
//!
//! The steps come from the code (`cadenas_vmhome::Step::ALL`), so that a new one is tested by itself.

use std::time::Duration;

use cadenas_e2e::{Guest, World, eventually};
use cadenas_vmhome::Step;

const KILLED: Duration = Duration::from_mins(1);

/// A world with a marked guest that is off; plain or encrypted.
struct Scene {
    world: World,
    guest: Guest,
}

impl Scene {
    fn new() -> Self {
        let world = World::ready();
        let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
        Self { world, guest }
    }

    fn make(&self, padlock: &str) {
        let now = self.world.padlock("web01");
        match (now.as_str(), padlock) {
            ("none", "encrypted") => drop(self.world.cadenas.cadenas(&["vm", "encrypt", "web01"])),
            ("encrypted", "none") => drop(self.world.cadenas.cadenas(&["vm", "decrypt", "web01"])),
            _ => assert_eq!(now, padlock),
        }
    }

    /// Runs a command whose server kills itself at `step`, restarts the server, and checks that the VM is whole.
    fn survives(&mut self, step: Step, command: &[&str]) {
        self.world.cadenas.set_env("CADENAS_CRASH_AT", step.label());
        self.world.cadenas.restart();
        let lost = self.world.cadenas.try_cadenas(command);
        assert_ne!(lost.code, Some(0), "{step}: the server was not killed: {lost}");
        assert_eq!(self.world.cadenas.wait_for_end(KILLED), None, "{step}: killed by a signal");
        self.world.cadenas.set_env("CADENAS_CRASH_AT", "");
        self.world.cadenas.restart();
        self.is_whole(step);
    }

    fn is_whole(&self, step: Step) {
        let vm = self.world.vm("web01");
        assert!(vm["problem"].is_null(), "{step}: {vm}");
        assert_ne!(vm["padlock"], "locked", "{step}: {vm}");
        self.world.cadenas.cadenas(&["vm", "kill", "web01"]);
        self.world.start_and_read_marks(&self.guest);
        self.world.cadenas.cadenas(&["vm", "kill", "web01"]);
        if vm["padlock"] == "encrypted" {
            self.world.cadenas.cadenas(&["vm", "verify", "web01"]);
        }
    }
}

fn steps_of(transition: &str) -> impl Iterator<Item = Step> {
    Step::ALL.iter().copied().filter(move |step| step.transition() == transition)
}

#[test]
fn every_transition_has_its_test_here() {
    const TESTED: [&str; 10] = [
        "encrypt",
        "decrypt",
        "recrypt",
        "deep-recrypt",
        "encrypt-in-place",
        "decrypt-in-place",
        "deep-recrypt-in-place",
        "start",
        "rollback",
        "rollback-in-place",
    ];
    for step in Step::ALL {
        assert!(TESTED.contains(&step.transition()), "{step} is not killed at by any test");
    }
}

#[test]
fn killed_at_every_step_of_encrypt() {
    let mut scene = Scene::new();
    for step in steps_of("encrypt") {
        scene.make("none");
        scene.survives(step, &["vm", "encrypt", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_decrypt() {
    let mut scene = Scene::new();
    for step in steps_of("decrypt") {
        scene.make("encrypted");
        scene.survives(step, &["vm", "decrypt", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_recrypt() {
    let mut scene = Scene::new();
    scene.make("encrypted");
    for (at, step) in steps_of("recrypt").enumerate() {
        let provider = format!("nkp-{at}");
        scene.world.active_provider(&provider);
        scene.survives(step, &["vm", "recrypt", "web01", "--provider", &provider]);
    }
}

#[test]
fn killed_at_every_step_of_deep_recrypt() {
    let mut scene = Scene::new();
    scene.make("encrypted");
    for step in steps_of("deep-recrypt") {
        scene.survives(step, &["vm", "recrypt", "--deep", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_encrypt_in_place() {
    let mut scene = Scene::new();
    for step in steps_of("encrypt-in-place") {
        scene.make("none");
        scene.survives(step, &["vm", "encrypt", "--in-place", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_decrypt_in_place() {
    let mut scene = Scene::new();
    for step in steps_of("decrypt-in-place") {
        scene.make("encrypted");
        scene.survives(step, &["vm", "decrypt", "--in-place", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_deep_recrypt_in_place() {
    let mut scene = Scene::new();
    scene.make("encrypted");
    for step in steps_of("deep-recrypt-in-place") {
        scene.survives(step, &["vm", "recrypt", "--deep", "--in-place", "web01"]);
    }
}

#[test]
fn killed_at_every_step_of_start() {
    let mut scene = Scene::new();
    scene.make("encrypted");
    for step in steps_of("start") {
        scene.survives(step, &["vm", "start", "web01"]);
    }
}

/// A rollback is itself interrupted: the server dies again while it repairs, and once more is started.
#[test]
fn killed_at_every_step_of_a_rollback() {
    let mut scene = Scene::new();
    for step in steps_of("rollback") {
        scene.make("none");
        scene.world.cadenas.set_env("CADENAS_CRASH_AT", Step::EncryptDescriptorStaged.label());
        scene.world.cadenas.restart();
        assert_ne!(scene.world.cadenas.try_cadenas(&["vm", "encrypt", "web01"]).code, Some(0));
        assert_eq!(scene.world.cadenas.wait_for_end(KILLED), None);
        scene.world.cadenas.set_env("CADENAS_CRASH_AT", step.label());
        // It listens before it repairs, so that clients wait rather than fail; then it dies.
        if scene.world.cadenas.try_start().is_ok() {
            assert_eq!(scene.world.cadenas.wait_for_end(KILLED), None, "{step}: killed by a signal");
        }
        scene.world.cadenas.set_env("CADENAS_CRASH_AT", "");
        scene.world.cadenas.restart();
        scene.is_whole(step);
        scene.make("none");
    }
}

/// Disks that are rewritten in place are taken back, and the server dies while it does.
#[test]
fn killed_at_every_step_of_a_rollback_in_place() {
    let mut scene = Scene::new();
    for step in steps_of("rollback-in-place") {
        scene.make("none");
        scene.world.cadenas.set_env("CADENAS_CRASH_AT", step.label());
        scene.world.cadenas.restart();
        let slow = ["vm", "encrypt", "--in-place", "--rate-limit", "256K", "--detach", "web01"];
        let task = scene.world.cadenas.cadenas(&slow).trim().to_owned();
        let plain = scene.guest.disk_path("vda");
        eventually(KILLED, || (!plain.exists()).then_some(()), || format!("{step}: the disk is not moved"));
        scene.world.cadenas.try_cadenas(&["task", "cancel", &task]);
        assert_eq!(scene.world.cadenas.wait_for_end(KILLED), None, "{step}: killed by a signal");
        scene.world.cadenas.set_env("CADENAS_CRASH_AT", "");
        scene.world.cadenas.restart();
        scene.is_whole(step);
        assert_eq!(scene.world.padlock("web01"), "none", "{step}");
    }
}
