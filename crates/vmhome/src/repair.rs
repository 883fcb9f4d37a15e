//! Settling a transition that was interrupted, or that failed: undo it before its commit, finish it after.
//!
//! Whether it was committed is read from the descriptor, the one file whose rename is the commit; the journal only says
//! which files to remove. Every part can be repeated, so that a repair may itself be interrupted. Before a file is removed
//! that held the VM's only data a moment ago, the folder of the descriptor is flushed: a power cut must not bring back the
//! old descriptor after the old disks are gone. What does not fit together is left alone and reported.

use std::path::{Path, PathBuf};

use crate::{
    definition::DefinitionError,
    descriptor::{self, HomeError, Identity},
    error::Cause,
    files::{self, FileError, Kind},
    home::UnlockError,
    journal::{JournalError, Obsolete, Placement, Record, Rewritten, Seen, Transition},
    locks::{ClaimError, Claims},
    phases::phases,
    rewriting::Rewriting,
    steps::Step,
    transition::{Context, commit},
    wipe::{Wipe, WipeError},
};

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// The transition had not been committed: the VM is as it was before.
    RolledBack,
    /// It had been committed: it is finished now.
    RolledForward {
        /// Whether the home folder is still there; a decrypted VM's is if files are in it that are not ours.
        home_kept: bool,
    },
    /// Nothing was interrupted.
    NothingToDo,
}

/// Why an interrupted transition cannot be settled now. Its record stays; a later repair tries again.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A plain disk was used after the VM had been encrypted.
    #[error(
        "the plain disk {} was changed after VM {name} had been encrypted: somebody started the old VM. To keep the \
         encrypted VM, move that disk away; to keep the old VM, move the descriptor {} away, and the encrypted disks are removed. Then \
         repair again",
        .path.display(), .descriptor.display()
    )]
    PlainDiskChanged {
        /// The VM.
        name: String,
        /// The plain disk.
        path: PathBuf,
        /// The descriptor of the encrypted VM.
        descriptor: PathBuf,
    },
    /// The descriptor is neither the old nor the new one.
    #[error(
        "the descriptor {} is neither the one from before the {transition} nor the one from after it, so nothing was touched; \
         bring either back, or, if both VMs are safe elsewhere, remove the record {}",
        .descriptor.display(), .record.display()
    )]
    Unclear {
        /// What was interrupted.
        transition: Transition,
        /// The descriptor.
        descriptor: PathBuf,
        /// The record that says what was before and after.
        record: PathBuf,
    },
    /// A file or folder that must be there is not: a datastore may be missing.
    #[error(
        "{} is gone, so nothing was touched; bring its datastore back, or, if it was removed on purpose, remove the record {}",
        .path.display(), .record.display()
    )]
    Gone {
        /// What is gone.
        path: PathBuf,
        /// The record that names it.
        record: PathBuf,
    },
    /// Something has taken the path of a plain disk that is to come back.
    #[error("{} is in the way of the decrypted disk {}; move it away and repair again", .path.display(), .staged.display())]
    InTheWay {
        /// The disk's old path.
        path: PathBuf,
        /// Where the decrypted disk is.
        staged: PathBuf,
    },
    /// An image or the home is in use.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The hypervisor cannot be reached or refuses.
    #[error("{operation} VM {name} failed; it is tried again at the next repair")]
    Definition {
        /// "defining" or "undefining".
        operation: &'static str,
        /// The VM.
        name: String,
        /// What the hypervisor said.
        #[source]
        source: DefinitionError,
    },
    /// The key that wraps the disks' keys is not here.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// Disks that are half rewritten in place can neither go on nor back now.
    #[error("the disks are half rewritten; it is tried again at the next repair")]
    Rewrite(#[source] Box<Cause>),
    /// A plain disk cannot be wiped.
    #[error(transparent)]
    Wipe(#[from] WipeError),
    /// The descriptor cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Settles what `record` says was interrupted. It may be killed at any step and be called again.
///
/// Disks that are rewritten in place go on, or back if that was recorded; both need the key that wraps theirs, and both take as
/// long as what is left of them.
pub fn repair(record: &Record, context: Context<'_>) -> Result<Repaired, RepairError> {
    let Some(record) = context.journal.find(record.vm)? else { return Ok(Repaired::NothingToDo) };
    let mut claims = Claims::default();
    claims.home(&record.home)?;
    Settling { context, record: &record }.settle(&mut claims)
}

/// A transition to be settled, by a repair or by the transition itself.
pub(crate) struct Settling<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) record: &'a Record,
}

