//! What someone finds who has the files of a machine that was switched off.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::command::try_run_with;

/// Every passphrase that can be had from a copy of libvirt's files.
///
/// libvirt starts QEMU with `-object {"qom-type":"secret",…,"data":…,"iv":…}` for each disk's passphrase, encrypted with
/// AES-256-CBC under the key in `domain-N-NAME/master-key.aes`, and logs the command line. Every such object in any file
/// is tried with every such key.
#[must_use]
pub fn passphrases_in(copy: &Path) -> Vec<String> {
    let files = files_below(copy);
    let keys: Vec<Vec<u8>> = files
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "master-key.aes"))
        .filter_map(|path| fs::read(path).ok())
        .collect();
    let objects: Vec<SecretObject> = files.iter().flat_map(|path| secret_objects_in(path)).collect();
    let mut found: Vec<String> =
        objects.iter().flat_map(|object| keys.iter().filter_map(|key| object.open(key))).collect();
    found.sort();
    found.dedup();
    found
}

/// Every file below a folder, whatever it is named.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be read to its end").path();
            // A file can go while the folder is being read; a link is not followed.
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => folders.push(path),
                Ok(metadata) if metadata.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files
}

/// The files below a folder that hold any of these texts.
#[must_use]
pub fn files_with(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| texts.iter().any(|text| contains(&bytes, text)));
    files_below(folder).into_iter().filter(holds).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    let Some(&first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// A secret on a logged command line: both in base64.
struct SecretObject {
    data: String,
    iv: String,
}

impl SecretObject {
    fn open(&self, key: &[u8]) -> Option<String> {
        let iv = decoded(&self.iv)?;
        let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["enc", "-d", "-aes-256-cbc", "-K", &hex(key), "-iv", &hex(&iv)]);
        let plain = try_run_with(&mut openssl, &decoded(&self.data)?);
        // With a wrong key the padding is wrong, or by chance right and the rest noise.
        let is_text = !plain.stdout.is_empty() && plain.stdout.chars().all(|c| !c.is_control() && c != '\u{fffd}');
        (plain.code == Some(0) && is_text).then_some(plain.stdout)
    }
}

fn secret_objects_in(path: &Path) -> Vec<SecretObject> {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    text.split("\"qom-type\":\"secret\"")
        .skip(1)
        .filter_map(|object| {
            let object = &object[..object.find('}')?];
            Some(SecretObject { data: field(object, "data")?, iv: field(object, "iv")? })
        })
        .collect()
}

/// The value of `"name":"…"`; base64 holds nothing that JSON escapes but `/`.
fn field(object: &str, name: &str) -> Option<String> {
    let value = object.split_once(&format!("\"{name}\":\""))?.1;
    Some(value[..value.find('"')?].replace("\\/", "/"))
}

fn decoded(base64: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in base64.bytes().filter(|&byte| byte != b'=') {
        let value =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&at| at == byte)?;
        bits = bits << 6 | u32::try_from(value).expect("at most 63");
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("one byte"));
        }
    }
    Some(out)
}
