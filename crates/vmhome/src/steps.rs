//! The steps at which a crash is tested.
//!
//! Every transition says at each of its steps that it has reached it. A test, or the host when it is told to by its own
//! tests, can end the process there. The tests go through [`Step::ALL`], so that no step can be added without its crash.

use std::{fmt, str::FromStr};

/// Told by a transition of each step that it has reached.
pub trait Steps: Send + Sync {
    /// What the step names is done, and flushed where it must be. A test does not return from here.
    fn reached(&self, step: Step);
}

/// Steps that nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSteps;

impl Steps for NoSteps {
    fn reached(&self, _: Step) {}
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// A step of a transition: what has just been done when it is reached.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Step {
            /// Every step, in the order in which a transition reaches them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The step as text: the transition, a slash and what was done.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

steps! {
    /// The journal says what is about to be made.
    EncryptRecorded = "encrypt/recorded",
    /// The home folder is there.
    EncryptHomeCreated = "encrypt/home-created",
    /// An encrypted disk is written and flushed.
    EncryptDiskStaged = "encrypt/disk-staged",
    /// Every encrypted disk was opened with its wrapped key and compared.
    EncryptStagedVerified = "encrypt/staged-verified",
    /// The descriptor is written under its hidden name and flushed.
    EncryptDescriptorStaged = "encrypt/descriptor-staged",
    /// The journal knows the new descriptor.
    EncryptAnnounced = "encrypt/announced",
    /// The descriptor has its name: from here on the VM is encrypted.
    EncryptCommitted = "encrypt/committed",
    /// The hypervisor has forgotten the plain definition.
    EncryptUndefined = "encrypt/undefined",
    /// The journal says that the plain disks were as they had been copied, and may look different from now on.
    EncryptWipeAnnounced = "encrypt/wipe-announced",
    /// A plain disk is wiped.
    EncryptPlainWiped = "encrypt/plain-wiped",
    /// A plain disk is removed.
    EncryptPlainRemoved = "encrypt/plain-removed",
    /// The journal is clear.
    EncryptFinished = "encrypt/finished",
    /// The journal says what is about to be made.
    DecryptRecorded = "decrypt/recorded",
    /// A plain disk is written under its hidden name and flushed.
    DecryptDiskStaged = "decrypt/disk-staged",
    /// Every plain disk was compared.
    DecryptStagedVerified = "decrypt/staged-verified",
    /// The journal holds the plain definition.
    DecryptAnnounced = "decrypt/announced",
    /// The descriptor is put aside: from here on the VM is plain.
    DecryptCommitted = "decrypt/committed",
    /// A plain disk has its old path, owner and mode.
    DecryptDiskPlaced = "decrypt/disk-placed",
    /// The hypervisor has the plain definition back.
    DecryptDefined = "decrypt/defined",
    /// An encrypted disk is removed.
    DecryptEncryptedRemoved = "decrypt/encrypted-removed",
    /// The descriptor that was put aside is removed, and the home folder if nothing else is in it.
    DecryptHomeRemoved = "decrypt/home-removed",
    /// The journal is clear.
    DecryptFinished = "decrypt/finished",
    /// The journal says what is about to be made.
    EncryptInPlaceRecorded = "encrypt-in-place/recorded",
    /// A disk's own journal is written and flushed; the disk is as it was.
    EncryptInPlaceDiskPrepared = "encrypt-in-place/disk-prepared",
    /// The descriptor is written under its hidden name and flushed.
    EncryptInPlaceDescriptorStaged = "encrypt-in-place/descriptor-staged",
    /// The journal knows the new descriptor: from here on it goes forward, unless it fails or is cancelled.
    EncryptInPlaceAnnounced = "encrypt-in-place/announced",
    /// A disk lies in the home, as it was.
    EncryptInPlaceDiskMoved = "encrypt-in-place/disk-moved",
    /// A disk is encrypted.
    EncryptInPlaceDiskRewritten = "encrypt-in-place/disk-rewritten",
    /// Every disk opens with its wrapped key.
    EncryptInPlaceProved = "encrypt-in-place/proved",
    /// The descriptor has its name: from here on the VM is encrypted.
    EncryptInPlaceCommitted = "encrypt-in-place/committed",
    /// A disk's own journal is removed.
    EncryptInPlaceJournalRemoved = "encrypt-in-place/journal-removed",
    /// The journal is clear.
    EncryptInPlaceFinished = "encrypt-in-place/finished",
    /// The journal says what is about to be made.
    DecryptInPlaceRecorded = "decrypt-in-place/recorded",
    /// A disk's own journal is written and flushed; the disk is as it was.
    DecryptInPlaceDiskPrepared = "decrypt-in-place/disk-prepared",
    /// The journal holds the plain definition: from here on it goes forward, unless it fails or is cancelled.
    DecryptInPlaceAnnounced = "decrypt-in-place/announced",
    /// A disk is plain.
    DecryptInPlaceDiskRewritten = "decrypt-in-place/disk-rewritten",
    /// Every disk is plain and has its old owner and mode.
    DecryptInPlaceProved = "decrypt-in-place/proved",
    /// The descriptor is put aside: from here on the VM is plain.
    DecryptInPlaceCommitted = "decrypt-in-place/committed",
    /// A disk's own journal is removed.
    DecryptInPlaceJournalRemoved = "decrypt-in-place/journal-removed",
    /// The journal is clear.
    DecryptInPlaceFinished = "decrypt-in-place/finished",
    /// The descriptor with new wrappings is written under its hidden name and flushed.
    RecryptDescriptorStaged = "recrypt/descriptor-staged",
    /// It has its name: from here on the new key opens the VM, and the old one is no longer needed.
    RecryptCommitted = "recrypt/committed",
    /// The journal says what is about to be made.
    DeepRecryptRecorded = "deep-recrypt/recorded",
    /// A disk is written anew and flushed.
    DeepRecryptDiskStaged = "deep-recrypt/disk-staged",
    /// Every new disk was opened with its wrapped key and compared.
    DeepRecryptStagedVerified = "deep-recrypt/staged-verified",
    /// The new descriptor is written under its hidden name and flushed.
    DeepRecryptDescriptorStaged = "deep-recrypt/descriptor-staged",
    /// The journal knows the new descriptor.
    DeepRecryptAnnounced = "deep-recrypt/announced",
    /// The new descriptor has its name: from here on the new disks are the VM's.
    DeepRecryptCommitted = "deep-recrypt/committed",
    /// An old disk is removed.
    DeepRecryptOldRemoved = "deep-recrypt/old-removed",
    /// The journal is clear.
    DeepRecryptFinished = "deep-recrypt/finished",
    /// The journal says what is about to be made.
    DeepRecryptInPlaceRecorded = "deep-recrypt-in-place/recorded",
    /// A disk's own journal is written and flushed; the disk is as it was.
    DeepRecryptInPlaceDiskPrepared = "deep-recrypt-in-place/disk-prepared",
    /// The new descriptor is written under its hidden name and flushed.
    DeepRecryptInPlaceDescriptorStaged = "deep-recrypt-in-place/descriptor-staged",
    /// The journal knows the new descriptor: from here on it goes forward, unless it fails or is cancelled.
    DeepRecryptInPlaceAnnounced = "deep-recrypt-in-place/announced",
    /// A disk is encrypted anew.
    DeepRecryptInPlaceDiskRewritten = "deep-recrypt-in-place/disk-rewritten",
    /// Every disk opens with its new wrapped key.
    DeepRecryptInPlaceProved = "deep-recrypt-in-place/proved",
    /// The new descriptor has its name.
    DeepRecryptInPlaceCommitted = "deep-recrypt-in-place/committed",
    /// A disk's own journal is removed.
    DeepRecryptInPlaceJournalRemoved = "deep-recrypt-in-place/journal-removed",
    /// The journal is clear.
    DeepRecryptInPlaceFinished = "deep-recrypt-in-place/finished",
    /// A disk has its one-time key slot.
    StartOneTimeSlotWritten = "start/one-time-slot-written",
    /// A disk's one-time key slot is overwritten.
    StartSlotErased = "start/slot-erased",
    /// The journal says that disks that were rewritten in place go back.
    RollbackInPlaceRecorded = "rollback-in-place/recorded",
    /// A disk is again what it was.
    RollbackInPlaceDiskRestored = "rollback-in-place/disk-restored",
    /// A disk lies again where it was.
    RollbackInPlaceDiskMovedBack = "rollback-in-place/disk-moved-back",
    /// A file that a failed or interrupted transition made is removed.
    RollbackStagedRemoved = "rollback/staged-removed",
    /// The home folder that it made is removed.
    RollbackHomeRemoved = "rollback/home-removed",
    /// The journal is clear.
    RollbackFinished = "rollback/finished",
}

impl Step {
    /// The transition that the step belongs to: what stands before the slash of its label.
    #[must_use]
    pub fn transition(self) -> &'static str {
        self.label().split('/').next().expect("a split has a first part")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// No step has this label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no step is called {label:?}")]
pub struct UnknownStep {
    label: String,
}

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(label: &str) -> Result<Self, UnknownStep> {
        Self::ALL
            .iter()
            .copied()
            .find(|step| step.label() == label)
            .ok_or_else(|| UnknownStep { label: label.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_unique_and_read_back() {
        let labels: BTreeSet<_> = Step::ALL.iter().map(|step| step.label()).collect();
        assert_eq!(labels.len(), Step::ALL.len());
        for step in Step::ALL {
            assert_eq!(step.label().parse(), Ok(*step));
        }
        assert!("encrypt/nothing".parse::<Step>().is_err());
    }
}
