//! The steps that the three transitions share, copying or in place, under their own names.

use crate::{
    journal::{Record, Transition},
    steps::Step,
};

/// One transition's names for the common steps.
pub(crate) struct Phases {
    pub(crate) recorded: Step,
    pub(crate) disk_staged: Step,
    pub(crate) staged_verified: Step,
    /// A decryption stages no descriptor.
    pub(crate) descriptor_staged: Option<Step>,
    pub(crate) announced: Step,
    pub(crate) committed: Step,
    pub(crate) obsolete_removed: Step,
    pub(crate) finished: Step,
}

/// The steps of disks that are rewritten in place.
pub(crate) struct RewriteSteps {
    /// A disk lies where it is rewritten; it does from the beginning if the VM is encrypted.
    pub(crate) moved: Option<Step>,
    pub(crate) rewritten: Step,
}

pub(crate) const fn rewrite_steps(transition: Transition) -> RewriteSteps {
    match transition {
        Transition::Encrypt => {
            RewriteSteps { moved: Some(Step::EncryptInPlaceDiskMoved), rewritten: Step::EncryptInPlaceDiskRewritten }
        }
        Transition::Decrypt => RewriteSteps { moved: None, rewritten: Step::DecryptInPlaceDiskRewritten },
        Transition::DeepRecrypt => RewriteSteps { moved: None, rewritten: Step::DeepRecryptInPlaceDiskRewritten },
    }
}

pub(crate) const fn phases(record: &Record) -> &'static Phases {
    if record.rewrite.is_some() { in_place(record.transition) } else { copying(record.transition) }
}

const fn in_place(transition: Transition) -> &'static Phases {
    match transition {
        Transition::Encrypt => &Phases {
            recorded: Step::EncryptInPlaceRecorded,
            disk_staged: Step::EncryptInPlaceDiskPrepared,
            staged_verified: Step::EncryptInPlaceProved,
            descriptor_staged: Some(Step::EncryptInPlaceDescriptorStaged),
            announced: Step::EncryptInPlaceAnnounced,
            committed: Step::EncryptInPlaceCommitted,
            obsolete_removed: Step::EncryptInPlaceJournalRemoved,
            finished: Step::EncryptInPlaceFinished,
        },
        Transition::Decrypt => &Phases {
            recorded: Step::DecryptInPlaceRecorded,
            disk_staged: Step::DecryptInPlaceDiskPrepared,
            staged_verified: Step::DecryptInPlaceProved,
            descriptor_staged: None,
            announced: Step::DecryptInPlaceAnnounced,
            committed: Step::DecryptInPlaceCommitted,
            obsolete_removed: Step::DecryptInPlaceJournalRemoved,
            finished: Step::DecryptInPlaceFinished,
        },
        Transition::DeepRecrypt => &Phases {
            recorded: Step::DeepRecryptInPlaceRecorded,
            disk_staged: Step::DeepRecryptInPlaceDiskPrepared,
            staged_verified: Step::DeepRecryptInPlaceProved,
            descriptor_staged: Some(Step::DeepRecryptInPlaceDescriptorStaged),
            announced: Step::DeepRecryptInPlaceAnnounced,
            committed: Step::DeepRecryptInPlaceCommitted,
            obsolete_removed: Step::DeepRecryptInPlaceJournalRemoved,
            finished: Step::DeepRecryptInPlaceFinished,
        },
    }
}

const fn copying(transition: Transition) -> &'static Phases {
    match transition {
        Transition::Encrypt => &Phases {
            recorded: Step::EncryptRecorded,
            disk_staged: Step::EncryptDiskStaged,
            staged_verified: Step::EncryptStagedVerified,
            descriptor_staged: Some(Step::EncryptDescriptorStaged),
            announced: Step::EncryptAnnounced,
            committed: Step::EncryptCommitted,
            obsolete_removed: Step::EncryptPlainRemoved,
            finished: Step::EncryptFinished,
        },
        Transition::Decrypt => &Phases {
            recorded: Step::DecryptRecorded,
            disk_staged: Step::DecryptDiskStaged,
            staged_verified: Step::DecryptStagedVerified,
            descriptor_staged: None,
            announced: Step::DecryptAnnounced,
            committed: Step::DecryptCommitted,
            obsolete_removed: Step::DecryptEncryptedRemoved,
            finished: Step::DecryptFinished,
        },
        Transition::DeepRecrypt => &Phases {
            recorded: Step::DeepRecryptRecorded,
            disk_staged: Step::DeepRecryptDiskStaged,
            staged_verified: Step::DeepRecryptStagedVerified,
            descriptor_staged: Some(Step::DeepRecryptDescriptorStaged),
            announced: Step::DeepRecryptAnnounced,
            committed: Step::DeepRecryptCommitted,
            obsolete_removed: Step::DeepRecryptOldRemoved,
            finished: Step::DeepRecryptFinished,
        },
    }
}
