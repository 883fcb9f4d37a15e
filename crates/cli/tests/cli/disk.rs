//! `cadenas disk` on real files, with qemu-img and cryptsetup as judges.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    passwords::private,
    program::{other, run_in, run_with_input},
    terminal::Terminal,
};

/// Sizes in bytes, around every unit that matters: sector, cluster, segment, and none.
const SIZES: [usize; 7] = [512, 1_000, 65_536, 65_537, 1_048_576 - 512, 3_000_000, 9_999_872];

#[test]
fn what_is_encrypted_opens_in_qemu_and_comes_back_byte_for_byte() {
    for size in SIZES {
        let folder = folder();
        let here = folder.path();
        let plain = content(size);
        fs::write(here.join("plain"), &plain).expect("written");
        for format in ["qcow2", "luks"] {
            let (encrypted, back) = (format!("encrypted.{format}"), format!("back.{format}"));
            run_in(
                here,
                &["disk", "encrypt", "plain", &encrypted, "-O", format, "--passphrase-file", "pw", "--iter-time", "10"],
            )
            .ok();
            assert!(!contains(&fs::read(here.join(&encrypted)).expect("there"), MARK), "{format} {size}");
            assert_eq!(by_qemu(here, &encrypted, format), padded(&plain), "{format} {size}");
            run_in(here, &["disk", "decrypt", &encrypted, &back, "--passphrase-file", "pw"]).ok();
            assert_eq!(fs::read(here.join(&back)).expect("there"), padded(&plain), "{format} {size}");
        }
    }
}

#[test]
fn what_is_decrypted_to_qcow2_opens_in_qemu() {
    let folder = folder();
    let here = folder.path();
    let plain = content(3_000_320);
    fs::write(here.join("plain"), &plain).expect("written");
    let options = ["--passphrase-file", "pw"];
    run_in(here, &[&["disk", "encrypt", "plain", "e", "--iter-time", "10"][..], &options].concat()).ok();
    run_in(here, &[&["disk", "decrypt", "e", "d.qcow2", "-O", "qcow2"][..], &options].concat()).ok();
    other(here, "qemu-img", &["check", "d.qcow2"]);
    other(here, "qemu-img", &["convert", "-O", "raw", "d.qcow2", "d.raw"]);
    assert_eq!(fs::read(here.join("d.raw")).expect("there"), plain);
}

