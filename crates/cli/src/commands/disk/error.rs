//! What `cadenas disk` refuses.

use std::{io, path::PathBuf};

use cadenas_image::{ImageError, LockError, foreign::ForeignFormat};

use crate::output::human::size;

/// A disk image could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `encrypt -O raw`.
    #[error("a raw image has no room for a LUKS header, so it cannot be encrypted as `raw`")]
    RawIsPlain,
    /// `decrypt -O luks`.
    #[error("`luks` is an encrypted format, so nothing can be decrypted to it")]
    LuksIsEncrypted,
    /// Source and destination are one file.
    #[error("{} and {} are the same file", src.display(), dst.display())]
    SameFile {
        /// The source.
        src: PathBuf,
        /// The destination.
        dst: PathBuf,
    },
    /// The destination is there.
    #[error("{} is there already and was not touched", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// `encrypt` of an encrypted image.
    #[error("{} is already encrypted", path.display())]
    AlreadyEncrypted {
        /// The source.
        path: PathBuf,
    },
    /// `decrypt` of a plain image.
    #[error("{} is not encrypted", path.display())]
    NotEncrypted {
        /// The source.
        path: PathBuf,
    },
    /// A change in place of this image was interrupted before.
    #[error("a change in place of {} was interrupted: its journal {} is there", path.display(), journal.display())]
    Interrupted {
        /// The image.
        path: PathBuf,
        /// Its journal.
        journal: PathBuf,
    },
    /// Nothing to resume or to cancel.
    #[error("no change in place of {} was interrupted: there is no {}", path.display(), journal.display())]
    NothingInterrupted {
        /// The image.
        path: PathBuf,
        /// Where its journal would be.
        journal: PathBuf,
    },
    /// The image is between old and new, and what tells how far is not there.
    #[error("{} is half changed, and its journal {} is not there", path.display(), journal.display())]
    JournalGone {
        /// The image.
        path: PathBuf,
        /// Where its journal should be.
        journal: PathBuf,
    },
    /// A journal that is not whole, of an image that is.
    #[error("the journal {} is not whole, but {} is not half changed", journal.display(), path.display())]
    JournalUseless {
        /// The image.
        path: PathBuf,
        /// Its journal.
        journal: PathBuf,
    },
    /// Ctrl-C, a full or failing datastore: it can go on later, or back.
    #[error("{} is half changed", path.display())]
    HalfChanged {
        /// The image.
        path: PathBuf,
        /// Why it stopped.
        #[source]
        source: ImageError,
    },
    /// `--in-place -O luks` of a qcow2 image.
    #[error("{} is qcow2 and stays so in place", path.display())]
    StaysQcow2 {
        /// The image.
        path: PathBuf,
    },
    /// A scratch file or a journal could not be handled.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// "write", "read", "remove", …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Ctrl-C while measuring.
    #[error("stopped before everything was measured")]
    BenchStopped,
    /// It begins like a format that is only read when the user says so.
    #[error("{} begins like a {format} image", path.display())]
    LooksForeign {
        /// The image.
        path: PathBuf,
        /// What it looks like.
        format: ForeignFormat,
    },
    /// The image stands on another file, which nobody asked to read.
    #[error("{} has the backing file {backing:?}", path.display())]
    HasBacking {
        /// The image.
        path: PathBuf,
        /// The name in its header.
        backing: String,
    },
    /// A backing file that is no file of this host.
    #[error("{} stands on {name:?}, which is not a file of this host", path.display())]
    BackingElsewhere {
        /// The image.
        path: PathBuf,
        /// The name in its header.
        name: String,
    },
    /// A backing file of a format that is not ours.
    #[error("{} is read as {format:?}, it is said, which a chain cannot hold", path.display())]
    BackingFormat {
        /// The backing file.
        path: PathBuf,
        /// The format that the image upon it names.
        format: String,
    },
    /// A backing file of which the image does not say the format.
    #[error("{} does not say what format {} has", path.display(), backing.display())]
    BackingFormatUnsaid {
        /// The image.
        path: PathBuf,
        /// Its backing file.
        backing: PathBuf,
    },
    /// An image that stands on itself.
    #[error("the chain comes back to {}", path.display())]
    ChainLoops {
        /// The image that stands in it twice.
        path: PathBuf,
    },
    /// The destination's datastore is too full.
    #[error("{} needs up to {}, but {} has {} free", path.display(), size(*needed), folder.display(), size(*free))]
    NoSpace {
        /// The destination.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// Bytes needed at most.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The destination's folder cannot be looked at or flushed.
    #[error("cannot use the folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The engine refused or failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl DiskError {
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::RawIsPlain | Self::LuksIsEncrypted | Self::StaysQcow2 { .. } | Self::SameFile { .. } => 2,
            _ => 1,
        }
    }

    pub(crate) fn next(&self) -> Option<String> {
        let next = match self {
            Self::Interrupted { path, .. } | Self::HalfChanged { path, .. } => {
                let disk = path.display();
                return Some(format!(
                    "finish with `cadenas disk resume {disk}`, undo with `cadenas disk cancel {disk}`"
                ));
            }
            Self::RawIsPlain => "use `-O luks` for a raw LUKS volume, or `-O qcow2`",
            Self::LuksIsEncrypted => "use `-O raw` or `-O qcow2`",
            Self::SameFile { .. } | Self::Exists { .. } => "name a new file as DST",
            Self::AlreadyEncrypted { .. } => "decrypt it first with `cadenas disk decrypt`",
            Self::NotEncrypted { .. } | Self::NothingInterrupted { .. } => "`cadenas disk info` shows what it is",
            Self::JournalGone { .. } => {
                "bring the journal back beside it: nothing else can tell how far the change was"
            }
            Self::JournalUseless { .. } => "see with `cadenas disk info` what the image is, and remove the journal",
            Self::StaysQcow2 { .. } => "leave `-O` out, or copy it to a new file",
            Self::LooksForeign { format, .. } => {
                return Some(format!(
                    "say `--source-format {format}` if it is one, or `--source-format raw` if it is a raw disk"
                ));
            }
            Self::BackingElsewhere { .. } | Self::BackingFormat { .. } | Self::ChainLoops { .. } => {
                "make one image of it with `qemu-img convert`"
            }
            Self::BackingFormatUnsaid { .. } => "say it with `qemu-img rebase -u -F FORMAT -b BACKING IMAGE`",
            Self::HasBacking { .. } => "`--flatten` reads that file too and makes one image of both",
            Self::Image(ImageError::OtherFiles { .. }) => "name the disk's descriptor file, and say `--flatten`",
            Self::BenchStopped => "its scratch files were removed",
            Self::NoSpace { .. } => "free some space, or name a place elsewhere",
            Self::Image(ImageError::Cancelled) => "DST was removed",
            Self::Folder { .. } | Self::File { .. } | Self::Image(_) | Self::Lock(_) => return None,
        };
        Some(next.to_owned())
    }
}
