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
