//! VMs that cannot be encrypted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_e2e::{BOOT, Guest, World, eventually, run, try_run};

use crate::state::refused;

#[test]
fn a_running_vm_and_one_whose_memory_is_saved() {
    let world = World::ready();
    let guest = Guest::with_one_disk("web01", &world.libvirt.datastore());
    world.define(&guest);
    world.libvirt.virsh(&["start", "web01"]);
    guest.wait_for_console("GUEST-READY", BOOT);
    refused(&world, &["vm", "encrypt", "web01"], &["web01", "running, not off", "cadenas vm shutdown web01"]);
    world.libvirt.virsh(&["suspend", "web01"]);
    refused(&world, &["vm", "encrypt", "web01"], &["web01", "paused, not off"]);
    world.libvirt.virsh(&["managedsave", "web01"]);
    let words = ["web01", "managed save", "not yet handled", "virsh managedsave-remove web01"];
    refused(&world, &["vm", "encrypt", "web01"], &words);
    world.libvirt.virsh(&["managedsave-remove", "web01"]);
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
}

#[test]
fn snapshots_and_backing_files() {
    let world = World::ready();
    let datastore = world.libvirt.datastore();
    let guest = Guest::with_one_disk("web01", &datastore);
    world.define(&guest);
    let encrypt = ["vm", "encrypt", "web01"];

    world.libvirt.virsh(&["snapshot-create-as", "web01", "monday"]);
    refused(&world, &encrypt, &["web01", "1 snapshot", "not yet handled", "virsh snapshot-list web01"]);
    world.libvirt.virsh(&["snapshot-delete", "web01", "monday"]);

    let disk = guest.disk_path("vda").display().to_string();
    run("qemu-img", ["snapshot", "-c", "tuesday", &disk]);
    refused(&world, &encrypt, &["vda", &disk, "1 internal snapshot", "qemu-img snapshot -d"]);
    run("qemu-img", ["snapshot", "-d", "tuesday", &disk]);

    world.libvirt.virsh(&["snapshot-create-as", "web01", "wednesday", "--disk-only"]);
    world.libvirt.virsh(&["snapshot-delete", "web01", "wednesday", "--metadata"]);
    refused(&world, &encrypt, &["vda", "web01-vda.wednesday", "has a backing file", &disk, "virsh blockpull"]);
}

#[test]
fn firmware_and_devices_that_are_not_yet_handled_are_named() {
    let world = World::ready();
    let image = plain_image(&world, "plain.raw");
    let disk = disk("file", &format!("file='{}'", image.display()), "raw");
    let firmware = world.libvirt.datastore().join("firmware.fd");
    fs::write(&firmware, [0; 4096]).expect("a file in our own folder");
    let uefi =
        format!("<loader readonly='yes' type='pflash'>{0}</loader><nvram>{0}.vars</nvram><kernel>", firmware.display());
    let vtpm =
        format!("{disk}<tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>");
    for (name, devices, os, word) in
        [("vm-uefi", disk.as_str(), uefi.as_str(), "UEFI variables"), ("vm-vtpm", &vtpm, "<kernel>", "vTPM")]
    {
        define(&world, name, devices, os);
        refused(&world, &["vm", "encrypt", name], &[name, word, "not yet handled"]);
    }
}

#[test]
fn disks_that_are_not_in_files_are_named() {
    let world = World::ready();
    // Looked at, never opened: nothing needs to be behind it.
    let device = world.libvirt.datastore().join("device").display().to_string();
    run("mknod", [&device, "b", "7", "200"]);
    let network = "protocol='nbd' name='export'><host name='192.0.2.1' port='10809'/></source";
    for (name, kind, source, words) in [
        ("vm-block", "block", format!("dev='{device}'"), ["the block device", device.as_str(), "not yet handled"]),
        // libvirt takes a device for a file too.
        ("vm-device", "file", format!("file='{device}'"), ["a block device", &device, "only disks in regular files"]),
        ("vm-network", "network", network.to_owned(), ["a network disk", "nbd", "not yet handled"]),
        ("vm-volume", "volume", "pool='tank' volume='vol1'".to_owned(), ["vol1", "pool tank", "not yet handled"]),
    ] {
        define(&world, name, &disk(kind, &source, "raw"), "<kernel>");
        refused(&world, &["vm", "encrypt", name], &[&["vda"][..], &words].concat());
    }
}

