//! Disks of an encrypted VM that are not what was sealed: refused before QEMU sees them.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use cadenas_e2e::{DiskFormat, Guest, World, run};

use crate::state::{State, refused};

const MIB: u64 = 1 << 20;

/// Two encrypted VMs, each with a qcow2 disk and a raw LUKS volume.
fn two_vms() -> World {
    let world = World::ready();
    for name in ["web01", "web02"] {
        let guest = Guest::builder(name, &world.libvirt.datastore())
            .disk(DiskFormat::Qcow2, 16 * MIB)
            .disk(DiskFormat::Raw, MIB)
            .create();
        fs::write(guest.disk_path("vdb"), vec![0x5a; 1 << 20]).expect("a file in our own folder");
        world.define(&guest);
        world.cadenas.cadenas(&["vm", "encrypt", name]);
    }
    world
}

fn patch(path: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("our own file");
    file.write_all_at(bytes, offset).expect("written");
}

/// Names a backing file, as `qemu-img rebase -u` would with the passphrase (QEMU's docs/interop/qcow2.txt, bytes 8 to 20).
fn back(path: &Path, backing_file: &str) {
    let place = 0x8000_u64 - 64;
    patch(path, place, backing_file.as_bytes());
    patch(path, 8, &place.to_be_bytes());
    patch(path, 16, &u32::try_from(backing_file.len()).expect("short").to_be_bytes());
}

/// Writes another cipher mode into the LUKS header (LUKS1 specification, byte 40).
fn another_cipher(path: &Path) {
    let bytes = fs::read(path).expect("our own file");
    let header = bytes.windows(6).position(|window| window == b"LUKS\xba\xbe").expect("a LUKS header");
    patch(path, u64::try_from(header).expect("small") + 40, b"cbc-plain64");
}

fn copy(from: &Path, to: &Path) {
    fs::remove_file(to).expect("our own file");
    fs::copy(from, to).expect("copied");
}

/// What somebody does to the disk (first) with the other VM's home (second) at hand.
type Change = fn(&Path, &Path);

const CHANGES: [(&str, &str, Change); 9] = [
    ("vda.qcow2", "is another disk", |disk, other| copy(&other.join("vda.qcow2"), disk)),
    ("vdb.luks", "is another disk", |disk, other| copy(&other.join("vdb.luks"), disk)),
    ("vda.qcow2", "has another format", |disk, other| copy(&other.join("vdb.luks"), disk)),
    ("vda.qcow2", "is not encrypted", |disk, _| {
        fs::remove_file(disk).expect("our own file");
        run("qemu-img", ["create", "-q", "-f", "qcow2", &disk.display().to_string(), "16M"]);
    }),
    ("vdb.luks", "is not encrypted", |disk, _| fs::write(disk, vec![0; 1 << 20]).expect("written")),
    ("vda.qcow2", "has a backing file", |disk, _| back(disk, "/etc/passwd")),
    ("vda.qcow2", "has another cipher: aes-cbc-plain64", |disk, _| another_cipher(disk)),
    ("vdb.luks", "has another cipher: aes-cbc-plain64", |disk, _| another_cipher(disk)),
    ("vda.qcow2", "is missing", |disk, _| fs::remove_file(disk).expect("our own file")),
];

#[test]
fn a_disk_that_was_swapped_or_changed_is_refused_before_qemu_sees_it() {
    let world = two_vms();
    let home = |name: &str| -> PathBuf { world.libvirt.datastore().join(name) };
    let before = State::of(&world);
    for (file, words, change) in CHANGES {
        let disk = home("web01").join(file);
        let kept = world.libvirt.log_dir().join(file);
        copy_new(&disk, &kept);
        change(&disk, &home("web02"));
        for verb in ["start", "decrypt"] {
            refused(&world, &["vm", verb, "web01"], &[&file[..3], &disk.display().to_string(), words, "from a copy"]);
        }
        let verified = world.cadenas.try_cadenas(&["vm", "verify", "web01"]);
        assert_eq!(verified.code, Some(1), "{verified}");
        assert!((verified.stdout.clone() + &verified.stderr).contains(words), "{verified}");
        fs::rename(&kept, &disk).expect("on one file system");
    }
    before.assert_still(&world);
    world.cadenas.cadenas(&["vm", "start", "web01"]);
}

fn copy_new(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copied");
}
