//! The one way in which encrypt, decrypt and deep recrypt run: record, stage, announce, commit, finish.
//!
//! A step that fails before the commit is undone by the same code that repairs after a crash ([`crate::repair()`]); which
//! of the two ways it goes is read from the disk, never remembered.

use cadenas_image::{Progress, Tuning};
use cadenas_keys::KeyRing;

use crate::{
    definition::Definition,
    descriptor::Descriptor,
    error::{Cause, Refusal, TransitionError},
    files::{self, FileError},
    home::VmHome,
    journal::{Journal, PlainDefinition, Record, Seen, Transition},
    locks::Claims,
    phases::{Phases, phases},
    repair::{RepairError, Repaired, Settling},
    rewriting::Rewriting,
    steps::{Step, Steps},
};

/// What every transition works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Holds the provider's keys.
    pub keyring: &'a KeyRing,
    /// Where interrupted transitions are found again.
    pub journal: &'a Journal,
    /// The hypervisor.
    pub definition: &'a dyn Definition,
    /// Who wants to know of each step.
    pub steps: &'a dyn Steps,
    /// Who wants to know of bytes, and may cancel.
    pub progress: &'a dyn Progress,
    /// How much of the machine the disks may take, all together.
    pub tuning: Tuning,
}

/// What staging made besides the disks that the record names.
pub(crate) enum Staged {
    /// The new descriptor, whose rename will be the commit.
    Descriptor(Box<Descriptor>),
    /// The definition to give back; putting the old descriptor aside will be the commit.
    Plain(PlainDefinition),
}

/// A transition that has passed its checks.
pub(crate) struct Run<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) record: Record,
    pub(crate) claims: Claims,
}

/// A transition that has come to its end.
pub(crate) struct Done {
    /// The VM home with its new descriptor; none after a decryption.
    pub(crate) home: Option<VmHome>,
    /// Whether the home folder is still there.
    pub(crate) home_kept: bool,
}

impl Run<'_> {
    /// Runs it with `stage` as the part that differs.
    pub(crate) fn run(
        mut self,
        stage: impl FnOnce(&mut Self) -> Result<Staged, Cause>,
    ) -> Result<Done, TransitionError> {
        self.begin()?;
        let mut home = None;
        let committed = stage(&mut self).and_then(|staged| {
            home = self.new_home(&staged);
            self.commit(staged)
        });
        let Self { mut record, mut claims, context } = self;
        if let (Err(_), Some(rewrite)) = (&committed, &mut record.rewrite) {
            rewrite.going_back = true;
        }
        let settling = Settling { context, record: &record };
        match committed {
            Ok(()) => match settling.finish(&mut claims) {
                Ok(home_kept) => Ok(Done { home, home_kept }),
                Err(source) => Err(unfinished(&record, source)),
            },
            Err(cause) => match settling.settle(&mut claims) {
                Ok(Repaired::RolledForward { home_kept }) => Ok(Done { home, home_kept }),
                Ok(_) => Err(undone(&record, cause)),
                Err(source) => Err(not_undone(&record, cause, source)),
            },
        }
    }

    pub(crate) fn reached(&self, step: Step) {
        self.context.steps.reached(step);
    }

    pub(crate) fn phases(&self) -> &'static Phases {
        phases(&self.record)
    }

    fn new_home(&self, staged: &Staged) -> Option<VmHome> {
        let Staged::Descriptor(new) = staged else { return None };
        let (folder, file) = (self.record.home.clone(), self.record.descriptor.clone());
        Some(VmHome::in_folder(folder, file, Descriptor::clone(new)))
    }

    fn begin(&self) -> Result<(), Refusal> {
        self.context.journal.begin(&self.record)?;
        self.reached(self.phases().recorded);
        Ok(())
    }

    /// Everything that was staged is flushed before it is announced, and announced before it is committed.
    fn commit(&mut self, staged: Staged) -> Result<(), Cause> {
        let after = match staged {
            Staged::Descriptor(new) => {
                files::write_staged(&self.record.staged_descriptor(), &new.to_bytes())?;
                Some(new.identity())
            }
            Staged::Plain(plain) => {
                self.record.definition = Some(plain);
                self.record.before
            }
        };
        self.sync_staged()?;
        if let Some(step) = self.phases().descriptor_staged {
            self.reached(step);
        }
        self.last_look()?;
        self.record.after = after;
        self.context.journal.update(&self.record)?;
        self.reached(self.phases().announced);
        if let Some(rewriting) = Rewriting::announced(self.context, &self.record) {
            rewriting.go_on()?;
        }
        Ok(commit(self.context, &self.record)?)
    }

    fn sync_staged(&self) -> Result<(), Cause> {
        files::sync_folder(&self.record.home)?;
        for staged in &self.record.staged {
            files::sync_folder(files::parent(staged))?;
        }
        Ok(())
    }

    /// The last moment to cancel, and to see that a plain disk was written to by something that takes no locks.
    fn last_look(&self) -> Result<(), Cause> {
        if self.context.progress.cancelled() {
            return Err(Cause::Cancelled);
        }
        for obsolete in &self.record.obsolete {
            if obsolete.seen.is_some() && Seen::at(&obsolete.path)? != obsolete.seen {
                return Err(Cause::Changed(obsolete.path.clone()));
            }
        }
        Ok(())
    }
}

/// The one rename that makes the new VM the one that is.
pub(crate) fn commit(context: Context<'_>, record: &Record) -> Result<(), FileError> {
    let (descriptor, staged) = (record.descriptor_path(), record.staged_descriptor());
    match record.transition {
        Transition::Encrypt => files::rename_new(&staged, &descriptor)?,
        Transition::DeepRecrypt => files::rename_over(&staged, &descriptor)?,
        Transition::Decrypt => files::rename_over(&descriptor, &record.retired_descriptor())?,
    }
    files::sync_folder(&record.home)?;
    context.steps.reached(phases(record).committed);
    Ok(())
}

fn undone(record: &Record, cause: Cause) -> TransitionError {
    TransitionError::Undone { transition: record.transition, name: record.name.clone(), cause: Box::new(cause) }
}

fn not_undone(record: &Record, cause: Cause, source: RepairError) -> TransitionError {
    TransitionError::NotUndone {
        transition: record.transition,
        name: record.name.clone(),
        cause: Box::new(cause),
        source: Box::new(source),
    }
}

fn unfinished(record: &Record, source: RepairError) -> TransitionError {
    TransitionError::Unfinished { transition: record.transition, name: record.name.clone(), source: Box::new(source) }
}
