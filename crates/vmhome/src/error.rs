//! What stops a transition: before the first byte, midway, or after its commit.

use std::{fmt, path::PathBuf};

use cadenas_image::ImageError;
use cadenas_keys::KeyMissing;

use crate::{
    descriptor::{DescriptorError, HomeError},
    disk::DiskError,
    files::FileError,
    home::UnlockError,
    journal::{JournalError, Transition},
    locks::ClaimError,
    names::VmName,
    repair::RepairError,
};

/// Why a transition did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// Refused before the first byte was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It failed or was cancelled midway. Everything it had made is removed, and the VM is as it was.
    #[error("the {transition} of VM {name} was undone")]
    Undone {
        /// Which.
        transition: Transition,
        /// The VM.
        name: VmName,
        /// Why.
        #[source]
        cause: Box<Cause>,
    },
    /// It failed midway, and then undoing it failed as well. The VM is as it was; a repair removes what was made.
    #[error("the {transition} of VM {name} failed ({}), and what it had made could not be removed yet", with_causes(.cause))]
    NotUndone {
        /// Which.
        transition: Transition,
        /// The VM.
        name: VmName,
        /// Why it failed.
        cause: Box<Cause>,
        /// Why it could not be undone.
        #[source]
        source: Box<RepairError>,
    },
    /// It was committed, and what comes after could not be done. A repair does that.
    #[error("the {transition} of VM {name} is done, but what it leaves is not cleared yet")]
    Unfinished {
        /// Which.
        transition: Transition,
        /// The VM.
        name: VmName,
        /// Why it could not be finished.
        #[source]
        source: Box<RepairError>,
    },
}

