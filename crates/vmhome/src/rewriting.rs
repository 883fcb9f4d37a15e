//! Disks that are rewritten where they lie: forward to the new VM, or back to the old one.
//!
//! Everything that either way needs is durable before the first byte of a disk changes: each disk's journal, the descriptor
//! whose key safe wraps the disks' keys, and the record that names both. So a run, and the repair after a crash, are the same
//! code: it opens the staged descriptor with the provider's key, opens each journal with the key in it, and goes on from
//! wherever the disks are. A disk is first moved into the home, so that nobody who knows it by its old name opens it half
//! rewritten; the rename of the descriptor comes when every disk is new, and is the commit as it is of a copy.

use std::path::Path;

use cadenas_image::{Access, File, Progress, in_place::InPlace};
use cadenas_secret::SecretBytes;

use crate::{
    concurrently::{concurrently, share},
    decrypt::restore_owner_and_mode,
    descriptor::{self, Descriptor},
    disk::OpenDisk,
    error::Cause,
    files::{self, Kind},
    home::VmHome,
    journal::{Record, Rewrite, Rewritten, Transition},
    phases::{phases, rewrite_steps},
    repair::RepairError,
    steps::Step,
    transition::Context,
    unlocked::Unlocked,
};

/// A transition in place whose announcement is durable.
pub(crate) struct Rewriting<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) record: &'a Record,
    pub(crate) rewrite: &'a Rewrite,
}

impl<'a> Rewriting<'a> {
    /// `None` if the transition copies, or has changed nothing yet.
    pub(crate) fn announced(context: Context<'a>, record: &'a Record) -> Option<Self> {
        let rewrite = record.rewrite.as_ref().filter(|_| record.after.is_some())?;
        Some(Self { context, record, rewrite })
    }

    /// Brings every disk to its new form, from wherever it is, and proves that it opens. All that is left is the commit.
    pub(crate) fn go_on(&self) -> Result<(), Cause> {
        let unlocked = self.unlocked()?;
        for disk in &self.rewrite.disks {
            move_disk(&disk.old_path, &disk.new_path)?;
            if let Some(step) = rewrite_steps(self.record.transition).moved {
                self.reached(step);
            }
        }
        let run = |work: &Work<'_>, progress: &dyn Progress| work.run(&self.context, progress);
        let disks = self.work(&unlocked);
        let ended = || self.reached(rewrite_steps(self.record.transition).rewritten);
        concurrently(&disks, self.context.progress, run, ended)?;
        self.prove(&unlocked)?;
        self.reached(phases(self.record).staged_verified);
        // The last moment: the rename is next.
        if self.context.progress.cancelled() { Err(Cause::Cancelled) } else { Ok(()) }
    }

    /// Encrypted disks must open as a later start will open them; plain ones get their owner and mode before the commit, since
    /// a file system that refuses that would otherwise leave a decryption that cannot be finished.
    fn prove(&self, unlocked: &Unlocked) -> Result<(), Cause> {
        match self.record.transition {
            Transition::Encrypt | Transition::DeepRecrypt => Ok(unlocked.check_disks()?),
            Transition::Decrypt => Ok(self.record.placements.iter().try_for_each(restore_owner_and_mode)?),
        }
    }

    /// Brings every disk back to its old form and its old place, from wherever it is. Nobody can cancel it.
    pub(crate) fn go_back(&self) -> Result<(), RepairError> {
        if self.rewrite.disks.iter().all(untouched) {
            return Ok(());
        }
        let unlocked = self.unlocked().map_err(RepairError::from)?;
        let disks: Vec<_> = self.work(&unlocked).into_iter().filter(|work| !untouched(work.rewritten)).collect();
        let progress = Unstoppable(self.context.progress);
        let undo = |work: &Work<'_>, progress: &dyn Progress| work.undo(&self.context, progress);
        concurrently(&disks, &progress, undo, || self.reached(Step::RollbackInPlaceDiskRestored))
            .map_err(RepairError::from)?;
        for work in &disks {
            move_disk(&work.rewritten.new_path, &work.rewritten.old_path)?;
            self.reached(Step::RollbackInPlaceDiskMovedBack);
        }
        Ok(())
    }

