//! What `cadenas disk` refuses, and that it leaves nothing behind.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    disk::{content, folder},
    passwords::private,
    program::{cadenas, other, run_in},
};

#[test]
fn a_format_that_makes_no_sense_is_explained() {
    let (folder, _) = with_images();
    let told = encrypt(folder.path(), "plain", &["-O", "raw"], 2);
    assert!(told.contains("no room for a LUKS header") && told.contains("`-O luks`"), "{told}");
    let told = decrypt(folder.path(), "encrypted", &["-O", "luks"], 2);
    assert!(told.contains("`luks` is an encrypted format"), "{told}");
}

#[test]
fn one_file_cannot_be_both_sides() {
    let (folder, before) = with_images();
    let here = folder.path();
    fs::hard_link(here.join("plain"), here.join("link")).expect("linked");
    std::os::unix::fs::symlink("plain", here.join("symlink")).expect("linked");
    for dst in ["plain", "./plain", "link", "symlink"] {
        let told = run_in(here, &["disk", "encrypt", "plain", dst, "--passphrase-file", "pw"]).refused(2);
        assert!(told.contains("are the same file"), "{told}");
    }
    assert_eq!(fs::read(here.join("plain")).expect("there"), before);
}

#[test]
fn a_destination_that_is_there_is_not_touched() {
    let (folder, _) = with_images();
    let here = folder.path();
    fs::write(here.join("new"), b"precious").expect("written");
    std::os::unix::fs::symlink("nowhere", here.join("dangling")).expect("linked");
    for dst in ["new", "dangling", "."] {
        let told = run_in(here, &["disk", "encrypt", "plain", dst, "--passphrase-file", "pw"]).refused(1);
        assert!(told.contains("is there already and was not touched"), "{told}");
    }
    assert_eq!(fs::read(here.join("new")).expect("there"), b"precious");
}

#[test]
fn an_encrypted_image_is_not_encrypted_again_nor_a_plain_one_decrypted() {
    let (folder, _) = with_images();
    let here = folder.path();
    other(here, "cryptsetup", &["luksFormat", "--type", "luks1", "-q", "--iter-time", "10", "luks1", "pw"]);
    for image in ["encrypted", "luks1"] {
        let told = encrypt(here, image, &[], 1);
        assert!(told.contains(&format!("{image} is already encrypted")), "{told}");
    }
    for image in ["plain", "plain.qcow2"] {
        let told = decrypt(here, image, &[], 1);
        assert!(told.contains(&format!("{image} is not encrypted")), "{told}");
    }
    let told = run_in(here, &["disk", "check", "plain", "--passphrase-file", "pw"]).refused(1);
    assert!(told.contains("plain is not encrypted"), "{told}");
}

#[test]
fn a_backing_file_is_refused_by_name() {
    let (folder, _) = with_images();
    let here = folder.path();
    other(here, "qemu-img", &["create", "-q", "-f", "qcow2", "-b", "plain.qcow2", "-F", "qcow2", "overlay"]);
    let told = encrypt(here, "overlay", &[], 1);
    assert!(told.contains("overlay has the backing file \"plain.qcow2\""), "{told}");
}

#[test]
fn snapshots_are_refused() {
    let (folder, _) = with_images();
    let here = folder.path();
    other(here, "qemu-img", &["snapshot", "-c", "before", "plain.qcow2"]);
    let told = encrypt(here, "plain.qcow2", &[], 1);
    assert!(told.contains("internal snapshot") && told.contains("qemu-img snapshot -d"), "{told}");
}

#[test]
fn a_wrong_passphrase_is_told_and_leaves_nothing() {
    let (folder, _) = with_images();
    let here = folder.path();
    private(&here.join("pw"), b"another");
    let told = decrypt(here, "encrypted", &[], 1);
    assert!(told.contains("the passphrase opens no key slot of encrypted"), "{told}");
    let told = run_in(here, &["disk", "check", "encrypted", "--passphrase-file", "pw"]).refused(1);
    assert!(told.contains("opens no key slot"), "{told}");
}

