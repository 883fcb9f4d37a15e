//! Rewriting an image where it lies: encrypt, decrypt, and from one volume key to another.

mod layout;

use cadenas_secret::SecretBytes;

use crate::{Format, ImageError, ImageInfo, NewKey, Progress, Storage, Tuning};

/// What an in-place rewrite makes of an image.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Raw to raw LUKS (no holes afterwards), raw to qcow2 with LUKS (holes stay), or qcow2 to qcow2 with LUKS.
    Encrypt {
        /// `Luks` or `Qcow2`.
        into: Format,
        /// The new volume's first key slot.
        key: NewKey<'a>,
    },
    /// Raw LUKS to raw, or qcow2 with LUKS to plain qcow2.
    Decrypt {
        /// What opens the image now.
        passphrase: &'a SecretBytes,
        /// Exact length of a raw file in bytes, if it did not end with a whole sector.
        len: Option<u64>,
    },
    /// To a fresh volume key; the format stays.
    Recrypt {
        /// What opens the image now.
        passphrase: &'a SecretBytes,
        /// The new volume's first key slot.
        key: NewKey<'a>,
    },
}

/// An image and the journal of its rewrite.
pub struct InPlace<'a> {
    disk: &'a dyn Storage,
    journal: &'a dyn Storage,
}

/// How far a rewrite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPlaceState {
    /// The image is still, or again, what it was.
    Old,
    /// It is neither the old nor the new image: no other program opens it.
    Between,
    /// It is the new image.
    New,
}

/// What a rewrite needs beyond the image's own length, in bytes: the growth of the image's file and its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraSpace {
    /// While it runs.
    pub during: u64,
    /// Afterwards.
    pub after: u64,
}

/// Says what a rewrite would need, and refuses an image that cannot be rewritten in place. Nothing is changed.
pub fn extra_space(disk: &dyn Storage, format: Format, change: &Change<'_>) -> Result<ExtraSpace, ImageError> {
    let _ = (disk, format, change);
    unimplemented!()
}

impl<'a> InPlace<'a> {
    /// Checks the image and writes a journal, which must be an empty file, with all that a later [`Self::open`] needs; it is
    /// durable on return, but for the journal's name in its folder. The image is not changed yet.
    pub fn prepare(
        disk: &'a dyn Storage,
        journal: &'a dyn Storage,
        format: Format,
        change: &Change<'_>,
    ) -> Result<Self, ImageError> {
        let _ = (format, change);
        Ok(Self { disk, journal })
    }

    /// Opens the journal of a rewrite that was interrupted, with a passphrase of the old image or of the new.
    pub fn open(disk: &'a dyn Storage, journal: &'a dyn Storage, passphrase: &SecretBytes) -> Result<Self, ImageError> {
        let _ = passphrase;
        Ok(Self { disk, journal })
    }

    /// How far it is.
    pub fn state(&self) -> Result<InPlaceState, ImageError> {
        let _ = (self.disk, self.journal);
        unimplemented!()
    }

    /// What the image is, or will be, when the rewrite is finished.
    #[must_use]
    pub fn new_info(&self) -> &ImageInfo {
        unimplemented!()
    }

    /// Goes on to the end, from wherever it is. Afterwards the image is the new one, durably, and the journal can be removed.
    /// Cancelled or failed, it can go on later, or back.
    pub fn run(&mut self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError> {
        let _ = (tuning, progress);
        unimplemented!()
    }

    /// Goes back to the old image, from wherever it is, even from the end as long as nobody else wrote to the image.
    pub fn undo(&mut self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError> {
        let _ = (tuning, progress);
        unimplemented!()
    }
}

/// Whether an image is between the old and the new, as its first sector says; no passphrase is needed.
pub fn is_between(disk: &dyn Storage) -> Result<bool, ImageError> {
    let _ = disk;
    unimplemented!()
}
