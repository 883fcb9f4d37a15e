//! Making ready what disks need to be rewritten in place: a journal for each, before anything changes.

use std::path::{Path, PathBuf};

use cadenas_image::{
    File, Format, ImageInfo,
    in_place::{Change, InPlace, extra_space},
};
use cadenas_keys::{KeyId, ProviderId};

use crate::{
    error::{Cause, Refusal},
    files::{self, FileError},
    journal::{Rewrite, Rewritten},
    transition::Run,
};

/// A disk that is to be rewritten in place.
pub(crate) struct Candidate<'a> {
    pub(crate) target: &'a str,
    /// Open for writing, locked.
    pub(crate) file: &'a File,
    pub(crate) format: Format,
    pub(crate) change: Change<'a>,
}

impl Candidate<'_> {
    /// The room that it takes at most, in bytes. An image that cannot be rewritten in place is refused.
    fn extra(&self) -> Result<u64, Refusal> {
        let refused = |source| Refusal::Image { target: self.target.to_owned(), source };
        Ok(extra_space(self.file, self.format, &self.change).map_err(refused)?.during)
    }

    /// Writes the disk's journal, and tells what the disk will be.
    fn prepare(&self, journal: &Path) -> Result<ImageInfo, Cause> {
        let failed = || Cause::rewrite(self.target);
        let journal = File::create_new(journal).map_err(failed())?;
        let prepared = InPlace::prepare(self.file, &journal, self.format, &self.change).map_err(failed())?;
        Ok(prepared.new_info().clone())
    }
}

/// The room that all of them take at most, in bytes.
pub(crate) fn extra(candidates: &[Candidate<'_>]) -> Result<u64, Refusal> {
    candidates.iter().try_fold(0_u64, |sum, candidate| Ok(sum.saturating_add(candidate.extra()?)))
}

/// Prepares every disk, in the order of the record, and tells what they will be.
pub(crate) fn prepare(run: &Run<'_>, candidates: &[Candidate<'_>]) -> Result<Vec<ImageInfo>, Cause> {
    if run.context.progress.cancelled() {
        return Err(Cause::Cancelled);
    }
    let disks = run.record.rewrite.iter().flat_map(|rewrite| &rewrite.disks);
    let prepared = disks.zip(candidates).map(|(disk, candidate)| {
        let info = candidate.prepare(&disk.journal)?;
        run.reached(run.phases().disk_staged);
        Ok(info)
    });
    prepared.collect()
}

/// The record of disks that lie at these paths, before and from the announcement on.
pub(crate) fn rewrite(
    disks: impl Iterator<Item = (String, PathBuf, PathBuf)>,
    keys: Vec<(ProviderId, KeyId)>,
) -> Result<Rewrite, FileError> {
    let disks = disks.map(|(target, old_path, new_path)| {
        let journal = unused_journal(&new_path)?;
        Ok(Rewritten { target, old_path, new_path, journal })
    });
    Ok(Rewrite { disks: disks.collect::<Result<_, _>>()?, going_back: false, keys })
}

/// Where `cadenas disk` would put it too: `vda.qcow2.cadenas-journal`. One that a removed record left is not ours to replace.
fn unused_journal(disk: &Path) -> Result<PathBuf, FileError> {
    let mut number = 1_u32;
    loop {
        let mut name = disk.as_os_str().to_owned();
        name.push(".cadenas-journal");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let journal = PathBuf::from(name);
        if !files::exists(&journal)? {
            return Ok(journal);
        }
        number += 1;
    }
}
