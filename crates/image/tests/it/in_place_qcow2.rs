//! In-place rewrites of qcow2 images, and of raw disks into qcow2: what QEMU made of all kinds, before, between and after, read by QEMU.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use cadenas_image::{
    Access, File, Format, ImageError, NewKey, NoProgress, Progress, Storage, Tuning, check,
    in_place::{Change, InPlace, InPlaceState, Sizes, extra_space},
    inspect,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    common::{Bench, passphrase, rounds, run, text, try_run},
    in_place::Zones,
};

/// A disk in an image, and what QEMU read of it and of its snapshots when it was made.
pub(crate) struct Image {
    pub(crate) bench: Bench,
    path: PathBuf,
    pub(crate) disk: Vec<u8>,
    pub(crate) snapshots: Vec<(String, Vec<u8>)>,
    with_bitmaps: bool,
}

/// How an image is made, as arguments of QEMU's tools.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    options: String,
    size: u64,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A command of qemu-io.
    Io(String),
    Snapshot,
    Bitmap,
}

impl Recipe {
    pub(crate) fn new(options: &str, size: u64, steps: &[Step]) -> Self {
        Self { options: options.to_owned(), size, steps: steps.to_vec() }
    }

    pub(crate) fn make(&self) -> Image {
        let bench = Bench::new();
        let path = bench.path("disk.qcow2");
        let size = self.size.to_string();
        run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &self.options, text(&path), &size]);
        let mut snapshots = Vec::new();
        let mut with_bitmaps = false;
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                // QEMU compresses only what is not there yet.
                Step::Io(command) if command.starts_with("write -c") => {
                    try_run("qemu-io", &["-f", "qcow2", "-c", command, text(&path)]);
                }
                Step::Io(command) => drop(run("qemu-io", &["-f", "qcow2", "-c", command, text(&path)])),
                Step::Snapshot => {
                    let name = format!("before {number}");
                    run("qemu-img", &["snapshot", "-c", &name, text(&path)]);
                    snapshots.push(name);
                }
                Step::Bitmap => {
                    run("qemu-img", &["bitmap", "--add", text(&path), &format!("since {number}")]);
                    with_bitmaps = true;
                }
            }
        }
        let mut image = Image { bench, path, disk: Vec::new(), snapshots: Vec::new(), with_bitmaps };
        image.disk = image.read(None, false);
        image.snapshots = snapshots.into_iter().map(|name| (name.clone(), image.read(Some(&name), false))).collect();
        image
    }
}

pub(crate) fn io(command: &str) -> Step {
    Step::Io(command.to_owned())
}

impl Image {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// QEMU's way to name the image.
    pub(crate) fn options(&self, is_encrypted: bool) -> String {
        if is_encrypted {
            Bench::qcow2_options(&self.path)
        } else {
            format!("driver=qcow2,file.filename={}", text(&self.path))
        }
    }

    pub(crate) fn read(&self, snapshot: Option<&str>, is_encrypted: bool) -> Vec<u8> {
        let (secret, options) = (self.bench.secret(), self.options(is_encrypted));
        let out = self.bench.path("read.raw");
        let mut arguments = vec!["convert", "--object", &secret, "--image-opts"];
        if let Some(name) = snapshot {
            arguments.extend(["-l", name]);
        }
        arguments.extend([&options, "-O", "raw", text(&out)]);
        run("qemu-img", &arguments);
        fs::read(out).expect("read")
    }

