//! Refusals, and all that a refused command must leave as it was.

use std::path::Path;

use cadenas_e2e::{BOOT, Finished, Guest, World, run, try_run};

/// What a user has: files with their bytes, definitions, what QEMU was started with, providers, VMs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    names: String,
    bytes: String,
    domains: String,
    starts: String,
    providers: String,
    vms: String,
}

impl State {
    pub(crate) fn of(world: &World) -> Self {
        let datastore = world.libvirt.datastore();
        Self {
            names: names_below(&datastore),
            bytes: bytes_below(&datastore),
            domains: definitions(world),
            starts: bytes_below(&world.libvirt.log_dir().join("qemu")),
            providers: world.cadenas.cadenas(&["provider", "ls", "-o", "json"]),
            vms: world.cadenas.cadenas(&["vm", "ls", "-o", "json"]),
        }
    }

    /// Panics with the first thing that is no longer as it was.
    #[track_caller]
    pub(crate) fn assert_still(&self, world: &World) {
        let now = Self::of(world);
        for (what, before, now) in [
            ("files", &self.names, &now.names),
            ("their bytes", &self.bytes, &now.bytes),
            ("libvirt's definitions", &self.domains, &now.domains),
            ("starts of QEMU", &self.starts, &now.starts),
            ("providers", &self.providers, &now.providers),
            ("VMs", &self.vms, &now.vms),
        ] {
            assert_eq!(before, now, "{what} have changed");
        }
    }
}

/// Kind, mode and name of everything below a folder.
fn names_below(folder: &Path) -> String {
    sorted(&run("find", [folder.as_os_str(), "-printf".as_ref(), "%y %m %P\n".as_ref()]))
}

/// A digest of every file below a folder; a console is a running guest's own.
fn bytes_below(folder: &Path) -> String {
    let args = ["-type", "f", "!", "-name", "*.console", "-exec", "sha256sum", "{}", "+"];
    // libvirt makes its log folder when it starts the first guest.
    sorted(&try_run("find", [folder.as_os_str()].into_iter().chain(args.map(AsRef::as_ref))).stdout)
}

fn sorted(lines: &str) -> String {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn definitions(world: &World) -> String {
    let listed = world.libvirt.virsh(&["list", "--all", "--persistent", "--uuid"]);
    let mut uuids: Vec<&str> = listed.split_whitespace().collect();
    uuids.sort_unstable();
    let definition = |uuid| world.libvirt.virsh(&["dumpxml", "--inactive", "--security-info", uuid]);
    uuids.into_iter().map(definition).collect()
}

/// Runs a command that must be refused with these words and change nothing; what it said.
#[track_caller]
pub(crate) fn refused(world: &World, args: &[&str], words: &[&str]) -> String {
    refused_with(world, args, "", words)
}

/// As [`refused`], with a password or the like on the command's standard input.
#[track_caller]
pub(crate) fn refused_with(world: &World, args: &[&str], input: &str, words: &[&str]) -> String {
    let before = State::of(world);
    let told = assert_refusal(&world.cadenas.try_cadenas_with(args, input.as_bytes()), words);
    before.assert_still(world);
    told
}

/// A refusal is short, has one of the exit codes for it, and these words.
#[track_caller]
pub(crate) fn assert_refusal(ended: &Finished, words: &[&str]) -> String {
    println!("{ended}");
    assert!(matches!(ended.code, Some(1 | 2)), "{ended}");
    // A verdict on a backup is a table.
    let told = ended.stdout.clone() + &ended.stderr;
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {ended}");
    }
    assert!(told.len() < 1500 && !told.contains("panicked"), "{ended}");
    told
}

/// A VM is plain, and boots.
#[track_caller]
pub(crate) fn assert_plain_and_boots(world: &World, guest: &Guest) {
    assert_eq!(world.padlock(&guest.name), "none");
    std::fs::write(guest.console_path(), "").expect("the console's file");
    world.cadenas.cadenas(&["vm", "start", &guest.name]);
    guest.wait_for_console("GUEST-READY", BOOT);
    assert!(!guest.console().contains("BAD"), "{}", guest.console());
}
