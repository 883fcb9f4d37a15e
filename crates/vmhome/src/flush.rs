//! Flushing many VM homes at once.

use std::{collections::BTreeMap, io};

use crate::{
    files::{self, FileError, Folder},
    home::VmHome,
};

/// The file systems that were flushed, each once, and how that went.
#[derive(Debug, Default)]
pub(crate) struct FileSystems(BTreeMap<u64, io::Result<()>>);

impl FileSystems {
    /// Makes all that was done in `folder` before the first flush of its file system durable; where a file system cannot be
    /// flushed as one, `alone` does it for this folder.
    pub(crate) fn flush(
        &mut self,
        folder: &Folder,
        alone: impl FnOnce() -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        if !folder.flushes_as_one()? {
            return alone();
        }
        let flushed = self.0.entry(folder.file_system()?).or_insert_with(|| folder.sync_file_system());
        flushed.as_ref().copied().map_err(|error| folder.not_flushed(error))
    }
}

/// Returns when what was read of these homes would be read after a power cut too: whoever then removes a key that none of them
/// is wrapped under loses nothing.
pub fn flush<'a>(homes: impl IntoIterator<Item = &'a VmHome>) -> Result<(), FileError> {
    let mut file_systems = FileSystems::default();
    for home in homes {
        let folder = Folder::open(home.path())?;
        file_systems.flush(&folder, || files::sync(&home.descriptor_path()).and_then(|()| folder.sync()))?;
    }
    Ok(())
}
