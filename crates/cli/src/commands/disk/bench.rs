//! `cadenas disk bench`: how fast this machine encrypts, and what holds it up.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use cadenas_image::{Access, File, NewKey, Progress as _, Target, open_source_as};
use cadenas_luks::{MIN_ROUNDS, SectorCipher, VolumeKey};
use cadenas_secret::{SecretBytes, random};
use serde::Serialize;
use uuid::Uuid;

use super::{
    DiskError,
    direct::{BLOCK, Block, Direct},
    tuning,
    work::{self, Work},
};
use crate::{
    args::disk::Bench,
    commands::{Ended, Result},
    output::{Look, Printer, human::size, table::Table},
};

pub(super) fn run(printer: &Printer, args: &Bench) -> Result {
    let blocks = args.size.get().div_ceil(BLOCK_BYTES);
    let bytes = blocks.checked_mul(BLOCK_BYTES).ok_or(DiskError::BenchStopped)?;
    // Two scratch files are there at a time; the second is an image with its tables.
    work::expect_free(&args.folder.join("scratch"), bytes.saturating_mul(2).saturating_add(bytes / 50))?;
    let work = Work::new(printer, "measuring", &args.folder);
    let scratch = Scratch::make(&args.folder)?;
    let threads = args.tuning.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from);
    let bench = Measuring { args, work: &work, scratch: &scratch, blocks, threads };
    let measured = bench.measure();
    work.clear();
    let measured = measured?;
    drop(scratch);
    printer.show(&measured, Measured::text)?;
    Ok(Ended::Well)
}

const BLOCK_BYTES: u64 = BLOCK as u64;

/// What `disk bench` prints as JSON; rates in bytes per second.
#[derive(Debug, Serialize)]
struct Measured {
    folder: String,
    bytes: u64,
    threads: usize,
    /// Whether the page cache was passed by.
    direct: bool,
    cipher_one_core: u64,
    cipher_all_cores: u64,
    write: u64,
    read: u64,
    copy: u64,
    encrypt: u64,
    bottleneck: &'static str,
}

impl Measured {
    fn text(&self, _look: &Look) -> String {
        let rate = |bytes| format!("{}/s", size(bytes));
        let direct = if self.direct { "past the page cache" } else { "through the page cache: no direct I/O there" };
        let fields = [
            ("AES-256-XTS, one core", rate(self.cipher_one_core)),
            ("AES-256-XTS, all cores", format!("{} ({} threads)", rate(self.cipher_all_cores), self.threads)),
            ("Write", format!("{} ({direct})", rate(self.write))),
            ("Read", rate(self.read)),
            ("Read and write at once", rate(self.copy)),
            ("Encrypt, raw to qcow2", rate(self.encrypt)),
            ("Bottleneck", self.bottleneck.to_owned()),
        ];
        Table::fields(fields).text()
    }

    /// What the whole comes closest to: it cannot be faster than its slowest part.
    fn bottleneck(&self) -> &'static str {
        let bound = self.cipher_all_cores.min(self.copy);
        if u128::from(self.encrypt) * 10 < u128::from(bound) * 6 {
            "the steps between reading, encrypting and writing: neither the cores nor the medium are used up"
        } else if self.cipher_all_cores < self.copy {
            "the cores: the cipher is slower than the medium"
        } else {
            "the medium: it reads and writes slower than the cores encrypt"
        }
    }
}

struct Measuring<'a> {
    args: &'a Bench,
    work: &'a Work,
    scratch: &'a Scratch,
    blocks: u64,
    threads: usize,
}

