//! Encrypting and decrypting a disk of 1 GiB, beside `qemu-img convert` doing the same: `cargo bench -p cadenas-image`.
//!
//! Everything lies in the system's folder for temporary files and is in the page cache. Our times include flushing the result to
//! the medium, which `qemu-img` leaves out by default.

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

use cadenas_image::{Access, File, NewKey, NoProgress, Target, Tuning, convert, open_source};
use cadenas_secret::{SecretBytes, random};
use divan::{Bencher, counter::BytesCount};
use uuid::Uuid;

const DISK_BYTES: u64 = 1 << 30;
const RUNS: u32 = 5;
const PASSPHRASE: &str = "correct horse battery staple";

fn main() {
    divan::main();
    let taken = TAKEN.lock().expect("no bench panicked");
    for what in ["encrypt", "decrypt"] {
        let median =
            |who: &str| median_of(taken.iter().filter(|run| run.0 == format!("{who} {what}")).map(|run| run.1));
        if let (Some(ours), Some(qemu)) = (median("ours"), median("qemu-img")) {
            let (ours, qemu) = (ours.as_secs_f64(), qemu.as_secs_f64());
            println!("{what}: ours {ours:.2} s, qemu-img {qemu:.2} s: {:.1} times as fast", qemu / ours);
        }
    }
    fs::remove_dir_all(&FIXTURE.folder).expect("the folder is ours");
}

#[divan::bench(sample_count = RUNS, sample_size = 1)]
fn ours_encrypt(bencher: Bencher) {
    measure(bencher, "ours encrypt", |out| {
        ours(&FIXTURE.plain, out, Target::Qcow2Luks { cluster_size: Target::DEFAULT_CLUSTER_SIZE });
    });
}

#[divan::bench(sample_count = RUNS, sample_size = 1)]
fn qemu_encrypt(bencher: Bencher) {
    measure(bencher, "qemu-img encrypt", |out| {
        let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
        qemu_img(&["-f", "raw", "-O", "qcow2", "-o", options], &FIXTURE.plain, out);
    });
}

#[divan::bench(sample_count = RUNS, sample_size = 1)]
fn ours_decrypt(bencher: Bencher) {
    measure(bencher, "ours decrypt", |out| ours(&FIXTURE.encrypted, out, Target::Raw { len: None }));
}

#[divan::bench(sample_count = RUNS, sample_size = 1)]
fn qemu_decrypt(bencher: Bencher) {
    measure(bencher, "qemu-img decrypt", |out| {
        let image = format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", FIXTURE.encrypted.display());
        qemu_img(&["-O", "raw", "--image-opts"], Path::new(&image), out);
    });
}

/// What each run took, for the ratios at the end.
static TAKEN: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

/// A plain disk without holes, and the same encrypted.
struct Fixture {
    folder: PathBuf,
    plain: PathBuf,
    encrypted: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let (plain, encrypted) = (folder.join("plain.raw"), folder.join("encrypted.qcow2"));
        fs::write(folder.join("passphrase"), PASSPHRASE).expect("written");
        let mut bytes = vec![0; usize::try_from(DISK_BYTES).expect("fits in memory")];
        random::fill(&mut bytes);
        fs::write(&plain, bytes).expect("written");
        ours(&plain, &encrypted, Target::Qcow2Luks { cluster_size: Target::DEFAULT_CLUSTER_SIZE });
        Self { folder, plain, encrypted }
    }
}

fn measure(bencher: Bencher, name: &str, work: impl Fn(&Path) + Sync) {
    let out = FIXTURE.folder.join("out");
    bencher.counter(BytesCount::new(DISK_BYTES)).with_inputs(|| drop(fs::remove_file(&out))).bench_values(|()| {
        let start = Instant::now();
        work(&out);
        TAKEN.lock().expect("no bench panicked").push((name.to_owned(), start.elapsed()));
    });
}

fn ours(from: &Path, to: &Path, target: Target) {
    let passphrase = SecretBytes::take_from(PASSPHRASE.as_bytes().to_vec());
    let src = File::open(from, Access::Read).expect("opened");
    let encrypted = cadenas_image::inspect(&src).expect("inspected").encryption.is_some();
    let src = open_source(&src, encrypted.then_some(&passphrase)).expect("opened");
    let rounds = NonZeroU32::new(1000).expect("not zero");
    let key = NewKey { passphrase: &passphrase, rounds, uuid: Uuid::new_v4() };
    let dst = File::create_new(to).expect("created");
    convert(&src, &dst, &target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
        .expect("converted");
}

fn qemu_img(options: &[&str], from: &Path, to: &Path) {
    let secret = format!("secret,id=s,file={}", FIXTURE.folder.join("passphrase").display());
    // On virtual machines it now and then fails to measure key derivation.
    let done = (0..20).any(|_| {
        let mut command = Command::new("qemu-img");
        command.args(["convert", "--object", &secret]).args(options).args([from, to]);
        command.output().expect("qemu-img is installed").status.success()
    });
    assert!(done, "qemu-img convert {options:?} never succeeded");
}

fn median_of(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