#[test]
fn what_is_no_image_file_is_refused() {
    let (folder, _) = with_images();
    let here = folder.path();
    other(here, "mkfifo", &["pipe"]);
    for (src, expected) in [
        ("missing", "opening missing failed: No such file or directory"),
        ("/dev/null", "/dev/null is not a regular file"),
        ("pipe", "pipe is not a regular file"),
        (".", ". is not a regular file"),
    ] {
        let told = encrypt(here, src, &[], 1);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn damaged_images_are_refused() {
    let (folder, _) = with_images();
    let here = folder.path();
    let whole = fs::read(here.join("encrypted")).expect("there");
    for cut in [6, 60, 104, 4096, 70_000] {
        fs::write(here.join("cut"), &whole[..cut]).expect("written");
        let told = decrypt(here, "cut", &[], 1);
        assert!(told.contains("cut"), "{told}");
    }
    other(
        here,
        "cryptsetup",
        &[
            "luksFormat",
            "--type",
            "luks2",
            "-q",
            "--pbkdf-force-iterations",
            "4",
            "--pbkdf-memory",
            "32",
            "luks2",
            "pw",
        ],
    );
    let told = decrypt(here, "luks2", &[], 1);
    assert!(told.contains("luks2") && told.contains("version"), "{told}");
}

#[test]
fn an_image_that_another_program_uses_is_refused() {
    let (folder, _) = with_images();
    let here = folder.path();
    let user = Holder::opens(here, "plain.qcow2");
    let told = encrypt(here, "plain.qcow2", &[], 1);
    assert!(told.contains("plain.qcow2 is in use by another program"), "{told}");
    drop(user);
    run_in(here, &["disk", "encrypt", "plain.qcow2", "new", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
}

#[test]
fn too_little_room_is_told_before_the_first_byte() {
    let (folder, _) = with_images();
    let here = folder.path();
    // Sparse, and larger than any datastore that a test meets.
    fs::File::create(here.join("huge")).expect("made").set_len(8 << 40).expect("grown");
    let told = encrypt(here, "huge", &["-O", "luks"], 1);
    assert!(told.contains("new needs up to 8 TiB, but . has ") && told.contains("free some space"), "{told}");
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let (folder, _) = with_images();
    let args = ["disk", "encrypt", "plain", "missing/new", "--passphrase-file", "pw"];
    let told = run_in(folder.path(), &args).refused(1);
    assert!(told.contains("cannot use the folder missing: No such file"), "{told}");
}

#[test]
fn a_full_datastore_midway_leaves_nothing() {
    let (folder, _) = with_images();
    let here = folder.path();
    fs::write(here.join("large"), content(8 << 20)).expect("written");
    // A limit on the size of files stands for a datastore that fills up; SIGXFSZ is ignored so that the write fails.
    let command = format!(
        "trap '' XFSZ; ulimit -f 4096; exec {} disk encrypt large new --passphrase-file pw --iter-time 10",
        env!("CARGO_BIN_EXE_cadenas")
    );
    let output = Command::new("bash").current_dir(here).args(["-c", &command]).output().expect("bash runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("of new failed: File too large"), "{told}");
    assert!(!here.join("new").exists());
}

#[test]
fn a_stop_midway_leaves_nothing() {
    let (folder, _) = with_images();
    let here = folder.path();
    // Holes become ciphertext in a LUKS volume: work for some seconds without a large source.
    fs::File::create(here.join("large")).expect("made").set_len(4 << 30).expect("grown");
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = cadenas()
            .current_dir(here)
            .args(["disk", "encrypt", "large", "new", "-O", "luks", "--passphrase-file", "pw", "--iter-time", "10"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        wait_until(|| fs::metadata(here.join("new")).is_ok_and(|new| new.len() > 0));
        std::thread::sleep(Duration::from_millis(100));
        kill_process(Pid::from_child(&child), signal).expect("our own child");
        assert_eq!(child.wait().expect("our own child").code(), Some(1), "{signal:?}");
        assert!(!here.join("new").exists(), "{signal:?}");
    }
}

/// A program that holds an image as a running VM does.
struct Holder(Child);

impl Holder {
    fn opens(here: &Path, image: &str) -> Self {
        let mut child = Command::new("qemu-io")
            .current_dir(here)
            .args(["-f", "qcow2", image])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-io starts");
        // It prompts once the image is open.
        let mut prompt = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut prompt).expect("it prompts");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

/// A folder with `plain`, `plain.qcow2` and `encrypted`, and what is in the first.
fn with_images() -> (TempDir, Vec<u8>) {
    let folder = folder();
    let here = folder.path();
    let plain = content(1 << 20);
    fs::write(here.join("plain"), &plain).expect("written");
    fs::File::create(here.join("luks1")).expect("made").set_len(4 << 20).expect("grown");
    fs::File::create(here.join("luks2")).expect("made").set_len(32 << 20).expect("grown");
    other(here, "qemu-img", &["convert", "-O", "qcow2", "plain", "plain.qcow2"]);
    run_in(here, &["disk", "encrypt", "plain", "encrypted", "--passphrase-file", "pw", "--iter-time", "10"]).ok();
    (folder, plain)
}

#[track_caller]
fn encrypt(here: &Path, src: &str, more: &[&str], status: i32) -> String {
    refused(here, "encrypt", src, more, status)
}

#[track_caller]
fn decrypt(here: &Path, src: &str, more: &[&str], status: i32) -> String {
    refused(here, "decrypt", src, more, status)
}

/// Tries to make `new`; it must be refused, and nothing made.
#[track_caller]
fn refused(here: &Path, verb: &str, src: &str, more: &[&str], status: i32) -> String {
    let told =
        run_in(here, &[&["disk", verb, src, "new", "--passphrase-file", "pw"][..], more].concat()).refused(status);
    assert!(!here.join("new").exists(), "{told}");
    told
}

#[track_caller]
fn wait_until(ready: impl Fn() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
