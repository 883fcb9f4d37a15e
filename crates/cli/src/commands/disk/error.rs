//! What `cadenas disk` refuses.

use std::{io, path::PathBuf};

use cadenas_image::{ImageError, LockError};

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
            Self::RawIsPlain | Self::LuksIsEncrypted | Self::SameFile { .. } => 2,
            _ => 1,
        }
    }

    pub(crate) fn next(&self) -> Option<String> {
        let next = match self {
            Self::RawIsPlain => "use `-O luks` for a raw LUKS volume, or `-O qcow2`",
            Self::LuksIsEncrypted => "use `-O raw` or `-O qcow2`",
            Self::SameFile { .. } | Self::Exists { .. } => "name a new file as DST",
            Self::AlreadyEncrypted { .. } => "decrypt it first with `cadenas disk decrypt`",
            Self::NotEncrypted { .. } => "`cadenas disk info` shows what it is",
            Self::NoSpace { .. } => "free some space, or name a DST elsewhere",
            Self::Image(ImageError::Cancelled) => "DST was removed",
            Self::Folder { .. } | Self::Image(_) | Self::Lock(_) => return None,
        };
        Some(next.to_owned())
    }
}