#[test]
fn images_that_cannot_be_encrypted_are_named_with_the_reason() {
    let world = World::ready();
    let datastore = world.libvirt.datastore();
    let path = |name: &str| datastore.join(name).display().to_string();
    luks(&datastore.join("encrypted.qcow2"), "qcow2");
    luks(&datastore.join("encrypted.luks"), "luks");
    plain_image(&world, "plain.raw");
    run("qemu-img", ["create", "-q", "-f", "qcow2", &path("plain.qcow2"), "1M"]);
    fs::write(path("cut.qcow2"), &fs::read(path("plain.qcow2")).expect("it is there")[..100]).expect("written");
    fs::hard_link(plain_image(&world, "linked.raw"), path("second-name.raw")).expect("linked");
    for (name, image, format, words) in [
        ("vm-encrypted", "encrypted.qcow2", "qcow2", ["is encrypted already", "decrypt it first"]),
        ("vm-luks", "encrypted.luks", "raw", ["is encrypted already", "decrypt it first"]),
        ("vm-raw", "plain.qcow2", "raw", ["is qcow2, but the domain says raw", "driver type"]),
        ("vm-qcow2", "plain.raw", "qcow2", ["is raw, but the domain says qcow2", "driver type"]),
        ("vm-linked", "linked.raw", "raw", ["hard links", "remove them"]),
        ("vm-missing", "missing.raw", "raw", ["missing", "only disks in regular files"]),
        ("vm-cut", "cut.qcow2", "qcow2", ["damaged", "qemu-img check"]),
    ] {
        define(&world, name, &disk("file", &format!("file='{}'", path(image)), format), "<kernel>");
        refused(&world, &["vm", "encrypt", name], &["vda", image, words[0], words[1]]);
    }
    let secret = "<encryption format='luks'><secret type='passphrase' uuid='6a3e8b1c-0000-4000-8000-000000000000'/></encryption>";
    let source = format!("file='{}'>{secret}</source", path("encrypted.qcow2"));
    define(&world, "vm-by-libvirt", &disk("file", &source, "qcow2"), "<kernel>");
    refused(&world, &["vm", "encrypt", "vm-by-libvirt"], &["vda", "already encrypted, by libvirt", "--disk"]);
}

#[test]
fn unknown_vms_disks_and_homes() {
    let world = World::ready();
    let datastore = world.libvirt.datastore();
    let guest = Guest::with_one_disk("web01", &datastore);
    world.define(&guest);
    let taken = datastore.join("taken").display().to_string();
    fs::create_dir(&taken).expect("a folder in our own");
    fs::write(datastore.join("taken/file"), "precious").expect("a file in our own folder");
    let file = guest.disk_path("vda").display().to_string();
    for (args, words) in [
        (&["web02"][..], &["web02", "cadenas vm ls"][..]),
        (&["web01", "--disk", "vdz"], &["vdz", "web01", "vda"]),
        (&["web01", "--home", &taken], &[&taken, "not empty", "another"]),
        (&["web01", "--home", &file], &[&file, "not a folder"]),
        (&["web01", "--home", "/nonexistent/a/b"], &["/nonexistent/a", "not there", "--home"]),
        (&["web01", "--provider", "other"], &["other", "cadenas provider ls"]),
        (&["web01", "--policy", "Best Effort"], &["Best Effort", "Datastore Default"]),
    ] {
        refused(&world, &[&["vm", "encrypt"], args].concat(), words);
    }
}