    /// The VM with the keys of the disks: of the descriptor that will be, or of the one that was if there will be none.
    fn unlocked(&self) -> Result<Unlocked, Cause> {
        let (path, identity) = match self.record.transition {
            Transition::Encrypt | Transition::DeepRecrypt => (self.record.staged_descriptor(), self.record.after),
            Transition::Decrypt => (self.record.descriptor_path(), self.record.before),
        };
        let found = descriptor::read(&path)?.filter(|found| Some(found.identity()) == identity);
        let descriptor: Descriptor = found.ok_or(Cause::DescriptorGone(path))?;
        let home = VmHome::in_folder(self.record.home.clone(), self.record.descriptor.clone(), descriptor);
        Ok(home.unlock(self.context.keyring)?)
    }

    fn work<'b>(&'b self, unlocked: &'b Unlocked) -> Vec<Work<'b>> {
        let pairs = self.rewrite.disks.iter().filter_map(|rewritten| {
            let open = unlocked.disks.iter().find(|open| open.entry.target == rewritten.target)?;
            Some(Work { rewritten, passphrase: passphrase(open), disks: self.rewrite.disks.len() })
        });
        pairs.collect()
    }

    fn reached(&self, step: Step) {
        self.context.steps.reached(step);
    }
}

/// One disk, and what opens its journal.
struct Work<'a> {
    rewritten: &'a Rewritten,
    passphrase: SecretBytes,
    /// How many there are in all.
    disks: usize,
}

fn passphrase(disk: &OpenDisk) -> SecretBytes {
    disk.dek.luks_passphrase()
}

impl Work<'_> {
    fn run(&self, context: &Context<'_>, progress: &dyn Progress) -> Result<(), Cause> {
        self.settle(|in_place| in_place.run(&share(context.tuning, self.disks), progress))
    }

    fn undo(&self, context: &Context<'_>, progress: &dyn Progress) -> Result<(), Cause> {
        self.settle(|in_place| in_place.undo(&share(context.tuning, self.disks), progress))
    }

    fn settle(
        &self,
        settle: impl FnOnce(&mut InPlace<'_>) -> Result<(), cadenas_image::ImageError>,
    ) -> Result<(), Cause> {
        let failed = || Cause::rewrite(&self.rewritten.target);
        let disk = opened(&self.rewritten.new_path).map_err(failed())?;
        let journal = opened(&self.rewritten.journal).map_err(failed())?;
        let mut in_place = InPlace::open(&disk, &journal, &self.passphrase).map_err(failed())?;
        settle(&mut in_place).map_err(failed())
    }
}

fn opened(path: &Path) -> Result<File, cadenas_image::ImageError> {
    File::open(path, Access::Write)
}

/// A disk that lies elsewhere while it is rewritten, and is not there, was not begun or is back.
fn untouched(disk: &Rewritten) -> bool {
    disk.old_path != disk.new_path && matches!(Kind::of(&disk.new_path), Ok(Kind::Nothing))
}

/// Gives a disk another name on the same file system, durably. Can be repeated.
fn move_disk(from: &Path, to: &Path) -> Result<(), files::FileError> {
    if from == to {
        return Ok(());
    }
    match (files::exists(from)?, files::exists(to)?) {
        (true, true) if files::is_same_file(from, to)? => files::remove(from)?,
        (false, true) => {}
        // Also where neither is there: the error says so.
        _ => files::rename_new(from, to)?,
    }
    files::sync_folder(files::parent(to))?;
    files::sync_folder(files::parent(from))
}

/// Going back is what a cancelled rewrite does: it is not cancelled itself.
struct Unstoppable<'a>(&'a dyn Progress);

impl Progress for Unstoppable<'_> {
    fn begin(&self, total_bytes: u64) {
        self.0.begin(total_bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        false
    }
}