    /// QEMU finds nothing wrong and nothing lost, and reads what it read before; we find nothing wrong either.
    pub(crate) fn assert_whole(&self, is_encrypted: bool) {
        let (secret, options) = (self.bench.secret(), self.options(is_encrypted));
        let output = try_run("qemu-img", &["check", "--object", &secret, "--image-opts", &options]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(self.read(None, is_encrypted) == self.disk, "another disk");
        for (name, content) in &self.snapshots {
            assert!(self.read(Some(name), is_encrypted) == *content, "another disk in {name}");
        }
        let file = self.open();
        let report = check(&file, is_encrypted.then(passphrase).as_ref()).expect("checked");
        assert_eq!((report.problems, report.leaked_clusters), (vec![], 0));
        assert_eq!(report.info.encryption.is_some(), is_encrypted);
        assert_eq!(report.info.snapshots as usize, self.snapshots.len());
        assert_eq!(!report.info.bitmaps.is_empty(), self.with_bitmaps);
    }

    pub(crate) fn open(&self) -> File {
        File::open(&self.path, Access::Write).expect("opened")
    }

    fn journal(&self) -> PathBuf {
        self.bench.path("journal")
    }
}

/// Makes a journal for a change and lets `then` do something with it. The journal stays.
pub(crate) fn with_rewrite<T>(image: &Image, format: Format, change: &str, then: impl FnOnce(InPlace<'_>) -> T) -> T {
    let (passphrase, disk) = (passphrase(), image.open());
    drop(fs::remove_file(image.journal()));
    let journal = File::create_new(&image.journal()).expect("created");
    let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
    let change = match change {
        "encrypt" => Change::Encrypt { into: Format::Qcow2, key },
        "decrypt" => Change::Decrypt { passphrase: &passphrase, len: None },
        _ => Change::Recrypt { passphrase: &passphrase, key },
    };
    let before = disk.len().expect("its length");
    let space = extra_space(&disk, format, &change).expect("possible");
    let sizes = Sizes { window: 2, zone: 96 << 10, ..Sizes::default() };
    let out = then(InPlace::prepare_with(&disk, &journal, format, &change, sizes).expect("prepared"));
    let grown = disk.len().expect("its length").saturating_sub(before);
    assert!(format == Format::Raw || grown <= space.during, "{grown} bytes more, not {}", space.during);
    out
}

pub(crate) fn reopened<T>(image: &Image, then: impl FnOnce(InPlace<'_>) -> T) -> T {
    let (disk, journal) = (image.open(), File::open(&image.journal(), Access::Write).expect("opened"));
    then(InPlace::open(&disk, &journal, &passphrase()).expect("reopened"))
}

pub(crate) fn zones(count: usize) -> Zones {
    Zones(AtomicUsize::new(count))
}

pub(crate) fn go(mut rewrite: InPlace<'_>, progress: &dyn Progress) -> Result<(), ImageError> {
    rewrite.run(&Tuning::default(), progress)
}

pub(crate) fn back(mut rewrite: InPlace<'_>, progress: &dyn Progress) -> Result<(), ImageError> {
    rewrite.undo(&Tuning::default(), progress)
}

/// Encrypts with a stop on the way, gives another key, decrypts; and every time goes back first.
fn there_and_back(recipe: &Recipe, stop: usize) {
    let image = recipe.make();
    let before = fs::read(image.path()).expect("read");
    let is_compressed = with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| {
        // A small image may be done before it is stopped.
        let stopped = go(rewrite, &zones(stop));
        stopped.is_ok()
    });
    if is_compressed {
        let refused = reopened(&image, |rewrite| back(rewrite, &NoProgress));
        if refused.is_err() {
            image.assert_whole(true);
            return further(&image);
        }
    } else {
        reopened(&image, |rewrite| {
            assert_ne!(rewrite.state().expect("a state"), InPlaceState::New);
            back(rewrite, &NoProgress).expect("back");
        });
    }
    image.assert_whole(false);
    assert_eq!(fs::read(image.path()).expect("read").len(), before.len());

    with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| drop(go(rewrite, &zones(stop))));
    reopened(&image, |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    image.assert_whole(true);
    let undone = reopened(&image, |rewrite| back(rewrite, &NoProgress));
    if undone.is_ok() {
        image.assert_whole(false);
        with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
        image.assert_whole(true);
    }
    further(&image);
}

/// What is encrypted gets another key, after a way back from the end, and is decrypted the same way.
fn further(image: &Image) {
    for (change, is_encrypted) in [("recrypt", true), ("decrypt", false)] {
        with_rewrite(image, Format::Qcow2, change, |rewrite| drop(go(rewrite, &zones(1))));
        reopened(image, |rewrite| back(rewrite, &NoProgress)).expect("back from between");
        image.assert_whole(true);
        with_rewrite(image, Format::Qcow2, change, |rewrite| go(rewrite, &NoProgress)).expect(change);
        image.assert_whole(is_encrypted);
        reopened(image, |rewrite| back(rewrite, &NoProgress)).expect("back from the end");
        image.assert_whole(true);
        with_rewrite(image, Format::Qcow2, change, |rewrite| go(rewrite, &NoProgress)).expect(change);
        image.assert_whole(is_encrypted);
    }
}

#[test]
fn an_image_of_every_cluster_size_and_version_is_rewritten() {
    for (options, size) in [
        ("cluster_size=512", 300_032),
        ("cluster_size=4096,compat=0.10", 3 << 20),
        ("cluster_size=65536", 5 << 20),
        ("cluster_size=65536,compat=0.10", 5 << 20),
        ("cluster_size=2M", 9 << 20),
        ("cluster_size=4096,refcount_bits=1", 3 << 20),
        ("cluster_size=512,refcount_bits=64", 300_032),
        ("cluster_size=65536,lazy_refcounts=on", 5 << 20),
        ("cluster_size=65536,extended_l2=on", 5 << 20),
        ("cluster_size=65536,preallocation=metadata", 1 << 20),
        ("cluster_size=65536,preallocation=falloc", 1 << 20),
    ] {
        let steps = [io("write -P 1 0 200k"), io("write -P 2 250k 1000"), io("discard 64k 64k")];
        there_and_back(&Recipe::new(options, size, &steps), 2);
    }
}

#[test]
fn snapshots_come_along() {
    for options in [
        "cluster_size=512",
        "cluster_size=65536",
        "cluster_size=65536,compat=0.10",
        "cluster_size=65536,extended_l2=on",
    ] {
        let steps = [
            io("write -P 1 0 100k"),
            Step::Snapshot,
            io("write -P 2 50k 100k"),
            Step::Snapshot,
            io("write -P 3 0 3k"),
            io("write -P 4 200k 90k"),
        ];
        there_and_back(&Recipe::new(options, 400 << 10, &steps), 2);
    }
}

#[test]
fn compressed_clusters_are_expanded_once_each() {
    // Some stop while clusters are expanded, some later.
    for (options, stop) in [
        ("cluster_size=65536", 6),
        ("cluster_size=4096,compression_type=zstd", 2),
        ("cluster_size=512,compat=0.10", 2),
        ("cluster_size=65536,extended_l2=on", 6),
    ] {
        let steps = [
            io("write -c -P 1 0 192k"),
            io("write -P 2 192k 64k"),
            Step::Snapshot,
            io("write -P 3 0 64k"),
            Step::Snapshot,
            io("write -c -P 4 320k 64k"),
        ];
        there_and_back(&Recipe::new(options, 1 << 20, &steps), stop);
    }
}

/// Adds up what it is told, and stops when so much is done.
struct Told {
    total: AtomicU64,
    done: AtomicU64,
    stop_at: u64,
}

impl Progress for Told {
    fn begin(&self, total_bytes: u64) {
        assert_eq!(self.total.swap(total_bytes, Ordering::SeqCst), 0, "it begins once");
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.stop_at
    }
}

#[test]
fn expanding_clusters_is_told_and_stops_when_it_shall() {
    let image = Recipe::new("cluster_size=65536", 8 << 20, &[io("write -c -P 1 0 4M"), io("write -P 2 6M 1M")]).make();
    let told = |stop_at| Told { total: AtomicU64::new(0), done: AtomicU64::new(0), stop_at };
    let stopped = told(1 << 20);
    with_rewrite(&image, Format::Qcow2, "encrypt", |mut rewrite| {
        let tuning = Tuning { jobs: std::num::NonZeroUsize::new(1), ..Tuning::default() };
        assert!(matches!(rewrite.run(&tuning, &stopped), Err(ImageError::Cancelled)));
        assert_eq!(rewrite.state().expect("a state"), InPlaceState::Old);
    });
    assert_eq!((stopped.total.into_inner(), stopped.done.into_inner()), (5 << 20, 1 << 20));
    let whole = told(u64::MAX);
    reopened(&image, |rewrite| go(rewrite, &whole)).expect("encrypted");
    assert_eq!((whole.total.into_inner(), whole.done.into_inner()), (5 << 20, 5 << 20));
    image.assert_whole(true);
}

#[test]
fn zero_clusters_keep_nothing_of_what_they_held() {
    let steps = [
        io("write -P 0x5a 0 512k"),
        Step::Snapshot,
        io("write -z 64k 64k"),
        io("write -P 0x5b 512k 256k"),
        io("write -z 640k 64k"),
    ];
    let recipe = Recipe::new("cluster_size=65536", 1 << 20, &steps);
    let image = recipe.make();
    with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    image.assert_whole(true);
    let bytes = fs::read(image.path()).expect("read");
    assert!(!bytes.windows(64).any(|bytes| bytes == [0x5a; 64] || bytes == [0x5b; 64]), "plain bytes are left");
    there_and_back(&recipe, 1);
}

#[test]
fn bitmaps_stay_in_place() {
    let steps = [io("write -P 1 0 100k"), Step::Bitmap, io("write -P 2 500k 100k"), Step::Bitmap];
    for options in ["cluster_size=65536", "cluster_size=512"] {
        there_and_back(&Recipe::new(options, 2 << 20, &steps), 2);
    }
}

#[test]
fn lost_room_is_given_back_and_what_was_deleted_is_wiped() {
    let image = Recipe::new("cluster_size=65536", 4 << 20, &[io("write -P 0x5a 0 2M"), Step::Snapshot]).make();
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 0x5b 0 2M", text(image.path())]);
    run("qemu-img", &["snapshot", "-d", "before 1", text(image.path())]);
    let image = Image { snapshots: Vec::new(), disk: image.read(None, false), ..image };
    with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    image.assert_whole(true);
    let bytes = fs::read(image.path()).expect("read");
    assert!(!bytes.windows(64).any(|bytes| bytes == [0x5a; 64]), "plain bytes are left");
}

#[test]
fn an_image_that_qemu_encrypted_is_decrypted_with_its_snapshots() {
    let bench = Bench::new();
    let path = bench.path("disk.qcow2");
    let secret = bench.secret();
    let encrypted = ["-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"];
    run(
        "qemu-img",
        &[&["create", "-q", "--object", &secret, "-f", "qcow2"], &encrypted[..], &[text(&path), "3M"]].concat(),
    );
    let options = Bench::qcow2_options(&path);
    let write = |command: &str| run("qemu-io", &["--object", &secret, "--image-opts", "-c", command, &options]);
    write("write -P 1 0 1M");
    run("qemu-img", &["snapshot", "--object", &secret, "--image-opts", "-c", "first", &options]);
    write("write -P 2 512k 1M");
    let mut image = Image { bench, path, disk: Vec::new(), snapshots: Vec::new(), with_bitmaps: false };
    image.disk = image.read(None, true);
    image.snapshots = vec![("first".to_owned(), image.read(Some("first"), true))];
    further(&image);
}

#[test]
fn what_cannot_be_rewritten_is_refused_by_name_and_left_alone() {
    let image = Recipe::new("cluster_size=65536", 1 << 20, &[io("write -P 1 0 100k")]).make();
    let refused = |change: &str, path: &Path| {
        let (passphrase, disk) = (passphrase(), File::open(path, Access::Write).expect("opened"));
        let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
        let change = match change {
            "encrypt" => Change::Encrypt { into: Format::Qcow2, key },
            _ => Change::Recrypt { passphrase: &passphrase, key },
        };
        let before = fs::read(path).expect("read");
        let error = extra_space(&disk, Format::Qcow2, &change).expect_err("refused");
        let journal = cadenas_image::storage::testing::Memory::new();
        assert!(InPlace::prepare(&disk, &journal, Format::Qcow2, &change).is_err());
        assert!(fs::read(path).expect("read") == before, "changed");
        error
    };
    assert!(matches!(refused("recrypt", image.path()), ImageError::NotEncrypted { .. }));

    let top = image.bench.path("top.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(image.path()), text(&top)]);
    assert!(matches!(refused("encrypt", &top), ImageError::BackingFile { .. }));

    let outside = image.bench.path("outside.qcow2");
    let data_file = format!("data_file={}", text(&image.bench.path("data.raw")));
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &data_file, text(&outside), "1M"]);
    assert!(matches!(refused("encrypt", &outside), ImageError::DataFile { .. }));

    // A refcount of the first data cluster that is one too many, and then one too few.
    for count in [2, 0] {
        let mut bytes = fs::read(image.path()).expect("read");
        let be64 = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight"));
        let at = |offset: u64| usize::try_from(offset & 0x00ff_ffff_ffff_fe00).expect("small");
        let data = at(be64(at(be64(at(be64(40))))));
        let block = at(be64(at(be64(48))));
        bytes[block + data / 65536 * 2 + 1] = count;
        let wrong = image.bench.path("wrong.qcow2");
        fs::write(&wrong, bytes).expect("written");
        assert!(matches!(refused("encrypt", &wrong), ImageError::Damaged { .. }));
    }
    with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    assert!(matches!(refused("encrypt", image.path()), ImageError::Unsupported { .. }));
}

/// A raw disk as an [`Image`]: what QEMU reads once it is encrypted.
pub(crate) fn raw_image(len: u64) -> Image {
    let bench = Bench::new();
    let path = bench.raw_disk(len);
    let mut disk = fs::read(&path).expect("read");
    disk.resize(disk.len().next_multiple_of(512), 0);
    Image { bench, path, disk, snapshots: Vec::new(), with_bitmaps: false }
}

#[test]
fn a_raw_disk_becomes_qcow2_where_it_lies_and_goes_back() {
    for len in [1, 511, 512, 65_535, 65_536, 65_537, 1_000_000, 5 << 20, (600 << 20) + 777] {
        let image = raw_image(len);
        let before = fs::read(image.path()).expect("read");
        for stop in [0, 1, 3, 1000] {
            with_rewrite(&image, Format::Raw, "encrypt", |rewrite| drop(go(rewrite, &zones(stop))));
            reopened(&image, |rewrite| back(rewrite, &NoProgress)).expect("back");
            assert!(fs::read(image.path()).expect("read") == before, "{len}, {stop}");
        }
        with_rewrite(&image, Format::Raw, "encrypt", |rewrite| drop(go(rewrite, &zones(1))));
        reopened(&image, |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
        image.assert_whole(true);
    }
}

#[test]
fn a_disk_of_two_tebibytes_with_little_in_it_is_encrypted_in_seconds_and_stays_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let bench = Bench::new();
    let path = bench.path("plain.raw");
    let file = fs::File::create(&path).expect("created");
    file.set_len(2 << 40).expect("grown");
    for at in (0..16).map(|part| part << 37) {
        file.write_all_at(&vec![7; 1 << 20], at).expect("written");
    }
    let image = Image { bench, path, disk: Vec::new(), snapshots: Vec::new(), with_bitmaps: false };
    let started = std::time::Instant::now();
    with_rewrite(&image, Format::Raw, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    assert!(started.elapsed().as_secs() < 60);
    assert!(file.metadata().expect("there").blocks() * 512 < 40 << 20);
    let info = inspect(&image.open()).expect("inspected");
    assert_eq!((info.format, info.virtual_size), (Format::Qcow2, 2 << 40));
    let (secret, options) = (image.bench.secret(), image.options(true));
    run("qemu-img", &["check", "--object", &secret, "--image-opts", &options]);
    for command in ["read -P 7 137438953472 1M", "read -P 0 1M 1M", "read -P 7 0 1M"] {
        run("qemu-io", &["--object", &secret, "--image-opts", "-c", command, &options]);
    }
}

/// A machine without a guest, whose state is saved in the image as a snapshot; then a machine that loads it.
#[test]
fn saved_machine_state_comes_along() {
    let image = Recipe::new("cluster_size=65536", 4 << 20, &[io("write -P 1 0 1M")]).make();
    let machine = |drive: &str, monitor: &str, load: &[&str]| {
        let fixed = ["-machine", "pc", "-accel", "tcg", "-m", "16", "-S", "-display", "none", "-monitor", "stdio"];
        let mut child = Command::new("qemu-system-x86_64")
            .args(fixed)
            .args(["-nodefaults", "-drive", drive])
            .args(load)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        child.stdin.take().expect("a pipe").write_all(monitor.as_bytes()).expect("told");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let plain = format!("if=ide,format=qcow2,file={}", text(image.path()));
    machine(&plain, "savevm state\nquit\n", &[]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 2 0 2M", text(image.path())]);
    let disk = image.read(None, false);
    let snapshot = image.read(Some("state"), false);
    let image = Image { disk, snapshots: vec![("state".to_owned(), snapshot)], ..image };

    with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
    image.assert_whole(true);
    // QEMU 7.2 neither saves nor loads a machine's state in an encrypted image: an assertion of its own fails. Decrypted, the
    // image has it again.
    with_rewrite(&image, Format::Qcow2, "decrypt", |rewrite| go(rewrite, &NoProgress)).expect("decrypted");
    image.assert_whole(false);
    let said = machine(&plain, "info status\nquit\n", &["-loadvm", "state"]);
    assert!(said.contains("paused"), "{said}");
}

prop_compose! {
    fn any_step(size: u64)(kind in 0..12, at in 0..size, len in 1..size / 2, pattern in 1..200) -> Step {
        let cluster = 65_536;
        let len = len.min(size - at);
        let (from, whole) = (at / cluster * cluster, len.next_multiple_of(cluster).min(size - at / cluster * cluster));
        match kind {
            0..4 => io(&format!("write -P {pattern} {at} {len}")),
            4..6 => io(&format!("write -c -P {pattern} {from} {whole}")),
            6 => io(&format!("write -z {from} {whole}")),
            7 => io(&format!("write -z -u {from} {whole}")),
            8 => io(&format!("discard {from} {whole}")),
            9 => Step::Bitmap,
            _ => Step::Snapshot,
        }
    }
}

fn any_recipe() -> impl Strategy<Value = Recipe> {
    const SIZE: u64 = 1 << 20;
    let options = prop::sample::select(vec![
        "cluster_size=512",
        "cluster_size=4096",
        "cluster_size=65536",
        "cluster_size=65536,extended_l2=on",
        "cluster_size=16384,extended_l2=on,compression_type=zstd",
        "cluster_size=4096,refcount_bits=8",
        "cluster_size=65536,lazy_refcounts=on",
    ]);
    (options, prop::collection::vec(any_step(SIZE), 1..9))
        .prop_map(|(options, steps)| Recipe::new(options, SIZE, &steps))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn any_image_is_rewritten(recipe in any_recipe(), stop in 0_usize..6) {
        there_and_back(&recipe, stop);
    }
}
