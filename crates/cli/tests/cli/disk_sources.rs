//! `cadenas disk encrypt` of disks in several files, and of other programs' disks.

use std::{fs, path::Path};

use crate::{
    disk::{content, folder},
    program::{other, run_in},
};

#[test]
fn an_image_and_what_it_stands_on_become_one() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("bases")).expect("made");
    fs::write(here.join("bases/base.raw"), content(2_000_000)).expect("written");
    overlay(here, "bases/middle", "base.raw", "raw");
    overlay(here, "top", "bases/middle", "qcow2");
    other(here, "qemu-io", &["-f", "qcow2", "-c", "write -P 7 70000 100000", "-c", "write -z 1M 64k", "top"]);
    let told = encrypt(here, &["top", "e"]).refused(1);
    assert!(told.contains("top has the backing file \"bases/middle\"") && told.contains("--flatten"), "{told}");
    encrypt(here, &["--flatten", "top", "e"]).ok();
    assert_holds(here, "e", "top", "qcow2");
}

#[test]
fn an_encrypted_image_is_decrypted_with_what_it_stands_on() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("base.raw"), content(1 << 20)).expect("written");
    fs::write(here.join("key"), b"secret").expect("written");
    let secret = ["--object", "secret,id=s,file=key"];
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let make = ["create", "-q", "-f", "qcow2", "-o", options, "-b", "base.raw", "-F", "raw", "top"];
    other(here, "qemu-img", &[&make[..2], &secret, &make[2..]].concat());
    let opened = "driver=qcow2,encrypt.key-secret=s,file.filename=top";
    other(here, "qemu-io", &[&secret[..], &["--image-opts", opened, "-c", "write -P 9 5000 60000"]].concat());
    run_in(here, &["disk", "decrypt", "--flatten", "top", "back", "--passphrase-file", "pw"]).ok();
    let theirs = ["convert", "--image-opts", opened, "-O", "raw", "theirs"];
    other(here, "qemu-img", &[&theirs[..1], &secret, &theirs[1..]].concat());
    assert!(fs::read(here.join("back")).expect("there") == fs::read(here.join("theirs")).expect("there"));
}

#[test]
fn a_chain_is_followed_only_as_far_as_it_is_said_and_sound() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("base.raw"), content(65_536)).expect("written");
    let name_backing = |image: &str, backing: &str, format: &[&str]| {
        let rebase = ["rebase", "-u", "-f", "qcow2", "-b", backing];
        other(here, "qemu-img", &[&rebase[..], format, &[image]].concat());
    };
    let refused = |word: &str| {
        let told = encrypt(here, &["--flatten", "top", "e"]).refused(1);
        assert!(told.contains(word), "{told}");
        assert!(!here.join("e").exists());
    };
    overlay(here, "middle", "base.raw", "raw");
    overlay(here, "top", "middle", "qcow2");
    name_backing("middle", "top", &["-F", "qcow2"]);
    refused("the chain comes back to");
    fs::hard_link(here.join("top"), here.join("other-name")).expect("linked");
    name_backing("middle", "other-name", &["-F", "qcow2"]);
    refused("the chain comes back to");
    name_backing("middle", "nbd://host/disk", &["-F", "raw"]);
    refused("not a file of this host");
    name_backing("middle", "base.raw", &["-F", "vmdk"]);
    refused("\"vmdk\"");
    name_backing("middle", "gone.raw", &["-F", "raw"]);
    refused("gone.raw failed");
    name_backing("middle", "/dev/null", &["-F", "raw"]);
    refused("not a regular file");
}

#[test]
fn a_backing_file_of_which_nobody_said_the_format_is_not_guessed_to_be_raw() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("base.raw"), content(65_536)).expect("written");
    overlay(here, "top", "base.raw", "raw");
    forget_format(here, "top");
    let told = encrypt(here, &["--flatten", "top", "e"]).refused(1);
    assert!(told.contains("top does not say what format") && told.contains("rebase"), "{told}");
    // A qcow2 image is told, as QEMU tells it, but not believed what it names in turn: a guest could have written it.
    other(here, "qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2"]);
    overlay(here, "upon", "base.qcow2", "qcow2");
    forget_format(here, "upon");
    encrypt(here, &["--flatten", "upon", "e"]).ok();
    overlay(here, "base.qcow2", "base.raw", "raw");
    let told = encrypt(here, &["--flatten", "upon", "e2"]).refused(1);
    assert!(told.contains("upon does not say what format"), "{told}");
}

#[test]
fn a_disk_of_another_program_is_read_if_the_user_says_what_it_is() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("plain"), content(3 << 20)).expect("written");
    for (name, format, options) in [
        ("sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
        ("disk.vhdx", "vhdx", "subformat=dynamic"),
        ("disk.vdi", "vdi", "static=off"),
    ] {
        other(here, "qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, "plain", name]);
        let told = encrypt(here, &[name, "e"]).refused(1);
        assert!(told.contains(&format!("begins like a {format} image")), "{told}");
        let encrypted = format!("{name}.luks");
        encrypt(here, &["--source-format", format, name, &encrypted, "-O", "luks"]).ok();
        assert_holds(here, &encrypted, name, format);
    }
    other(here, "qemu-img", &["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "plain", "flat.vmdk"]);
    let told = encrypt(here, &["--source-format", "vmdk", "flat.vmdk", "e"]).refused(1);
    assert!(told.contains("not opened unasked") && told.contains("--flatten"), "{told}");
    encrypt(here, &["--source-format", "vmdk", "--flatten", "flat.vmdk", "e"]).ok();
    assert_holds(here, "e", "flat.vmdk", "vmdk");
    // A raw disk whose guest wrote the magic number is still a raw disk.
    encrypt(here, &["--source-format", "raw", "sparse.vmdk", "as-raw"]).ok();
    assert_holds(here, "as-raw", "sparse.vmdk", "raw");
}

fn encrypt(here: &Path, args: &[&str]) -> crate::program::Ended {
    run_in(here, &[&["disk", "encrypt", "--passphrase-file", "pw", "--iter-time", "10"], args].concat())
}

fn overlay(here: &Path, name: &str, base: &str, format: &str) {
    other(here, "qemu-img", &["create", "-q", "-f", "qcow2", "-b", base, "-F", format, name]);
}

/// As images of QEMU before version 6.1 often were: takes the header extension's type away.
fn forget_format(here: &Path, name: &str) {
    let mut bytes = fs::read(here.join(name)).expect("there");
    let at = bytes.windows(4).position(|word| word == [0xe2, 0x79, 0x2a, 0xca]).expect("the extension");
    bytes[at..at + 4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    fs::write(here.join(name), bytes).expect("written");
}

/// What we encrypted decrypts to the disk that QEMU reads in the source.
fn assert_holds(here: &Path, encrypted: &str, source: &str, format: &str) {
    run_in(here, &["disk", "decrypt", encrypted, "ours.raw", "--passphrase-file", "pw"]).ok();
    other(here, "qemu-img", &["convert", "-f", format, "-O", "raw", source, "theirs.raw"]);
    let [mut ours, mut theirs] = ["ours.raw", "theirs.raw"].map(|name| fs::read(here.join(name)).expect("there"));
    for bytes in [&mut ours, &mut theirs] {
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    assert!(ours == theirs, "{source}");
    fs::remove_file(here.join("ours.raw")).expect("removed");
}
