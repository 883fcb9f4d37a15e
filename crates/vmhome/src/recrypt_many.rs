//! Shallow recrypt of many VM homes, with two flushes for all of them.
//!
//! One home costs two flushes: of the staged descriptor before its rename, and of the folder after it. Of a batch, every
//! descriptor is staged, then each file system is flushed once, then all are renamed, and each file system is flushed again.
//! So every home passes the same two points in the same order as alone, and a crash leaves each with its old descriptor or its
//! new one. An outcome is told only after the second flush.

use std::{num::NonZeroUsize, thread};

use cadenas_keys::KeyRing;

use crate::{
    files::FileError,
    flush::FileSystems,
    journal::Journal,
    recrypt::{Prepared, RecryptError, Recrypted, Rewrap},
    steps::Steps,
};

type Outcome = Result<Recrypted, RecryptError>;
type Step = Result<Prepared, RecryptError>;

/// As [`crate::recrypt()`], for a batch; each home has its own outcome, in the order of the batch. Every home of the batch is
/// open and kept from other writers meanwhile: a few hundred at a time are enough.
pub fn recrypt_many(batch: &[Rewrap], keyring: &KeyRing, journal: &Journal, steps: &dyn Steps) -> Vec<Outcome> {
    let staged = flushed(stage_all(batch, keyring, journal), Prepared::sync_staged);
    let renamed = staged.into_iter().map(|home| and_then(home, |home| home.rename(steps))).collect();
    flushed(renamed, |home| home.claimed.sync()).into_iter().map(|home| Ok(home?.committed(steps))).collect()
}

/// Stages every home of the batch, on all cores.
fn stage_all(batch: &[Rewrap], keyring: &KeyRing, journal: &Journal) -> Vec<Step> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = batch.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let of_share =
            |share: &[Rewrap]| share.iter().map(|rewrap| stage(rewrap, keyring, journal)).collect::<Vec<_>>();
        let threads: Vec<_> = batch.chunks(share).map(|share| scope.spawn(move || of_share(share))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn stage(rewrap: &Rewrap, keyring: &KeyRing, journal: &Journal) -> Step {
    and_then(Prepared::new(rewrap, keyring, journal), Prepared::stage)
}

/// Flushes each file system once, or, where that is not to be had, each home by `alone`. Where it fails, so do the homes on it.
fn flushed(homes: Vec<Step>, alone: impl Fn(&Prepared) -> Result<(), FileError>) -> Vec<Step> {
    let mut file_systems = FileSystems::default();
    let mut flush = |home: &Prepared| file_systems.flush(&home.claimed, || alone(home));
    homes.into_iter().map(|home| and_then(home, &mut flush)).collect()
}

/// The next step of a home that came so far. After a failure nothing of it stays staged.
fn and_then(home: Step, step: impl FnOnce(&Prepared) -> Result<(), FileError>) -> Step {
    let home = home?;
    match step(&home) {
        Ok(()) => Ok(home),
        Err(error) => {
            home.discard();
            Err(error.into())
        }
    }
}
