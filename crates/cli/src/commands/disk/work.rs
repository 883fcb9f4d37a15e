//! Long work on an image: where it may write, its progress, and what becomes of a half-written image.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use cadenas_api::ProgressUnit;
use cadenas_image::{File, ImageInfo, Locking, NewKey, Progress, Source, Target, Tuning, convert, space_needed};

use super::DiskError;
use crate::{output::Printer, progress::Display};

/// Refuses a destination that is there, the source itself above all.
pub(super) fn refuse_taken(src: &Path, dst: &Path) -> Result<(), DiskError> {
    let Ok(there) = fs::symlink_metadata(dst) else { return Ok(()) };
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let followed = fs::metadata(dst).unwrap_or(there);
    if fs::metadata(src).is_ok_and(|source| identity(&source) == identity(&followed)) {
        return Err(DiskError::SameFile { src: src.to_owned(), dst: dst.to_owned() });
    }
    Err(DiskError::Exists { path: dst.to_owned() })
}

/// Refuses, before the first byte, a copy that would not fit.
pub(super) fn expect_room(source: &Source<'_>, target: &Target, dst: &Path) -> Result<(), DiskError> {
    expect_free(dst, space_needed(source.info(), &source.usage()?, target))
}

/// Refuses what would need more bytes than the file system of `path` has free.
pub(super) fn expect_free(path: &Path, needed: u64) -> Result<(), DiskError> {
    let folder = folder_of(path);
    let found = rustix::fs::statvfs(folder)
        .map_err(|source| DiskError::Folder { folder: folder.to_owned(), source: source.into() })?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if needed <= free {
        return Ok(());
    }
    Err(DiskError::NoSpace { path: path.to_owned(), folder: folder.to_owned(), needed, free })
}

/// Shows how far long work is, and stops it on Ctrl-C.
pub(super) struct Work {
    display: Mutex<Display>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Work {
    /// From here on Ctrl-C stops the work rather than the program.
    pub(super) fn new(printer: &Printer, verb: &str, src: &Path) -> Self {
        stop_on_interrupt();
        let label = format!("{verb} {}", src.display());
        let display = Display::new(printer.shows_progress(), &label, ProgressUnit::Bytes);
        Self { display: Mutex::new(display), done: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    /// Makes the destination; after a failure it is gone.
    pub(super) fn convert(
        &self,
        dst: &Path,
        source: &Source<'_>,
        target: &Target,
        key: Option<NewKey<'_>>,
        tuning: &Tuning,
    ) -> Result<ImageInfo, DiskError> {
        let image = File::create_new(dst)?;
        let unfinished = Unfinished(dst);
        let _lock = image.lock(Locking::Exclusive)?;
        let made = convert(source, &image, target, key, tuning, self);
        self.clear();
        let made = made?;
        flush(folder_of(dst))?;
        unfinished.keep();
        Ok(made)
    }

    /// The work has ended: its progress goes away.
    pub(super) fn clear(&self) {
        if let Ok(display) = self.display.lock() {
            display.clear();
        }
    }
}

impl Progress for Work {
    fn begin(&self, total_bytes: u64) {
        self.total.store(total_bytes, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Whoever is showing shows for all; the threads that work do not wait for the terminal.
        if let Ok(mut display) = self.display.try_lock() {
            display.update(done, self.total.load(Ordering::Relaxed));
        }
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

/// Removes the file when dropped, unless it is kept.
struct Unfinished<'a>(&'a Path);

impl Unfinished<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // The error that led here matters more than this one; without its header the file is no image anyway.
        let _ = fs::remove_file(self.0);
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ctrl-C and SIGTERM make the work stop, so that what is half-written is removed or can be resumed. Where no handler can be had they end the
/// program as they always do.
fn stop_on_interrupt() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (ready, listening) = mpsc::channel();
        thread::spawn(move || wait_for_interrupt(&ready));
        // No work begins that a signal could still cut off; an error here means that no handler can be had.
        let _ = listening.recv();
    });
}

fn wait_for_interrupt(ready: &mpsc::Sender<()>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whoever waits for it cannot be gone.
        let _ = ready.send(());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        INTERRUPTED.store(true, Ordering::Relaxed);
        Ok(())
    })
}

pub(super) fn flush(folder: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::Folder { folder: folder.to_owned(), source };
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
