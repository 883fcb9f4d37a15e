//! An encrypted disk, compared with what was sealed about it.

use std::path::PathBuf;

use cadenas_image::{Access, File, Format, ImageError, ImageInfo, Source, inspect, open_source_as, slots};
use cadenas_keys::Dek;

use crate::{
    descriptor::{DiskEntry, DiskFormat},
    files::{FileError, Kind},
    sealed::{DiskConfiguration, MustSay},
};

/// A disk of an encrypted VM is not what was sealed.
#[derive(Debug, thiserror::Error)]
#[error("disk {target} ({}) {problem}", .path.display())]
pub struct DiskError {
    /// The disk's target.
    pub target: String,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong; it is part of the message.
    pub problem: DiskProblem,
    /// What the system or the image engine said, where it said something.
    #[source]
    pub source: Option<Box<DiskSource>>,
}

/// The error below a [`DiskError`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum DiskSource {
    /// Of the image engine.
    Image(ImageError),
    /// Of the file system.
    File(FileError),
}

/// What is wrong with a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskProblem {
    /// Nothing there.
    #[error("is missing; bring it back from a copy of the VM home")]
    Missing,
    /// A link, device, pipe or folder.
    #[error("is {0}, not a regular file")]
    NotAFile(&'static str),
    /// It would read another file.
    #[error("has a backing file; nothing that it names was opened")]
    BackingFile,
    /// It would keep its data in another file.
    #[error("has a data file; nothing that it names was opened")]
    DataFile,
    /// Plain.
    #[error("is not encrypted")]
    NotEncrypted,
    /// qcow2 where LUKS must be, or the other way round.
    #[error("has another format: {found} instead of {expected}")]
    Format {
        /// What was sealed.
        expected: DiskFormat,
        /// What is there.
        found: Format,
    },
    /// Another cipher.
    #[error("has another cipher: {found} instead of {expected}")]
    Cipher {
        /// What was sealed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Another LUKS volume.
    #[error("is another disk: its LUKS header is not the one that was sealed")]
    AnotherDisk,
    /// Internal snapshots.
    #[error("has {found} internal snapshot(s) instead of {expected}")]
    Snapshots {
        /// What was sealed.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// Another size.
    #[error("has another size: {found} bytes instead of {expected}")]
    Size {
        /// What was sealed, in bytes.
        expected: u64,
        /// What is there, in bytes.
        found: u64,
    },
    /// Other clusters.
    #[error("has another cluster size")]
    ClusterSize,
    /// Its DEK does not open it.
    #[error("does not open with its key")]
    DoesNotOpen,
    /// It cannot be read as an image.
    #[error("cannot be read")]
    Unreadable,
}

/// An encrypted disk of an unlocked VM: what its header says, what was sealed, and its DEK.
#[derive(Debug)]
pub(crate) struct OpenDisk {
    pub(crate) entry: DiskEntry,
    pub(crate) path: PathBuf,
    pub(crate) sealed: DiskConfiguration,
    pub(crate) dek: Dek,
}

impl OpenDisk {
    /// Opens the file; a link is not followed.
    pub(crate) fn file(&self, access: Access) -> Result<File, DiskError> {
        open_in_home(&self.entry, self.path.clone(), access)
    }

    /// Compares the disk's own headers with what was sealed, then opens it with its DEK.
    pub(crate) fn source<'a>(&self, file: &'a File) -> Result<Source<'a>, DiskError> {
        let failed = |problem| disk_error(&self.entry, self.path.clone(), problem);
        let info = self.headers(file)?;
        self.sealed.must_say.check(&info).map_err(|problem| failed(problem)(None))?;
        open_source_as(file, info.format, Some(&self.dek.luks_passphrase())).map_err(|source| self.not_opened(source))
    }

    fn not_opened(&self, source: ImageError) -> DiskError {
        let problem = match source {
            ImageError::WrongPassphrase { .. } => DiskProblem::DoesNotOpen,
            _ => DiskProblem::Unreadable,
        };
        disk_error(&self.entry, self.path.clone(), problem)(Some(DiskSource::Image(source)))
    }

    /// Compares headers and opens the key slot as [`Self::source`] does, also of a disk with snapshots, which no copy reads.
    pub(crate) fn check(&self, file: &File) -> Result<(), DiskError> {
        let failed = |problem| disk_error(&self.entry, self.path.clone(), problem);
        self.sealed.must_say.check(&self.headers(file)?).map_err(|problem| failed(problem)(None))?;
        slots::opened_by(file, &self.dek.luks_passphrase()).map(drop).map_err(|source| self.not_opened(source))
    }

    /// What the file is.
    pub(crate) fn format(&self) -> Format {
        match self.entry.format {
            DiskFormat::Qcow2 => Format::Qcow2,
            DiskFormat::Luks => Format::Luks,
        }
    }

    pub(crate) fn failed(&self, source: ImageError) -> DiskError {
        disk_error(&self.entry, self.path.clone(), DiskProblem::Unreadable)(Some(DiskSource::Image(source)))
    }

    fn headers(&self, file: &File) -> Result<ImageInfo, DiskError> {
        inspect(file).map_err(|source| {
            let problem = match &source {
                ImageError::LuksHeader { source: cadenas_luks::HeaderError::CipherNotHandled { found }, .. } => {
                    DiskProblem::Cipher { expected: self.sealed.must_say.cipher.clone(), found: found.clone() }
                }
                _ => return self.failed(source),
            };
            disk_error(&self.entry, self.path.clone(), problem)(None)
        })
    }
}