impl Measuring<'_> {
    fn measure(&self) -> Result<Measured, DiskError> {
        // Written, read, copied, encrypted.
        self.work.begin(self.blocks.saturating_mul(4 * BLOCK_BYTES));
        let (plain, copy) = (self.scratch.file("plain"), self.scratch.file("copy"));
        let (cipher_one_core, cipher_all_cores) = (self.cipher(1), self.cipher(self.threads));
        let file = opened(&plain)?;
        let write = self.pass("write", &plain, |block, at| file.write(block, at), || file.flush())?;
        let read = self.pass("read", &plain, |block, at| file.read(block, at), || Ok(()))?;
        let other = opened(&copy)?;
        let both = |block: &mut Block, at| file.read(block, at).and_then(|()| other.write(block, at));
        let copied = self.pass("copy", &plain, both, || other.flush())?;
        fs::remove_file(&copy).map_err(failed("remove", &copy))?;
        let encrypt = self.encrypt(&plain)?;
        let mut measured = Measured {
            folder: self.args.folder.display().to_string(),
            bytes: self.blocks.saturating_mul(BLOCK_BYTES),
            threads: self.threads,
            direct: file.is_direct,
            cipher_one_core,
            cipher_all_cores,
            write,
            read,
            copy: copied,
            encrypt,
            bottleneck: "",
        };
        measured.bottleneck = measured.bottleneck();
        Ok(measured)
    }

    /// Sectors of 512 bytes, as every image has them, in memory alone.
    fn cipher(&self, threads: usize) -> u64 {
        const LONG_ENOUGH: Duration = Duration::from_millis(300);
        let (key, done, start) = (VolumeKey::generate(), AtomicU64::new(0), Instant::now());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let (mut cipher, mut block) = (SectorCipher::new(&key), Block::random());
                    while start.elapsed() < LONG_ENOUGH && !self.work.cancelled() {
                        cipher.encrypt(0, block.bytes());
                        done.fetch_add(BLOCK_BYTES, Ordering::Relaxed);
                    }
                });
            }
        });
        rate(done.into_inner(), start.elapsed())
    }

    /// Does `each` to every block on several threads, then `end`, and tells how fast that was.
    fn pass(
        &self,
        operation: &'static str,
        path: &Path,
        each: impl Fn(&mut Block, u64) -> io::Result<()> + Sync,
        end: impl FnOnce() -> io::Result<()>,
    ) -> Result<u64, DiskError> {
        /// More than cores: they wait for the medium.
        const AT_LEAST: usize = 4;
        let (next, start) = (AtomicU64::new(0), Instant::now());
        let one_thread = || {
            let mut block = Block::random();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.blocks || self.work.cancelled() {
                    return Ok(());
                }
                each(&mut block, number * BLOCK_BYTES)?;
                self.work.advance(BLOCK_BYTES);
            }
        };
        let results: Vec<io::Result<()>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(AT_LEAST)).map(|_| scope.spawn(one_thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a measuring thread does not panic")).collect()
        });
        let done = results.into_iter().collect::<io::Result<()>>().and_then(|()| end());
        done.map_err(failed(operation, path))?;
        self.unless_stopped()?;
        Ok(rate(self.blocks.saturating_mul(BLOCK_BYTES), start.elapsed()))
    }

    fn encrypt(&self, plain: &Path) -> Result<u64, DiskError> {
        let file = File::open(plain, Access::Read)?;
        let source = open_source_as(&file, cadenas_image::Format::Raw, None)?;
        let passphrase = SecretBytes::new_with(32, random::fill);
        let key = NewKey { passphrase: &passphrase, rounds: MIN_ROUNDS, uuid: Uuid::new_v4() };
        let target = Target::Qcow2Luks { cluster_size: Target::DEFAULT_CLUSTER_SIZE };
        let encrypted = File::create_new(&self.scratch.file("encrypted"))?;
        let start = Instant::now();
        let part = Part(self.work);
        cadenas_image::convert(&source, &encrypted, &target, Some(key), &tuning(self.args.tuning), &part)
            .or_else(|error| self.unless_stopped().and(Err(error.into())))?;
        Ok(rate(source.info().virtual_size, start.elapsed()))
    }

    fn unless_stopped(&self) -> Result<(), DiskError> {
        if self.work.cancelled() { Err(DiskError::BenchStopped) } else { Ok(()) }
    }
}

/// The last part of the work: how much there is in all was told before.
struct Part<'a>(&'a Work);

impl cadenas_image::Progress for Part<'_> {
    fn begin(&self, _total_bytes: u64) {}

    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// A folder of scratch files, removed with them when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(folder: &Path) -> Result<Self, DiskError> {
        let path = folder.join(format!(".cadenas-bench-{}", Uuid::new_v4().simple()));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed("make", &path))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The error that led here, if any, matters more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn opened(path: &Path) -> Result<Direct, DiskError> {
    Direct::open(path).map_err(failed("make", path))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::File { operation, path, source }
}

fn rate(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}
