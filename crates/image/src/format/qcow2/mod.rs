//! qcow2, versions 2 and 3 (QEMU's `docs/interop/qcow2.txt`).

pub(crate) mod bitmaps;
pub(crate) mod build;
pub(crate) mod census;
mod entry;
pub(crate) mod extensions;
mod feature;
pub(crate) mod header;
pub(crate) mod image;
pub(crate) mod refcounts;
pub(crate) mod snapshots;
pub(crate) mod survey;
pub(crate) mod unpack;

pub(crate) use entry::{Entry, L2Entry, Part, Split, is_copied, table_offset};

/// Reads a big-endian number, as all of qcow2's are.
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Why an image cannot be used; the image's name is added where it is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is well made, but uses this.
    Unsupported(String),
    /// This does not hold.
    Damaged(String),
}

impl Refusal {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(crate) fn of(self, image: String) -> crate::ImageError {
        match self {
            Self::Unsupported(feature) => crate::ImageError::Unsupported { image, feature },
            Self::Damaged(what) => crate::ImageError::Damaged { image, what },
        }
    }
}
