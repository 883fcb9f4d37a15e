//! The errors of the crates below, as problems of the API.
//!
//! A problem's detail is the error and its causes on one line. The code is chosen here, once for each kind of error.

use cadenas_api::{Problem, ProblemCode, chain};
use cadenas_hypervisor::{Hypervisor, HypervisorError};
use cadenas_image::LockError;
use cadenas_keys::{KeyId, KeyRing, NeededKey, ProviderId, VmId};
use cadenas_vmhome::{
    Cause, ClaimError, Definition, DefinitionError, DiskError, DiskProblem, HomeError, PlainDiskProblem, Record,
    RecryptError, Refusal, SlotError, TransitionError, UnlockError,
};

use crate::InventoryError;

type Error<'a> = &'a (dyn std::error::Error + 'static);

const SETTLED_BY_ITSELF: &str =
    "`cadenas event ls` tells what it waits for; it is tried again every minute and at each start of the server";

fn problem(code: ProblemCode, error: Error<'_>) -> Problem {
    Problem::new(code, chain(error))
}

pub(crate) fn from_hypervisor(error: &HypervisorError) -> Problem {
    match error {
        HypervisorError::Unreachable { .. } => problem(ProblemCode::HypervisorUnreachable, error),
        HypervisorError::NoSuchDomain { .. } => problem(ProblemCode::NoSuchVm, error),
        HypervisorError::Failed { .. } | HypervisorError::EventLoop { .. } => {
            problem(ProblemCode::HypervisorFailed, error)
        }
    }
}

pub(crate) fn from_inventory(error: &InventoryError) -> Problem {
    problem(ProblemCode::Internal, error).next("look after the data folder of Cadenas, then try again")
}

pub(crate) fn from_home(error: &HomeError) -> Problem {
    problem(ProblemCode::HomeUnfit, error)
}

pub(crate) fn from_unlock(error: &UnlockError) -> Problem {
    match error {
        UnlockError::Locked { missing, .. } => problem(ProblemCode::VmLocked, error).next(unlocking(missing)),
        UnlockError::Key { .. } | UnlockError::Configuration { .. } => tampered(error),
    }
}

fn unlocking(missing: &[NeededKey]) -> &'static str {
    if missing.iter().all(|needed| needed.kms_key.is_none()) {
        "restore the provider: `cadenas provider restore FILE.p12`; the VM unlocks by itself then"
    } else {
        "see to its key servers: `cadenas provider test NAME`; the VM unlocks by itself when they give the key. If the \
         provider was removed here, `cadenas recover --key FILE` opens the VM with the key out of the key server"
    }
}

pub(crate) fn from_disk(error: &DiskError) -> Problem {
    match error.problem {
        DiskProblem::Missing | DiskProblem::NotAFile(_) | DiskProblem::Unreadable => {
            problem(ProblemCode::DiskUnfit, error)
        }
        _ => tampered(error),
    }
}

fn tampered(error: Error<'_>) -> Problem {
    problem(ProblemCode::Tampered, error)
        .next("nothing was started or changed; bring the VM home back from a copy that you trust")
}

pub(crate) fn from_slot(error: &SlotError) -> Problem {
    match error {
        SlotError::Disk(disk) => from_disk(disk),
        SlotError::Lock(lock) => from_lock(lock),
        SlotError::Slot { .. } => problem(ProblemCode::DatastoreFailed, error),
    }
}

fn from_lock(error: &LockError) -> Problem {
    match error {
        LockError::Busy { path } => {
            problem(ProblemCode::ImageInUse, error).next(format!("`fuser -v {}` tells which", path.display()))
        }
        LockError::Failed { .. } => problem(ProblemCode::DatastoreFailed, error)
            .next("QEMU needs file locks too: see whether the datastore is mounted without them (`nolock`)"),
    }
}

fn from_claim(error: &ClaimError) -> Problem {
    match error {
        ClaimError::Image(lock) => from_lock(lock),
        _ => problem(ProblemCode::ImageInUse, error),
    }
}

pub(crate) fn from_recrypt(error: &RecryptError) -> Problem {
    match error {
        RecryptError::Home(home) => from_home(home),
        RecryptError::Claim(claim) => from_claim(claim),
        RecryptError::Key { source: cadenas_keys::UnwrapError::KeyMissing { .. }, .. } => {
            problem(ProblemCode::VmLocked, error)
                .next("`cadenas vm show` tells which key it lacks: restore that provider, or see to its key servers")
        }
        RecryptError::Key { .. } => tampered(error),
        RecryptError::Journal(_) => problem(ProblemCode::NeedsRepair, error).next(SETTLED_BY_ITSELF),
        RecryptError::WrappedOtherwise { .. } => problem(ProblemCode::VmChanged, error).next("ask for it again"),
        RecryptError::Unlock(unlock) => from_unlock(unlock),
        RecryptError::File(_) => problem(ProblemCode::DatastoreFailed, error),
    }
}

