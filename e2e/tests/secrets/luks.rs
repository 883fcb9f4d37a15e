//! The keys inside a disk's LUKS header, by cryptsetup and by the specification (LUKS1, version 1.2.3).

use std::{fs, num::NonZeroU32, path::Path};

use cadenas_e2e::run;
use cadenas_secret::{SecretBytes, digest::Hash, pbkdf2};

/// What a passphrase leads to.
pub(crate) struct Keys {
    /// What the sectors are encrypted with.
    pub(crate) volume: Vec<u8>,
    /// What the first slot's key material is encrypted with.
    pub(crate) slot: Vec<u8>,
}

/// More than header and slots have.
const AREA_BYTES: usize = 4 << 20;

/// The keys of a raw LUKS disk or of a qcow2 one with LUKS. Files in `folder` come and go.
pub(crate) fn keys(disk: &Path, passphrase: &str, folder: &Path) -> Keys {
    let file = fs::read(disk).expect("the disk");
    let start = if file.starts_with(b"QFI\xfb") { luks_offset(&file) } else { 0 };
    let area = &file[start..file.len().min(start + AREA_BYTES)];
    let places = ["area", "passphrase", "volume-key"].map(|name| folder.join(name));
    fs::write(&places[0], area).expect("our folder");
    fs::write(&places[1], passphrase).expect("our folder");
    let [header, key_file, volume] = places.each_ref().map(|path| path.display().to_string());
    let dump = ["luksDump", "--batch-mode", "--dump-volume-key", "--key-file", &key_file];
    run("cryptsetup", [&dump[..], &["--volume-key-file", &volume, &header]].concat());
    let keys = Keys { volume: fs::read(&places[2]).expect("dumped"), slot: slot_key(area, passphrase) };
    for path in places {
        fs::remove_file(path).expect("our file");
    }
    keys
}

/// Of the first slot: its rounds at byte 212, its salt at byte 216.
fn slot_key(header: &[u8], passphrase: &str) -> Vec<u8> {
    let rounds = NonZeroU32::new(u32_at(header, 212)).expect("a slot in use");
    let passphrase = SecretBytes::take_from(passphrase.as_bytes().to_vec());
    pbkdf2::derive(Hash::Sha256, &passphrase, &header[216..248], rounds, 64).expose().to_vec()
}

/// Of the header extension "full disk encryption header pointer" (QEMU's `docs/interop/qcow2.txt`).
fn luks_offset(qcow2: &[u8]) -> usize {
    let mut at = 104;
    while u32_at(qcow2, at) != 0x0537_be77 {
        at += 8 + usize::try_from(u32_at(qcow2, at + 4)).expect("a length").next_multiple_of(8);
    }
    let bytes = qcow2[at + 8..at + 16].try_into().expect("8 bytes");
    usize::try_from(u64::from_be_bytes(bytes)).expect("inside the file")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