#[test]
fn a_luks_volume_opens_in_cryptsetup() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(65_536)).expect("written");
    run_in(here, &["disk", "encrypt", "plain", "e", "-O", "luks", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    private(&here.join("key"), b"secret");
    other(here, "cryptsetup", &["open", "--test-passphrase", "--type", "luks1", "e", "--key-file", "key"]);
    assert!(other(here, "cryptsetup", &["luksDump", "e"]).contains("xts-plain64"));
}

#[test]
fn what_qemu_encrypted_is_decrypted() {
    let folder = folder();
    let here = folder.path();
    let plain = content(5_000_192);
    fs::write(here.join("plain"), &plain).expect("written");
    private(&here.join("key"), b"secret");
    for (format, options) in [
        ("qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"),
        ("luks", "key-secret=s,iter-time=10"),
    ] {
        let (encrypted, back) = (format!("q.{format}"), format!("q.{format}.raw"));
        let args = ["convert", "--object", "secret,id=s,file=key", "-O", format, "-o", options, "plain", &encrypted];
        other(here, "qemu-img", &args);
        run_in(here, &["disk", "check", &encrypted, "--passphrase-file", "pw"]).ok();
        run_in(here, &["disk", "decrypt", &encrypted, &back, "--passphrase-file", "pw"]).ok();
        assert_eq!(fs::read(here.join(&back)).expect("there"), plain, "{format}");
    }
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let folder = folder();
    let here = folder.path();
    let file = fs::File::create(here.join("plain")).expect("made");
    file.set_len(1 << 30).expect("a file of holes");
    std::os::unix::fs::FileExt::write_all_at(&file, MARK, 700 << 20).expect("written");
    run_in(here, &["disk", "encrypt", "plain", "e", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    run_in(here, &["disk", "decrypt", "e", "back", "--passphrase-file", "pw"]).ok();
    for name in ["e", "back"] {
        let taken = fs::metadata(here.join(name)).expect("there").blocks() * 512;
        assert!(taken < 8 << 20, "{name} takes {taken} bytes");
    }
    other(here, "cmp", &["plain", "back"]);
}

#[test]
fn info_tells_what_an_image_is_without_its_passphrase() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(1_000_000)).expect("written");
    run_in(here, &["disk", "encrypt", "plain", "e", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    let text = run_in(here, &["disk", "info", "e"]).ok();
    assert!(text.contains("Cipher      aes-xts-plain64 (luks1)"), "{text}");
    let info: Value = serde_json::from_str(&run_in(here, &["disk", "info", "e", "-o", "json"]).ok()).expect("JSON");
    assert_eq!((&info["format"], &info["virtual_size"]), (&"qcow2".into(), &1_000_448.into()));
    let qemu: Value = serde_json::from_str(&other(here, "qemu-img", &["info", "--output=json", "e"])).expect("JSON");
    assert_eq!(info["encryption"]["uuid"], qemu["format-specific"]["data"]["encrypt"]["uuid"]);
    let plain: Value =
        serde_json::from_str(&run_in(here, &["disk", "info", "plain", "-o", "json"]).ok()).expect("JSON");
    assert_eq!((&plain["format"], &plain["encryption"]), (&"raw".into(), &Value::Null));
}

#[test]
fn a_damaged_image_fails_the_check() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(1_000_000)).expect("written");
    run_in(here, &["disk", "encrypt", "plain", "e", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    let said = run_in(here, &["disk", "check", "e", "--passphrase-file", "pw"]).ok();
    assert!(said.contains("is whole, and the passphrase opens its key slot 0"), "{said}");
    let mut bytes = fs::read(here.join("e")).expect("there");
    let l1_table = usize::try_from(u64::from_be_bytes(bytes[40..48].try_into().expect("eight"))).expect("small");
    bytes[l1_table + 2] ^= 0x40;
    fs::write(here.join("e"), bytes).expect("written");
    let ended = run_in(here, &["disk", "check", "e", "--passphrase-file", "pw"]);
    assert_eq!(ended.status, Some(1), "{}{}", ended.out, ended.err);
    assert!(format!("{}{}", ended.out, ended.err).contains("e "), "it names the image");
}

#[test]
fn a_passphrase_is_typed_twice_to_encrypt_and_once_to_decrypt() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(512)).expect("written");
    let at = |args: &[&str]| {
        Terminal::run(args, |command| {
            command.current_dir(here);
        })
    };
    let mut person = at(&["disk", "encrypt", "plain", "e", "--iter-time", "10"]);
    person.expect("New passphrase of e: ").type_line("secret").expect("again: ").type_line("secret");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    let mut person = at(&["disk", "decrypt", "e", "back"]);
    person.expect("Passphrase of e: ").type_line("secret");
    assert_eq!(person.end().0, Some(0));
    assert_eq!(fs::read(here.join("back")).expect("there"), content(512));
}

#[test]
fn a_passphrase_comes_from_standard_input_too() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(512)).expect("written");
    let args = ["disk", "encrypt", "plain", "e", "--passphrase-file", "-", "--iter-time", "10"];
    run_with_input(here, &args, b"secret\n").ok();
    run_in(here, &["disk", "check", "e", "--passphrase-file", "pw"]).ok();
}

#[test]
fn the_new_image_is_only_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(512)).expect("written");
    run_in(here, &["disk", "encrypt", "plain", "e", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    assert_eq!(fs::metadata(here.join("e")).expect("there").permissions().mode() & 0o777, 0o600);
}

/// What no ciphertext shows.
pub(crate) const MARK: &[u8] = b"a mark that no ciphertext shows";

/// A folder with the passphrase `secret` in `pw`.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    private(&folder.path().join("pw"), b"secret\n");
    folder
}

/// Bytes of which no two sectors are alike, with marks.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let numbers = (0_u64..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mut bytes: Vec<u8> = numbers.take(size).collect();
    for sector in bytes.chunks_exact_mut(4096) {
        sector[..MARK.len()].copy_from_slice(MARK);
    }
    bytes
}

/// A disk ends with a whole sector.
fn padded(plain: &[u8]) -> Vec<u8> {
    let mut disk = plain.to_vec();
    disk.resize(plain.len().next_multiple_of(512), 0);
    disk
}

/// The disk as QEMU reads it.
fn by_qemu(here: &Path, image: &str, format: &str) -> Vec<u8> {
    private(&here.join("key"), b"secret");
    let (raw, prefix) = (format!("{image}.raw"), if format == "qcow2" { "encrypt." } else { "" });
    let opened = format!("driver={format},{prefix}key-secret=s,file.filename={image}");
    let args = ["convert", "--object", "secret,id=s,file=key", "--image-opts", &opened, "-O", "raw", &raw];
    other(here, "qemu-img", &args);
    fs::read(here.join(raw)).expect("there")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