pub(crate) fn from_transition(error: &TransitionError) -> Problem {
    match error {
        TransitionError::Refused(refusal) => from_refusal(refusal),
        TransitionError::Undone { cause, .. } => undone(code_of_cause(cause), error),
        TransitionError::NotUndone { .. } | TransitionError::Unfinished { .. } => {
            problem(ProblemCode::NeedsRepair, error).next("it is tried again by itself every minute")
        }
    }
}

fn undone(code: ProblemCode, error: Error<'_>) -> Problem {
    match code {
        ProblemCode::DatastoreFailed => {
            problem(code, error).next("nothing is lost; mend or clear the datastore, then ask for it again")
        }
        _ => problem(code, error),
    }
}

pub(crate) fn from_refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Key(_) => problem(ProblemCode::ProviderNotUsable, refusal),
        Refusal::Journal(_) => problem(ProblemCode::NeedsRepair, refusal),
        Refusal::Claim(claim) => from_claim(claim),
        Refusal::HomeNotEmpty(_) | Refusal::HomeNotAFolder { .. } => {
            problem(ProblemCode::HomeUnfit, refusal).next("choose another folder with --home DIR")
        }
        Refusal::PlainDisk { problem: PlainDiskProblem::NotAFile(_), .. } => {
            problem(ProblemCode::NotYetHandled, refusal)
        }
        Refusal::EncryptedDisk(disk) => from_disk(disk),
        Refusal::PlainDisk { .. }
        | Refusal::Image { .. }
        | Refusal::InTheWay { .. }
        | Refusal::FolderGone { .. }
        | Refusal::NotInPlace { .. } => problem(ProblemCode::DiskUnfit, refusal),
        Refusal::NoSpace { .. } | Refusal::NoSpaceNorInPlace { .. } => problem(ProblemCode::NoSpace, refusal),
        Refusal::Descriptor { .. } | Refusal::Home(_) | Refusal::Replaced(_) => {
            problem(ProblemCode::HomeUnfit, refusal)
        }
        Refusal::File(_) => problem(ProblemCode::DatastoreFailed, refusal),
    }
}

fn code_of_cause(cause: &Cause) -> ProblemCode {
    match cause {
        Cause::Cancelled => ProblemCode::Cancelled,
        Cause::Claim(_) | Cause::Changed(_) => ProblemCode::ImageInUse,
        Cause::Key(_) => ProblemCode::ProviderNotUsable,
        Cause::Unlock(_) => ProblemCode::Tampered,
        Cause::Descriptor(_) | Cause::DescriptorGone(_) | Cause::Home(_) => ProblemCode::HomeUnfit,
        Cause::Journal(_) => ProblemCode::Internal,
        Cause::Copy { .. } | Cause::Rewrite { .. } | Cause::CopyDiffers { .. } | Cause::Copied(_) | Cause::File(_) => {
            ProblemCode::DatastoreFailed
        }
    }
}

/// The problem of a VM whose interrupted transition is not settled.
pub(crate) fn interrupted(record: &Record, keys: &KeyRing) -> Problem {
    let lacks = |(provider, key): &&(ProviderId, KeyId)| !keys.has(*provider, *key);
    let waits = match record.keys().iter().find(lacks) {
        Some((provider, key)) => format!(": it waits for key {key} of provider {provider}"),
        None => String::new(),
    };
    let what = format!("an interrupted {} of VM {} is not settled yet{waits}", record.transition(), record.name());
    Problem::new(ProblemCode::NeedsRepair, what).next(SETTLED_BY_ITSELF)
}

/// libvirt as what a transition needs of it.
pub(crate) struct Libvirt<'a>(pub(crate) &'a dyn Hypervisor);

impl Definition for Libvirt<'_> {
    fn define(&self, _: VmId, xml: &str, autostart: bool) -> Result<(), DefinitionError> {
        self.0.define(xml, autostart).map_err(DefinitionError::new)
    }

    fn undefine(&self, vm: VmId) -> Result<(), DefinitionError> {
        self.0.undefine(vm.uuid()).map(drop).map_err(DefinitionError::new)
    }
}
