//! Our locks and QEMU's exclude each other.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use cadenas_image::{Access, File, LockError, Locking};

use crate::common::{Bench, run, text, try_run};

#[test]
fn an_image_that_a_writer_of_qemu_holds_is_busy() {
    let (bench, image) = image();
    let file = File::open(&image, Access::Write).expect("opened");
    let writer = QemuIo::open(&image, &[]);
    assert!(matches!(file.lock(Locking::Shared), Err(LockError::Busy { .. })));
    assert!(matches!(file.lock(Locking::Exclusive), Err(LockError::Busy { .. })));
    drop(writer);
    file.lock(Locking::Exclusive).expect("free again");
    drop(bench);
}

#[test]
fn a_reader_of_qemu_lets_us_read_and_not_write() {
    let (bench, image) = image();
    let file = File::open(&image, Access::Write).expect("opened");
    let reader = QemuIo::open(&image, &["-r"]);
    drop(file.lock(Locking::Shared).expect("readers share"));
    let refusal = file.lock(Locking::Exclusive).expect_err("in use").to_string();
    assert!(refusal.contains(text(&image)), "{refusal}");
    drop((reader, bench));
}

#[test]
fn while_we_write_qemu_may_do_nothing() {
    let (bench, image) = image();
    let file = File::open(&image, Access::Write).expect("opened");
    let lock = file.lock(Locking::Exclusive).expect("locked");
    assert_refused("qemu-img", &["info", text(&image)]);
    assert_refused("qemu-img", &["convert", "-O", "raw", text(&image), text(&bench.path("out"))]);
    assert_refused("qemu-io", &["-c", "write 0 512", text(&image)]);
    drop(lock);
    run("qemu-img", &["info", text(&image)]);
    run("qemu-io", &["-c", "write 0 512", text(&image)]);
}

#[test]
fn while_we_read_qemu_may_read_and_not_write() {
    let (_bench, image) = image();
    let file = File::open(&image, Access::Read).expect("opened");
    let _lock = file.lock(Locking::Shared).expect("locked");
    run("qemu-img", &["info", text(&image)]);
    assert_refused("qemu-io", &["-c", "write 0 512", text(&image)]);
    assert_refused("qemu-img", &["resize", text(&image), "8M"]);
}

/// QEMU's interactive program with an image open, until it is dropped.
struct QemuIo {
    child: Child,
    input: Option<ChildStdin>,
    _output: BufReader<ChildStdout>,
}

impl QemuIo {
    fn open(image: &Path, options: &[&str]) -> Self {
        let mut child = Command::new("qemu-io")
            .args(options)
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-io starts");
        let mut input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        // It has opened the image when it answers.
        input.write_all(b"length\n").expect("it listens");
        let mut line = String::new();
        while !line.contains("MiB") {
            line.clear();
            assert_ne!(output.read_line(&mut line).expect("it answers"), 0, "qemu-io ended");
        }
        Self { child, input: Some(input), _output: output }
    }
}

impl Drop for QemuIo {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.input.take());
        self.child.wait().expect("it ends");
    }
}

fn assert_refused(program: &str, arguments: &[&str]) {
    let output = try_run(program, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("lock"), "{program} {arguments:?}: {complaint}");
}

fn image() -> (Bench, std::path::PathBuf) {
    let bench = Bench::new();
    let image = bench.path("disk.qcow2");
    run("qemu-img", &["create", "-f", "qcow2", text(&image), "4M"]);
    (bench, image)
}