/// Opens a disk of a home by name. Whoever keeps the datastore may have put a link or a device there: that is refused.
pub(crate) fn open_in_home(entry: &DiskEntry, path: PathBuf, access: Access) -> Result<File, DiskError> {
    match Kind::of(&path) {
        Ok(Kind::File) => {}
        Ok(Kind::Nothing) => return Err(disk_error(entry, path, DiskProblem::Missing)(None)),
        Ok(other) => return Err(disk_error(entry, path, DiskProblem::NotAFile(other.words()))(None)),
        Err(source) => return Err(disk_error(entry, path, DiskProblem::Unreadable)(Some(DiskSource::File(source)))),
    }
    File::open(&path, access)
        .map_err(|source| disk_error(entry, path, DiskProblem::Unreadable)(Some(DiskSource::Image(source))))
}

fn disk_error(entry: &DiskEntry, path: PathBuf, problem: DiskProblem) -> impl FnOnce(Option<DiskSource>) -> DiskError {
    let target = entry.target.clone();
    move |source| DiskError { target, path, problem, source: source.map(Box::new) }
}

impl MustSay {
    /// What a disk that has just been made says; `None` if it is not encrypted.
    pub(crate) fn of(info: &ImageInfo) -> Option<Self> {
        let encryption = info.encryption.as_ref()?;
        Some(Self {
            format: encrypted_format(info)?,
            cipher: encryption.cipher.clone(),
            luks_uuid: encryption.uuid,
            luks_digest: hex::encode(encryption.digest),
            virtual_size: info.virtual_size,
            cluster_size: info.cluster_size,
            snapshots: info.snapshots,
        })
    }

    /// Compares a disk's own headers with these. The worst comes first.
    pub(crate) fn check(&self, info: &ImageInfo) -> Result<(), DiskProblem> {
        if info.backing_file.is_some() {
            return Err(DiskProblem::BackingFile);
        }
        if info.data_file.is_some() {
            return Err(DiskProblem::DataFile);
        }
        let found = Self::of(info).ok_or(DiskProblem::NotEncrypted)?;
        if found.format != self.format {
            return Err(DiskProblem::Format { expected: self.format, found: info.format });
        }
        if found.cipher != self.cipher {
            return Err(DiskProblem::Cipher { expected: self.cipher.clone(), found: found.cipher });
        }
        if (found.luks_uuid, &found.luks_digest) != (self.luks_uuid, &self.luks_digest) {
            return Err(DiskProblem::AnotherDisk);
        }
        if info.snapshots != self.snapshots {
            return Err(DiskProblem::Snapshots { expected: self.snapshots, found: info.snapshots });
        }
        if found.virtual_size != self.virtual_size {
            return Err(DiskProblem::Size { expected: self.virtual_size, found: found.virtual_size });
        }
        if found.cluster_size == self.cluster_size { Ok(()) } else { Err(DiskProblem::ClusterSize) }
    }
}

fn encrypted_format(info: &ImageInfo) -> Option<DiskFormat> {
    match info.format {
        Format::Luks => Some(DiskFormat::Luks),
        Format::Qcow2 => Some(DiskFormat::Qcow2),
        Format::Raw => None,
    }
}
