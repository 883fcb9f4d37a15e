//! Valid images to start from. Their clusters are small, so that most changes hit a header or a table.

use std::{fs, path::Path, process::Command};

use cadenas_image::{NewKey, NoProgress, Target, Tuning, convert, open_source};
use cadenas_luks::MIN_ROUNDS;
use cadenas_secret::SecretBytes;
use uuid::Uuid;

use crate::memory::Memory;

/// What every seed holds: 384 KiB with text, noise that does not compress, and holes.
pub(crate) fn disk() -> Vec<u8> {
    let mut disk = vec![0; 384 << 10];
    disk[..5000].fill(b'a');
    for (at, byte) in disk[70_000..72_000].iter_mut().enumerate() {
        *byte = u8::try_from(at * at % 251).expect("a byte");
    }
    disk[200_000..208_000].fill(0xff);
    disk
}

/// Written by QEMU.
pub(crate) fn plain_qcow2() -> Vec<u8> {
    by_qemu(&["-o", "cluster_size=512"])
}

/// Written by QEMU, its clusters compressed with `zlib` or `zstd`.
pub(crate) fn compressed_qcow2(method: &str) -> Vec<u8> {
    by_qemu(&["-c", "-o", &format!("cluster_size=512,compression_type={method}")])
}

/// Written by QEMU with extended L2 entries: some subclusters are data, some zeros, some neither, and one cluster is compressed.
pub(crate) fn extended_qcow2() -> Vec<u8> {
    made(|folder| {
        run(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=16k", "image", "384k"],
            folder,
        );
        let commands =
            ["write -P 1 0 5k", "write -P 2 20k 512", "write -z 24k 1k", "write -c -P 3 64k 16k", "write -z 96k 64k"];
        io(&commands, folder);
    })
}

/// Written by QEMU with what the active disk does not need: two snapshots, and a persistent bitmap.
pub(crate) fn qcow2_with_snapshots() -> Vec<u8> {
    made(|folder| {
        run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "image", "64k"], folder);
        io(&["write -P 1 0 5k"], folder);
        run("qemu-img", &["bitmap", "--add", "-g", "512", "image", "bits"], folder);
        run("qemu-img", &["snapshot", "-c", "first", "image"], folder);
        io(&["write -P 2 2k 5k"], folder);
        run("qemu-img", &["snapshot", "-c", "second", "image"], folder);
    })
}

/// Written by QEMU: an image that leaves most to a backing file of the name `below`.
pub(crate) fn overlay() -> Vec<u8> {
    made(|folder| {
        let make = ["create", "-q", "-u", "-f", "qcow2", "-o", "cluster_size=512", "-b", "below", "-F", "qcow2"];
        fs::write(folder.join("below"), below()).expect("space for a small image");
        run("qemu-img", &[&make[..], &["image", "384k"]].concat(), folder);
        io(&["write -P 1 1k 512", "write -z 8k 4k", "write -P 2 100k 2k"], folder);
    })
}

/// What [`overlay`] stands on: shorter than it, and in part compressed.
pub(crate) fn below() -> Vec<u8> {
    made(|folder| {
        run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "image", "200k"], folder);
        io(&["write -P 3 0 5k", "write -c -P 4 96k 8k"], folder);
    })
}

fn made(make: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make(folder.path());
    fs::read(folder.path().join("image")).expect("the image")
}

fn io(commands: &[&str], folder: &Path) {
    let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
    run("qemu-io", &[&["-f", "qcow2"], &commands[..], &["image"]].concat(), folder);
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output =
        Command::new(program).args(arguments).current_dir(folder).output().expect("QEMU's tools are installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Written by us.
pub(crate) fn encrypted(target: Target) -> Vec<u8> {
    let (plain, image) = (Memory::of(disk()), Memory::of(Vec::new()));
    let source = open_source(&plain, None).expect("a raw image");
    let key = NewKey { passphrase: &passphrase(), rounds: MIN_ROUNDS, uuid: Uuid::new_v4() };
    convert(&source, &image, &target, Some(key), &Tuning::default(), &NoProgress).expect("a valid image");
    image.into_bytes()
}

pub(crate) fn passphrase() -> SecretBytes {
    SecretBytes::take_from(b"passphrase".to_vec())
}

fn by_qemu(options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (raw, qcow2) = (folder.path().join("raw"), folder.path().join("qcow2"));
    fs::write(&raw, disk()).expect("space for a small image");
    qemu_img(options, &raw, &qcow2);
    fs::read(&qcow2).expect("the converted image")
}

fn qemu_img(options: &[&str], from: &Path, to: &Path) {
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", "qcow2"]).args(options).args([from, to]);
    let output = command.output().expect("qemu-img is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
