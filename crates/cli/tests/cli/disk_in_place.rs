//! `cadenas disk --in-place`, `resume`, `cancel` and `bench` on real files.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    disk::{MARK, content, folder},
    passwords::private,
    program::{Ended, cadenas, other, run_in},
};

const PW: [&str; 2] = ["--passphrase-file", "pw"];

fn disk(here: &Path, args: &[&str]) -> Ended {
    run_in(here, &[&["disk"], args, &PW].concat())
}

#[test]
fn a_disk_is_encrypted_recrypted_and_decrypted_where_it_lies() {
    let folder = folder();
    let here = folder.path();
    private(&here.join("new"), b"another");
    let plain = content(3 << 20);
    fs::write(here.join("raw"), &plain).expect("written");
    other(here, "qemu-img", &["convert", "-O", "qcow2", "raw", "qcow2"]);
    for (image, format) in [("raw", "luks"), ("qcow2", "qcow2")] {
        disk(here, &["encrypt", "--in-place", image, "--iter-time", "10"]).ok();
        let info: Value =
            serde_json::from_str(&run_in(here, &["disk", "info", image, "-o", "json"]).ok()).expect("JSON");
        assert_eq!((&info["format"], info["encryption"].is_object()), (&format.into(), true));
        let bytes = fs::read(here.join(image)).expect("there");
        assert!(!bytes.windows(MARK.len()).any(|window| window == MARK), "{image}");
        let recrypt = ["recrypt", "--in-place", image, "--new-passphrase-file", "new", "--iter-time", "10"];
        disk(here, &recrypt).ok();
        disk(here, &["check", image]).refused(1);
        let decrypt = ["disk", "decrypt", "--in-place", image, "--passphrase-file", "new", "--jobs", "1"];
        run_in(here, &decrypt).ok();
        other(
            here,
            "qemu-img",
            &["convert", "-f", if format == "luks" { "raw" } else { "qcow2" }, "-O", "raw", image, "back"],
        );
        assert_eq!(fs::read(here.join("back")).expect("there"), plain, "{image}");
        assert!(!here.join(format!("{image}.cadenas-journal")).exists());
    }
}

#[test]
fn a_sparse_raw_disk_becomes_qcow2_unless_its_holes_shall_be_filled() {
    let folder = folder();
    let here = folder.path();
    for (args, format, told) in [(&[][..], "qcow2", ""), (&["-O", "luks"][..], "luks", "holes")] {
        let image = fs::File::create(here.join("sparse")).expect("made");
        image.set_len(4 << 20).expect("grown");
        std::os::unix::fs::FileExt::write_all_at(&image, &content(70_000), 1 << 20).expect("written");
        let ended = disk(here, &[&["encrypt", "--in-place", "sparse", "--iter-time", "10"], args].concat());
        assert!(ended.err.contains(told), "{}", ended.err);
        ended.ok();
        let info: Value =
            serde_json::from_str(&run_in(here, &["disk", "info", "sparse", "-o", "json"]).ok()).expect("JSON");
        assert_eq!(info["format"], format);
        fs::remove_file(here.join("sparse")).expect("removed");
    }
}

fn begins_with(path: &Path, bytes: &[u8]) -> bool {
    let mut first = vec![0; bytes.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok_and(|()| first == bytes)
}

/// Starts an encryption that takes seconds, and ends it by a signal midway.
fn interrupted(here: &Path, signal: Signal) -> Ended {
    let slow = ["disk", "encrypt", "--in-place", "disk", "--iter-time", "10", "--rate-limit", "16M"];
    let mut command = cadenas();
    command.current_dir(here).args(slow).args(PW).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("started");
    let start = Instant::now();
    while begins_with(&here.join("disk"), MARK) {
        assert!(start.elapsed() < Duration::from_mins(1), "nothing changes");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), signal).expect("our own child");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn what_is_interrupted_is_told_refused_resumed_and_taken_back() {
    for (signal, verb) in [(Signal::INT, "resume"), (Signal::TERM, "cancel"), (Signal::KILL, "resume")] {
        let folder = folder();
        let here = folder.path();
        let plain = content(128 << 20);
        fs::write(here.join("disk"), &plain).expect("written");
        let ended = interrupted(here, signal);
        if signal != Signal::KILL {
            let told = ended.refused(1);
            assert!(told.contains("cadenas disk resume") && told.contains("cadenas disk cancel"), "{told}");
        }
        assert!(here.join("disk.cadenas-journal").exists());
        let refused = disk(here, &["encrypt", "--in-place", "disk"]).refused(1);
        assert!(refused.contains("cadenas disk resume"), "{refused}");
        disk(here, &["encrypt", "disk", "copy", "--iter-time", "10"]).refused(1);
        disk(here, &[verb, "disk"]).ok();
        assert!(!here.join("disk.cadenas-journal").exists());
        if verb == "cancel" {
            assert!(fs::read(here.join("disk")).expect("there") == plain, "it is what it was");
        } else {
            disk(here, &["check", "disk"]).ok();
            disk(here, &["decrypt", "disk", "back"]).ok();
            assert!(fs::read(here.join("back")).expect("there") == plain, "{signal:?}");
        }
        let told = disk(here, &[verb, "disk"]).refused(1);
        assert!(told.contains("no change in place"), "{told}");
    }
}

#[test]
fn a_check_tells_plain_data_in_an_encrypted_image() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("disk"), content(2 << 20)).expect("written");
    disk(here, &["encrypt", "disk", "luks", "-O", "luks", "--iter-time", "10"]).ok();
    let sound: Value = serde_json::from_str(&disk(here, &["check", "luks", "-o", "json"]).ok()).expect("JSON");
    assert!(sound["sample"]["sectors_read"].as_u64().is_some_and(|read| read > 500), "{sound}");
    assert_eq!(sound["sample"]["suspicious"], Value::Array(vec![]));
    let mut bytes = fs::read(here.join("luks")).expect("there");
    let payload = bytes.len() - (1 << 20);
    bytes[payload..].fill(b'x');
    fs::write(here.join("luks"), bytes).expect("written");
    let ended = disk(here, &["check", "luks"]);
    assert_eq!(ended.status, Some(1), "{}", ended.err);
    assert!(ended.out.contains("are not encrypted"), "{}", ended.out);
}

#[test]
fn a_bench_names_the_bottleneck_and_leaves_nothing() {
    let folder = folder();
    let here = folder.path();
    let before = fs::read_dir(here).expect("a folder").count();
    let told = run_in(here, &["disk", "bench", "--size", "8M", "-o", "json"]).ok();
    let measured: Value = serde_json::from_str(&told).expect("JSON");
    for rate in ["cipher_one_core", "cipher_all_cores", "write", "read", "copy", "encrypt"] {
        assert!(measured[rate].as_u64().is_some_and(|rate| rate > 0), "{told}");
    }
    assert!(measured["bottleneck"].as_str().is_some_and(|words| !words.is_empty()), "{told}");
    run_in(here, &["disk", "bench", "--size", "8E"]).refused(2);
    run_in(here, &["disk", "bench", "--size", "900000T"]).refused(1);
    assert_eq!(fs::read_dir(here).expect("a folder").count(), before);
}
