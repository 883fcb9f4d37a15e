//! What happens to the bytes of a plain disk that is removed.

use std::{fmt, path::Path};

use cadenas_image::{Access, File, ImageError, Storage};
use serde::{Deserialize, Serialize};

use crate::files::FileError;

/// What is done to a plain disk before it is removed. None of it reaches what a copy-on-write file system, a snapshot or a
/// flash medium keeps of overwritten blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wipe {
    /// It is only removed.
    None,
    /// Its blocks are given back to the file system, which tells the medium that their content is not needed.
    #[default]
    Discard,
    /// Zeros are written over it and flushed.
    Zero,
}

impl fmt::Display for Wipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Discard => "discard",
            Self::Zero => "zero",
        })
    }
}

impl Wipe {
    /// Wipes the file at `path`, durably. Can be repeated.
    pub(crate) fn file(self, path: &Path) -> Result<(), WipeError> {
        if self == Self::None {
            return Ok(());
        }
        let file = File::open(path, Access::Write)?;
        let failed = |operation| FileError::on(operation, path);
        let len = file.len().map_err(failed("looking at"))?;
        if self == Self::Discard {
            file.discard(0..len).map_err(failed("discarding"))?;
        } else {
            zero(&file).map_err(failed("overwriting"))?;
        }
        Ok(file.sync().map_err(failed("flushing"))?)
    }
}

/// Why a plain disk could not be wiped.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] ImageError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Zeros over all that is stored; holes hold nothing.
fn zero(file: &File) -> std::io::Result<()> {
    const BLOCK: usize = 1 << 20;
    let zeros = vec![0; BLOCK];
    let mut at = 0;
    while let Some(data) = file.next_data(at)? {
        at = data.start;
        while at < data.end {
            let len = usize::try_from(data.end - at).map_or(BLOCK, |left| left.min(BLOCK));
            file.write_at(at, &zeros[..len])?;
            at += u64::try_from(len).expect("at most a block");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn wiped_files_hold_zeros_alone_and_keep_their_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vda.img");
        for wipe in [Wipe::Discard, Wipe::Zero] {
            let file = fs::File::create(&path).expect("made");
            std::os::unix::fs::FileExt::write_all_at(&file, &[7; 3000], (3 << 20) + 5).expect("written");
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; 70_000], 0).expect("written");
            wipe.file(&path).expect("wiped");
            wipe.file(&path).expect("wiped again");
            let bytes = fs::read(&path).expect("read");
            assert_eq!(bytes.len(), (3 << 20) + 3005);
            assert!(bytes.iter().all(|byte| *byte == 0), "{wipe}");
        }
        fs::write(&path, b"kept").expect("written");
        Wipe::None.file(&path).expect("nothing to do");
        assert_eq!(fs::read(&path).expect("read"), b"kept");
    }
}