/// Why a transition was not begun. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The key to wrap under is not here.
    #[error(transparent)]
    Key(#[from] KeyMissing),
    /// An earlier transition is not settled, or the journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An image or the home is in use.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The home is to be a new or an empty folder.
    #[error("the folder {} is not empty; name another one for the VM home", .0.display())]
    HomeNotEmpty(PathBuf),
    /// The home is to be a folder.
    #[error("{} is {kind}, not a folder; name another place for the VM home", .path.display())]
    HomeNotAFolder {
        /// The path.
        path: PathBuf,
        /// What is there.
        kind: &'static str,
    },
    /// A plain disk cannot be encrypted.
    #[error("disk {target} ({}) {problem}", .path.display())]
    PlainDisk {
        /// The disk's target.
        target: String,
        /// Its file.
        path: PathBuf,
        /// Why; it is part of the message.
        problem: PlainDiskProblem,
    },
    /// A plain disk is not a readable image.
    #[error("disk {target} cannot be read as an image")]
    Image {
        /// The disk's target.
        target: String,
        /// Why.
        #[source]
        source: ImageError,
    },
    /// An encrypted disk is not what was sealed.
    #[error(transparent)]
    EncryptedDisk(#[from] DiskError),
    /// The place of a disk that is to come back is taken.
    #[error("{} is in the way of disk {target}; move it away", .path.display())]
    InTheWay {
        /// The disk's target.
        target: String,
        /// What is there already.
        path: PathBuf,
    },
    /// The folder of a disk that is to come back is gone.
    #[error("the folder {} of disk {target} is gone; make it again", .folder.display())]
    FolderGone {
        /// The disk's target.
        target: String,
        /// Its old folder.
        folder: PathBuf,
    },
    /// A disk that only a copy can bring back.
    #[error("disk {target} cannot be decrypted in place: {why}; decrypt the VM by a copy")]
    NotInPlace {
        /// The disk's target.
        target: String,
        /// Why; it is part of the message.
        why: &'static str,
    },
    /// Too little room.
    #[error("{} has {} free, and up to {} are needed; make room or name another place", .folder.display(), Size(*.free), Size(*.needed))]
    NoSpace {
        /// A folder on the file system that is too full.
        folder: PathBuf,
        /// Bytes, a margin included.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// Too little room for a copy, and in place the disks cannot be rewritten.
    #[error("{no_space}; in place it cannot be done either")]
    NoSpaceNorInPlace {
        /// Why there is no copy: [`Self::NoSpace`].
        no_space: Box<Self>,
        /// Why not in place.
        #[source]
        in_place: Box<Self>,
    },
    /// A target or file name that a descriptor cannot hold.
    #[error("VM {name} cannot have a descriptor")]
    Descriptor {
        /// The VM.
        name: VmName,
        /// Why.
        #[source]
        source: DescriptorError,
    },
    /// The descriptor cannot be read again.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The descriptor is not the one that was unlocked.
    #[error("the descriptor {} was replaced just now; try again", .0.display())]
    Replaced(PathBuf),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a plain disk cannot be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlainDiskProblem {
    /// A device, pipe or folder, or nothing.
    #[error("is {0}; only disks in regular files are handled")]
    NotAFile(&'static str),
    /// Its data has several names, and would stay under the others.
    #[error("has {0} hard links, and its plain data would stay under the others; remove them")]
    HardLinked(u64),
    /// Two targets, one file.
    #[error("is the same file as disk {0}")]
    Repeated(String),
    /// Its path cannot be sealed.
    #[error("has a path that is not UTF-8; rename it")]
    NotUtf8,
    /// Not what the domain says.
    #[error("is {found}, but the domain says {said}; correct the domain's driver type")]
    WrongFormat {
        /// The domain's word.
        said: &'static str,
        /// The image's own.
        found: String,
    },
    /// Encrypted by something else.
    #[error("is encrypted already; decrypt it first")]
    Encrypted,
    /// It stands on another file.
    #[error("has a backing file ({0:?}); merge it first, with `qemu-img convert` or `virsh blockpull`")]
    BackingFile(String),
    /// It keeps its data in another file.
    #[error("has a data file; bring the data into the image first, with `qemu-img convert`")]
    DataFile,
    /// It has internal snapshots.
    #[error(
        "has {0} internal snapshot(s), which a copy would lose; encrypt it with --in-place, which brings them along, or delete \
         them first, with `qemu-img snapshot -d`"
    )]
    Snapshots(u32),
    /// It would be rewritten in place and moved into the home.
    #[error("is on another file system than the VM home, so it cannot be encrypted in place; name a home beside it")]
    OtherFileSystem,
    /// A qcow2 image stays one in place.
    #[error("is qcow2 and stays so when it is encrypted in place")]
    StaysQcow2,
}

/// Why a transition failed midway.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Somebody asked for it.
    #[error("it was cancelled")]
    Cancelled,
    /// Copying a disk failed: a full or read-only datastore, say.
    #[error("copying disk {target} failed")]
    Copy {
        /// The disk's target.
        target: String,
        /// Why.
        #[source]
        source: ImageError,
    },
    /// Rewriting a disk in place failed: a full or failing datastore, say.
    #[error("rewriting disk {target} in place failed")]
    Rewrite {
        /// The disk's target.
        target: String,
        /// Why.
        #[source]
        source: ImageError,
    },
    /// The staged descriptor, without which nothing opens what is half rewritten, is not what was announced.
    #[error("the descriptor {} is not the one that was announced", .0.display())]
    DescriptorGone(PathBuf),
    /// The staged descriptor cannot be read again.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A copy does not read back as what was copied.
    #[error("the copy of disk {target} differs from the disk: memory or datastore is faulty")]
    CopyDiffers {
        /// The disk's target.
        target: String,
    },
    /// A copy does not read back as an encrypted disk.
    #[error(transparent)]
    Copied(#[from] DiskError),
    /// A plain disk changed under way, although it was locked.
    #[error("the disk {} was changed while it was copied; end the program that writes to it", .0.display())]
    Changed(PathBuf),
    /// The key was removed under way.
    #[error(transparent)]
    Key(#[from] KeyMissing),
    /// What was sealed does not open.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// What was made does not form a descriptor.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The home is in use.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Cause {
    /// For `map_err` on a copy of the disk `target`.
    pub(crate) fn copy(target: &str) -> impl FnOnce(ImageError) -> Self {
        move |source| match source {
            ImageError::Cancelled => Self::Cancelled,
            source => Self::Copy { target: target.to_owned(), source },
        }
    }

    /// For `map_err` on a rewrite of the disk `target`.
    pub(crate) fn rewrite(target: &str) -> impl FnOnce(ImageError) -> Self {
        move |source| match source {
            ImageError::Cancelled => Self::Cancelled,
            source => Self::Rewrite { target: target.to_owned(), source },
        }
    }
}

/// An error and its causes on one line, for a message that has another cause of its own.
fn with_causes(error: &Cause) -> String {
    let errors = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Bytes as people read them: `1.5 GiB`.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut tenths = u128::from(self.0) * 10;
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let mut unit = "";
        for next in UNITS {
            if tenths < 10 * 1024 {
                break;
            }
            (tenths, unit) = (tenths / 1024, next);
        }
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (287_309_824, "274.0 MiB"),
            (1610 << 20, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), words);
        }
    }
}
