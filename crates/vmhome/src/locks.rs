//! Images and homes that a transition keeps others out of.

use std::path::{Path, PathBuf};

use cadenas_image::{Access, File, ImageError, ImageLock, LockError, Locking};

use crate::files::{self, FileError, Folder, Kind};

/// Why something could not be kept for oneself.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another writer has the VM home.
    #[error("the VM home {} is being changed by another process; wait for it", .0.display())]
    HomeBusy(PathBuf),
    /// Another program has an image, or locking failed.
    #[error(transparent)]
    Image(#[from] LockError),
    /// An image cannot be opened.
    #[error(transparent)]
    Open(#[from] ImageError),
    /// A folder cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Locks on images and on a home, all let go together.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    images: Vec<(PathBuf, ImageLock)>,
    home: Option<Folder>,
}

impl Claims {
    /// Locks an open image as its only user, as QEMU does for a running VM.
    pub(crate) fn image(&mut self, image: &File) -> Result<(), LockError> {
        let lock = image.lock(Locking::Exclusive)?;
        self.images.push((image.path().to_owned(), lock));
        Ok(())
    }

    /// Locks the image at `path` too, if it is there and not locked yet.
    pub(crate) fn image_at(&mut self, path: &Path) -> Result<(), ClaimError> {
        let held = self.images.iter().any(|(held, _)| held == path);
        if !held && files::exists(path)? {
            self.image(&File::open(path, Access::Read)?)?;
        }
        Ok(())
    }

    /// Locks a disk that may lie at either of two paths, unless it is locked already.
    pub(crate) fn image_at_either(&mut self, one: &Path, other: &Path) -> Result<(), ClaimError> {
        if self.images.iter().any(|(held, _)| held == one || held == other) {
            return Ok(());
        }
        self.image_at(one)?;
        if one == other { Ok(()) } else { self.image_at(other) }
    }

    /// Keeps other writers out of the home, if it is there and not locked yet.
    pub(crate) fn home(&mut self, path: &Path) -> Result<(), ClaimError> {
        if self.home.is_none() && Kind::of(path)? == Kind::Folder {
            self.home = Some(claim_home(path)?);
        }
        Ok(())
    }
}

/// The home folder, with other writers kept out while it is open.
pub(crate) fn claim_home(path: &Path) -> Result<Folder, ClaimError> {
    let folder = Folder::open(path)?;
    if folder.try_lock()? { Ok(folder) } else { Err(ClaimError::HomeBusy(path.to_owned())) }
}