/// Which way an interrupted transition goes.
enum Fate {
    Undo,
    /// Disks are on their way to the new form, and nobody wanted them back.
    GoOn,
    Finish,
}

impl Settling<'_> {
    /// Undoes or finishes, whichever the descriptor says.
    pub(crate) fn settle(&self, claims: &mut Claims) -> Result<Repaired, RepairError> {
        match self.fate()? {
            Fate::Undo => self.go_back(claims).and_then(|()| self.undo()).map(|()| Repaired::RolledBack),
            Fate::GoOn => self.go_on(claims),
            Fate::Finish => self.finish(claims).map(|home_kept| Repaired::RolledForward { home_kept }),
        }
    }

    /// Rewrites what is left, commits and finishes. What cannot be rewritten goes back instead.
    fn go_on(&self, claims: &mut Claims) -> Result<Repaired, RepairError> {
        self.claim_rewritten(claims)?;
        let Some(rewriting) = Rewriting::announced(self.context, self.record) else {
            return self.undo().map(|()| Repaired::RolledBack);
        };
        match rewriting.go_on() {
            Ok(()) => {
                commit(self.context, self.record)?;
                self.finish(claims).map(|home_kept| Repaired::RolledForward { home_kept })
            }
            Err(Cause::Rewrite { .. } | Cause::Copied(_)) => {
                self.go_back(claims)?;
                self.undo().map(|()| Repaired::RolledBack)
            }
            Err(cause) => Err(cause.into()),
        }
    }

    /// Restores every disk that was rewritten in place; nothing to do for a transition that copies.
    fn go_back(&self, claims: &mut Claims) -> Result<(), RepairError> {
        if Rewriting::announced(self.context, self.record).is_none() {
            return Ok(());
        }
        self.claim_rewritten(claims)?;
        let record = self.record.going_back();
        self.context.journal.update(&record)?;
        self.reached(Step::RollbackInPlaceRecorded);
        Rewriting::announced(self.context, &record).map_or(Ok(()), |rewriting| rewriting.go_back())
    }

    /// Each disk must be there, under its old name or its new one, and nobody else may have it.
    fn claim_rewritten(&self, claims: &mut Claims) -> Result<(), RepairError> {
        for disk in self.rewritten() {
            if !files::exists(&disk.old_path)? {
                self.must_exist(&disk.new_path)?;
            }
            self.must_exist(&disk.journal)?;
            claims.image_at_either(&disk.old_path, &disk.new_path)?;
        }
        Ok(())
    }

    fn rewritten(&self) -> &[Rewritten] {
        self.record.rewrite.as_ref().map_or(&[], |rewrite| &rewrite.disks)
    }

    fn reached(&self, step: Step) {
        self.context.steps.reached(step);
    }

    fn fate(&self) -> Result<Fate, RepairError> {
        let record = self.record;
        let now = identity_at(&record.descriptor_path())?;
        let fate = match record.transition {
            Transition::Encrypt | Transition::DeepRecrypt => self.fate_by_descriptor(now),
            Transition::Decrypt => self.fate_by_retired(now, identity_at(&record.retired_descriptor())?)?,
        };
        let goes_on = record.after.is_some() && record.rewrite.as_ref().is_some_and(|rewrite| !rewrite.going_back);
        match fate {
            Some(Fate::Undo) if goes_on => Ok(Fate::GoOn),
            Some(Fate::Undo) if record.after.is_some() => self.must_exist(&record.home).map(|()| Fate::Undo),
            Some(fate) => Ok(fate),
            None => {
                self.must_exist(&record.home)?;
                Err(RepairError::Unclear {
                    transition: record.transition,
                    descriptor: record.descriptor_path(),
                    record: self.context.journal.path(record.vm),
                })
            }
        }
    }

    /// A new descriptor is the commit.
    fn fate_by_descriptor(&self, now: Option<Identity>) -> Option<Fate> {
        if now.is_some() && now == self.record.after {
            Some(Fate::Finish)
        } else if now == self.record.before {
            Some(Fate::Undo)
        } else {
            None
        }
    }

    /// The old descriptor out of the way is the commit. It is removed only after every disk has its place, and after the
    /// announcement there is nothing else that removes it.
    fn fate_by_retired(&self, now: Option<Identity>, retired: Option<Identity>) -> Result<Option<Fate>, RepairError> {
        let record = self.record;
        let announced = record.after.is_some();
        Ok(match (now, retired) {
            (now, None) if now.is_some() && now == record.before => Some(Fate::Undo),
            (None, retired) if announced && retired.is_some() && retired == record.before => Some(Fate::Finish),
            (None, None) if announced && self.all_placed()? => Some(Fate::Finish),
            _ => None,
        })
    }

    fn all_placed(&self) -> Result<bool, RepairError> {
        for placement in &self.record.placements {
            if files::exists(&placement.staged)? || !files::exists(&placement.path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes what was made. Nothing of the VM's own was removed before the commit; if something is missing all the
    /// same, what was made may be its only copy and stays.
    fn undo(&self) -> Result<(), RepairError> {
        let record = self.record;
        for obsolete in &record.obsolete {
            self.must_exist(&obsolete.path)?;
        }
        if record.after.is_some() {
            // Taken back first: from now on the home may be gone without being missed.
            self.context.journal.update(&record.retracted())?;
        }
        for staged in record.staged.iter().chain([&record.staged_descriptor()]) {
            self.remove_staged(staged)?;
        }
        if record.home_created {
            files::remove_empty_folder(&record.home)?;
            files::sync_folder(files::parent(&record.home))?;
        }
        self.reached(Step::RollbackHomeRemoved);
        self.context.journal.clear(record)?;
        self.reached(Step::RollbackFinished);
        Ok(())
    }

    fn remove_staged(&self, path: &Path) -> Result<(), RepairError> {
        let folder = files::parent(path);
        if Kind::of(folder)? == Kind::Folder {
            files::remove(path)?;
            files::sync_folder(folder)?;
        } else if folder != self.record.home {
            // A plain copy on a datastore that is missing just now must not be forgotten.
            self.must_exist(folder)?;
        }
        self.reached(Step::RollbackStagedRemoved);
        Ok(())
    }

    /// What is left after the commit; tells whether the home folder is still there.
    pub(crate) fn finish(&self, claims: &mut Claims) -> Result<bool, RepairError> {
        let record = self.record;
        if Kind::of(&record.home)? == Kind::Folder {
            files::sync_folder(&record.home)?;
        }
        let home_kept = match record.transition {
            Transition::Encrypt => self.finish_encrypt(claims).map(|()| true),
            Transition::Decrypt => self.finish_decrypt(claims),
            Transition::DeepRecrypt => self.finish_deep_recrypt(claims).map(|()| true),
        }?;
        self.context.journal.clear(record)?;
        self.reached(phases(record).finished);
        Ok(home_kept)
    }

    fn finish_encrypt(&self, claims: &mut Claims) -> Result<(), RepairError> {
        self.staged_must_exist()?;
        self.claim_obsolete(claims)?;
        for obsolete in &self.record.obsolete {
            self.must_be_unchanged(obsolete)?;
        }
        self.rewritten().iter().try_for_each(|disk| files::make_private(&disk.new_path))?;
        self.context.definition.undefine(self.record.vm).map_err(|source| self.failed("undefining", source))?;
        self.reached(Step::EncryptUndefined);
        self.wipe_obsolete()?;
        self.remove_obsolete()
    }

    /// Wiped disks look changed: that they were not must be remembered first, so that a repair goes on wiping.
    fn wipe_obsolete(&self) -> Result<(), RepairError> {
        let record = self.record;
        if record.wipe == Wipe::None || record.obsolete.is_empty() {
            return Ok(());
        }
        self.context.journal.update(&record.without_looks())?;
        self.reached(Step::EncryptWipeAnnounced);
        for obsolete in &record.obsolete {
            if files::exists(&obsolete.path)? {
                record.wipe.file(&obsolete.path)?;
            }
            self.reached(Step::EncryptPlainWiped);
        }
        Ok(())
    }

    fn finish_deep_recrypt(&self, claims: &mut Claims) -> Result<(), RepairError> {
        self.staged_must_exist()?;
        self.claim_obsolete(claims)?;
        self.remove_obsolete()
    }

    fn finish_decrypt(&self, claims: &mut Claims) -> Result<bool, RepairError> {
        let record = self.record;
        for placement in &record.placements {
            self.place(placement)?;
            self.reached(Step::DecryptDiskPlaced);
        }
        if let Some(plain) = &record.definition {
            self.context
                .definition
                .define(record.vm, &plain.xml, plain.autostart)
                .map_err(|source| self.failed("defining", source))?;
        }
        self.reached(Step::DecryptDefined);
        self.claim_obsolete(claims)?;
        self.remove_obsolete()?;
        files::remove(&record.staged_descriptor())?;
        files::remove(&record.retired_descriptor())?;
        let removed = files::remove_empty_folder(&record.home)?;
        files::sync_folder(if removed { files::parent(&record.home) } else { &record.home })?;
        self.reached(Step::DecryptHomeRemoved);
        Ok(!removed)
    }

    /// Gives a staged disk its old path. It has its old owner and mode already, and is flushed.
    fn place(&self, placement: &Placement) -> Result<(), RepairError> {
        let Placement { staged, path, .. } = placement;
        match (files::exists(staged)?, files::exists(path)?) {
            (true, false) => files::rename_new(staged, path)?,
            (true, true) if files::is_same_file(staged, path)? => files::remove(staged)?,
            (true, true) => return Err(RepairError::InTheWay { path: path.clone(), staged: staged.clone() }),
            (false, true) => {}
            (false, false) => self.must_exist(staged)?,
        }
        Ok(files::sync_folder(files::parent(path))?)
    }

    fn claim_obsolete(&self, claims: &mut Claims) -> Result<(), RepairError> {
        self.record.obsolete.iter().try_for_each(|obsolete| Ok(claims.image_at(&obsolete.path)?))
    }

    /// Removes the disks that a copy replaced, or the journals of disks that were rewritten.
    fn remove_obsolete(&self) -> Result<(), RepairError> {
        let journals = self.rewritten().iter().map(|disk| &disk.journal);
        for path in self.record.obsolete.iter().map(|obsolete| &obsolete.path).chain(journals) {
            files::remove(path)?;
            let folder = files::parent(path);
            if Kind::of(folder)? == Kind::Folder {
                files::sync_folder(folder)?;
            }
            self.reached(phases(self.record).obsolete_removed);
        }
        Ok(())
    }

    fn must_be_unchanged(&self, obsolete: &Obsolete) -> Result<(), RepairError> {
        let now = Seen::at(&obsolete.path)?;
        if now.is_none() || obsolete.seen.is_none() || now == obsolete.seen {
            return Ok(());
        }
        Err(RepairError::PlainDiskChanged {
            name: self.record.name.to_string(),
            path: obsolete.path.clone(),
            descriptor: self.record.descriptor_path(),
        })
    }

    /// The new disks are the VM's only data as soon as the old ones are removed.
    fn staged_must_exist(&self) -> Result<(), RepairError> {
        if self.record.is_in_place() {
            return self.rewritten().iter().try_for_each(|disk| self.must_exist(&disk.new_path));
        }
        self.record.staged.iter().try_for_each(|staged| self.must_exist(staged))
    }

    fn must_exist(&self, path: &Path) -> Result<(), RepairError> {
        if files::exists(path)? {
            return Ok(());
        }
        Err(RepairError::Gone { path: path.to_owned(), record: self.context.journal.path(self.record.vm) })
    }

    fn failed(&self, operation: &'static str, source: DefinitionError) -> RepairError {
        RepairError::Definition { operation, name: self.record.name.to_string(), source }
    }
}

impl From<Cause> for RepairError {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Unlock(error) => Self::Unlock(error),
            Cause::File(error) => Self::File(error),
            cause => Self::Rewrite(Box::new(cause)),
        }
    }
}

fn identity_at(path: &Path) -> Result<Option<Identity>, HomeError> {
    Ok(descriptor::read(path)?.map(|descriptor| descriptor.identity()))
}
