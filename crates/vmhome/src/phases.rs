//! The steps that the three copying transitions share, under their own names.

use crate::{journal::Transition, steps::Step};

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

pub(crate) const fn phases(transition: Transition) -> &'static Phases {
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