#[test]
fn a_disk_that_is_open_elsewhere() {
    let world = World::ready();
    let guest = Guest::with_one_disk("web01", &world.libvirt.datastore());
    world.define(&guest);
    let disk = guest.disk_path("vda").display().to_string();
    let words = [disk.as_str(), "in use by another program", "fuser -v"];

    let user = QemuIo::opens(&disk);
    refused(&world, &["vm", "encrypt", "web01"], &words);
    drop(user);

    // Another domain runs from the same file.
    let source = format!("file='{disk}'");
    define(&world, "clone", &self::disk("file", &source, "qcow2"), "<kernel>");
    world.libvirt.virsh(&["start", "clone"]);
    refused(&world, &["vm", "encrypt", "web01"], &words);
    world.libvirt.virsh(&["destroy", "clone"]);
    world.libvirt.virsh(&["undefine", "clone"]);

    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);
    let disk = world.home("web01").join("vda.qcow2").display().to_string();
    let user = QemuIo::opens(&disk);
    for args in [&["vm", "start"][..], &["vm", "decrypt"], &["vm", "recrypt", "--deep"]] {
        refused(&world, &[args, &["web01"]].concat(), &[&disk, "in use by another program"]);
    }
    drop(user);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
    for verb in [&["decrypt"][..], &["recrypt", "--deep"], &["unregister"]] {
        refused(
            &world,
            &[&["vm"], verb, &["web01"]].concat(),
            &["web01", "running, not off", "cadenas vm shutdown web01"],
        );
    }
    refused(&world, &["vm", "encrypt", "web01"], &["web01", "already encrypted", "cadenas vm recrypt web01"]);
}

/// Defines a domain with these devices, and this in the place of `<kernel>`.
fn define(world: &World, name: &str, devices: &str, os: &str) {
    let guest = Guest::builder(name, &world.libvirt.datastore()).devices(devices).create();
    let file = guest.xml_file();
    fs::write(&file, guest.xml().replace("<kernel>", os)).expect("a file in our own folder");
    world.libvirt.virsh(&["define", &file.display().to_string()]);
}

fn disk(kind: &str, source: &str, format: &str) -> String {
    // A source with elements in it brings its own end, all but the bracket.
    let end = if source.ends_with("</source") { "" } else { "/" };
    format!(
        "<disk type='{kind}' device='disk'><driver name='qemu' type='{format}'/><source {source}{end}>\
         <target dev='vda' bus='virtio'/></disk>"
    )
}

fn plain_image(world: &World, name: &str) -> PathBuf {
    let path = world.libvirt.datastore().join(name);
    fs::write(&path, vec![0x5a; 1 << 20]).expect("a file in our own folder");
    path
}

/// An image that QEMU encrypted. Its timing of the key derivation fails at times on a busy machine.
fn luks(path: &Path, format: &str) {
    let options = if format == "luks" {
        "key-secret=s,iter-time=10"
    } else {
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    };
    let file = path.display().to_string();
    let args = ["create", "-q", "--object", "secret,id=s,data=passphrase", "-f", format, "-o", options, &file, "1M"];
    let made = || (try_run("qemu-img", args).code == Some(0)).then_some(());
    eventually(BOOT, made, || format!("qemu-img cannot make {file}"));
}

/// A program that has an image open as a running VM does.
struct QemuIo(std::process::Child);

impl QemuIo {
    /// Opens it without a key: the lock is what matters.
    fn opens(image: &str) -> Self {
        use std::{
            io::Read,
            process::{Command, Stdio},
        };
        let mut qemu_io = Command::new("qemu-io");
        qemu_io.args(["-f", "raw", image]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = qemu_io.spawn().expect("qemu-utils is installed");
        // It prompts once the image is open.
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it prompts");
        Self(child)
    }
}

impl Drop for QemuIo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
