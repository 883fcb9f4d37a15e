//! `cadenas disk encrypt` beside `qemu-img convert` and `cryptsetup reencrypt`: `make bench`.
//!
//! `CADENAS_BIN` is the program that is measured. The disks are made in `CADENAS_BENCH_DIR`, or in the system's folder for temporary
//! files, on a file system with direct I/O and 20 GB free; both sides use direct I/O. Runs are interleaved, figures are medians.
//! Our times include flushing the result to the medium, which `qemu-img` leaves out.

mod bare;
mod disks;
mod measure;
mod table;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use disks::{Disk, GIB, remove};
use measure::{Cost, cost_of};
use table::Bar;

const RUNS: usize = 5;

fn main() -> ExitCode {
    if let Some(code) = measure::measure_if_told().or_else(bare::run_if_told) {
        return code;
    }
    let bench = Bench::new();
    table::begin();
    for disk in [
        Disk { name: "4 GiB, half of it holes", size: 4 * GIB, data: 2 * GIB },
        Disk::full("4 GiB, full", 4 * GIB),
        Disk { name: "16 GiB with 1 GiB of data", size: 16 * GIB, data: GIB },
    ] {
        bench.copy(&disk);
    }
    if bench.knows_in_place() {
        bench.in_place_full();
        bench.in_place_sparse();
    } else {
        println!("this `cadenas` does not encrypt in place");
    }
    ExitCode::SUCCESS
}

/// Where the work happens, and with what.
struct Bench {
    cadenas: PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let cadenas = env::var_os("CADENAS_BIN").expect("CADENAS_BIN is the program to measure");
        let below = env::var_os("CADENAS_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let folder = tempfile::tempdir_in(below).expect("a folder");
        fs::write(folder.path().join("passphrase"), "correct horse battery staple").expect("written");
        Self { cadenas: cadenas.into(), folder }
    }

    /// Into a new image.
    fn copy(&self, disk: &Disk) {
        let source = disk.make(self.folder.path());
        let out = self.folder.path().join("out");
        let contenders = [self.ours(&source, &out), self.qemu(&source, &out, true), self.qemu(&source, &out, false)];
        let [ours, encrypted, plain] = by_turns(|which| cost_of(&contenders[which], || remove(&out)));
        remove(&out);
        remove(&source);
        let gib = as_f64(disk.data) / as_f64(GIB);
        let (wall, cpu) = (|cost: &Cost| cost.wall.as_secs_f64(), |cost: &Cost| cost.cpu.as_secs_f64() / gib);
        let both = (wall(&ours), wall(&encrypted));
        table::row(disk.name, "copy, s; qemu-img encrypting", both, both.1 / both.0, Bar::AtLeast(3.0));
        let both = (cpu(&ours), cpu(&encrypted));
        table::row(disk.name, "copy, CPU s/GiB; the same", both, both.1 / both.0, Bar::AtLeast(6.0));
        let both = (wall(&ours), wall(&plain));
        table::row(disk.name, "copy, s; qemu-img plain", both, both.0 / both.1, Bar::AtMost(1.10));
        memory(disk.name, "copy, peak MiB", &ours);
    }

    /// In place, without holes.
    fn in_place_full(&self) {
        let disk = Disk::full("2 GiB, full", 2 * GIB);
        let path = self.folder.path().join("disk.raw");
        let make = || drop(disk.make(self.folder.path()));
        let contenders = [self.ours_in_place(&path, "luks"), self.cryptsetup(&path), bare::command(&path)];
        let [ours, cryptsetup, bare] = by_turns(|which| cost_of(&contenders[which], make));
        remove(&path);
        let both = (ours.wall.as_secs_f64(), cryptsetup.wall.as_secs_f64());
        table::row(disk.name, "in place, s; cryptsetup", both, both.1 / both.0, Bar::AtLeast(1.6));
        let both = (ours.wall.as_secs_f64(), bare.wall.as_secs_f64());
        table::row(disk.name, "in place, s; bare loop", both, both.0 / both.1, Bar::AtMost(1.25));
        memory(disk.name, "in place, peak MiB", &ours);
    }

    /// In place, time must grow with data.
    fn in_place_sparse(&self) {
        let sparse = Disk { name: "16 GiB with 1 GiB of data", size: 16 * GIB, data: GIB };
        let full = Disk::full("1 GiB, full", GIB);
        let path = self.folder.path().join("disk.raw");
        let ours = self.ours_in_place(&path, "qcow2");
        let disks = [sparse, full];
        let [of_sparse, of_full] = by_turns(|which| cost_of(&ours, || drop(disks[which].make(self.folder.path()))));
        remove(&path);
        let both = (of_sparse.wall.as_secs_f64(), of_full.wall.as_secs_f64());
        table::row(sparse.name, "in place, s; 1 GiB full", both, both.0 / both.1, Bar::AtMost(1.3));
        memory(sparse.name, "in place, peak MiB", &of_sparse);
    }

    fn knows_in_place(&self) -> bool {
        let help = Command::new(&self.cadenas).args(["disk", "encrypt", "--help"]).output().expect("cadenas starts");
        String::from_utf8_lossy(&help.stdout).contains("--in-place")
    }

    fn ours(&self, source: &Path, out: &Path) -> Vec<OsString> {
        let options = ["--iter-time", "10", "--passphrase-file"].map(OsString::from);
        let paths = [self.passphrase(), source.into(), out.into()];
        [OsString::from(&self.cadenas), "disk".into(), "encrypt".into()]
            .into_iter()
            .chain(options)
            .chain(paths)
            .collect()
    }

    fn ours_in_place(&self, path: &Path, format: &str) -> Vec<OsString> {
        let options = ["disk", "encrypt", "--in-place", "-O", format, "--iter-time", "10", "--passphrase-file"];
        let paths = [self.passphrase(), path.into()];
        [OsString::from(&self.cadenas)].into_iter().chain(options.map(OsString::from)).chain(paths).collect()
    }

    fn qemu(&self, source: &Path, out: &Path, encrypted: bool) -> Vec<OsString> {
        let common = "qemu-img convert -m 16 -W -t none -T none -f raw -O qcow2";
        let mut command: Vec<OsString> = common.split(' ').map(OsString::from).collect();
        if encrypted {
            let mut secret = OsString::from("secret,id=s,file=");
            secret.push(self.passphrase());
            let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
            command.extend(["--object".into(), secret, "-o".into(), options.into()]);
        }
        command.extend([source.into(), out.into()]);
        command
    }

    fn cryptsetup(&self, path: &Path) -> Vec<OsString> {
        let options = "cryptsetup reencrypt --encrypt --type luks2 --reduce-device-size 32M -q \
                       --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file";
        options.split_whitespace().map(OsString::from).chain([self.passphrase(), path.into()]).collect()
    }

    fn passphrase(&self) -> OsString {
        self.folder.path().join("passphrase").into()
    }
}

/// The medians of `N` contenders. Another one begins each round: on a disk whose rate is limited over time, who follows a slow one finds
/// it rested.
fn by_turns<const N: usize>(run: impl Fn(usize) -> Cost) -> [Cost; N] {
    let mut costs = [const { Vec::new() }; N];
    for round in 0..RUNS {
        for turn in 0..N {
            let which = (round + turn) % N;
            costs[which].push(run(which));
        }
    }
    costs.map(|costs| Cost::median(&costs))
}

fn memory(disk: &str, measure: &str, cost: &Cost) {
    table::size(disk, measure, as_f64(cost.peak) / as_f64(1 << 20), Bar::AtMost(128.0));
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
