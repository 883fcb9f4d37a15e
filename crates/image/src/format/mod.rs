//! The formats that are read and written.

pub(crate) mod luks;
pub(crate) mod qcow2;
pub(crate) mod raw;

use std::{fmt, ops::Range, str::FromStr};

use crate::{
    ImageError, Storage, in_place,
    plan::{Content, Extent},
};

/// How an image file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The disk's bytes, one after the other.
    Raw,
    /// A LUKS1 header, then the disk's sectors, encrypted.
    Luks,
    /// QEMU's copy-on-write format, version 2 or 3, plain or with LUKS inside.
    Qcow2,
}

/// The name of no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an image format: it is raw, luks or qcow2")]
pub struct UnknownFormat;

impl Format {
    /// Tells the format by the first bytes, as QEMU does. A guest can write these bytes into its raw disk: whoever knows the
    /// format from elsewhere uses that instead. An image that is being rewritten in place has no format, and is an error.
    pub(crate) fn probe(storage: &dyn Storage) -> Result<Self, ImageError> {
        const MAGIC_BYTES: u64 = 6;
        let mut magic = [0; 6];
        let found = storage.size()?.min(MAGIC_BYTES);
        storage.read(0, &mut magic[..usize::try_from(found).expect("at most six")])?;
        Ok(match magic {
            [b'Q', b'F', b'I', 0xfb, ..] => Self::Qcow2,
            [b'L', b'U', b'K', b'S', 0xba, 0xbe] => Self::Luks,
            _ => match in_place::journal_of(storage)? {
                Some(journal) => return Err(ImageError::Between { image: storage.name(), journal }),
                None => Self::Raw,
            },
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Luks => "luks",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        [Self::Raw, Self::Luks, Self::Qcow2].into_iter().find(|format| format.to_string() == text).ok_or(UnknownFormat)
    }
}

/// A run of the disk and what one image says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) guest: Range<u64>,
    /// `None` where the image leaves it to its backing file.
    pub(crate) content: Option<Content>,
}

impl From<Extent> for Mapped {
    fn from(extent: Extent) -> Self {
        Self { guest: extent.guest, content: Some(extent.content) }
    }
}

impl From<Mapped> for Extent {
    /// What is left to a backing file is zeros where there is none.
    fn from(mapped: Mapped) -> Self {
        Self { guest: mapped.guest, content: mapped.content.unwrap_or(Content::Zero) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for format in [Format::Raw, Format::Luks, Format::Qcow2] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("QCOW2".parse::<Format>(), Err(UnknownFormat));
    }
}
