//! The formats that are read through QEMU's tools, and what of them must not reach those.

use std::{fmt, str::FromStr};

use crate::{ImageError, Storage};

/// A format that QEMU's tools read for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForeignFormat {
    /// The one of VMDK files, sparse, flat, split or compressed.
    Vmdk,
    /// Hyper-V's.
    Vhdx,
    /// Virtual PC's and Azure's VHD, which QEMU calls vpc.
    Vpc,
    /// The one of VDI files.
    Vdi,
    /// Parallels'.
    Parallels,
    /// The first version of qcow.
    Qcow,
    /// QEMU's enhanced disk.
    Qed,
    /// Apple's disk image.
    Dmg,
    /// Bochs' growing image.
    Bochs,
    /// A compressed loop.
    Cloop,
}

/// The name of no format that is read through QEMU's tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a format that QEMU's tools read for us")]
pub struct UnknownForeignFormat;

impl ForeignFormat {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Vmdk,
        Self::Vhdx,
        Self::Vpc,
        Self::Vdi,
        Self::Parallels,
        Self::Qcow,
        Self::Qed,
        Self::Dmg,
        Self::Bochs,
        Self::Cloop,
    ];

    /// The format that a file begins like. A guest can make its raw disk begin like any of them: this is good for a hint, and
    /// never decides how a file is read.
    pub fn hint(storage: &dyn Storage) -> Result<Option<Self>, ImageError> {
        let start = start_of(storage)?;
        let begins = |magic: &[u8]| start.starts_with(magic);
        let vdi = start.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]);
        Ok(match () {
            () if begins(SPARSE) || begins(COWD) || begins(DESCRIPTOR) => Some(Self::Vmdk),
            () if begins(b"vhdxfile") => Some(Self::Vhdx),
            () if begins(b"conectix") => Some(Self::Vpc),
            () if vdi => Some(Self::Vdi),
            () if begins(b"WithoutFreeSpace") || begins(b"WithouFreSpacExt") => Some(Self::Parallels),
            () if begins(b"QFI\xfb\0\0\0\x01") => Some(Self::Qcow),
            () if begins(b"QED\0") => Some(Self::Qed),
            () => None,
        })
    }

    /// Whether QEMU would open files that this one names, only to tell what it is. Parent files are told without opening them.
    pub(super) fn names_parts(self, storage: &dyn Storage) -> Result<bool, ImageError> {
        if self != Self::Vmdk {
            return Ok(false);
        }
        let start = start_of(storage)?;
        let long =
            |at: usize| start.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8")));
        let (capacity, descriptor) = (long(12), long(28));
        Ok(match () {
            () if start.starts_with(COWD) => false,
            // A sparse file that holds no disk but a descriptor names others; one without a descriptor is a part of a disk.
            () if start.starts_with(SPARSE) => capacity == 0 || descriptor == 0,
            () => true,
        })
    }
}

const SPARSE: &[u8] = b"KDMV";
const COWD: &[u8] = b"COWD";
const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";

fn start_of(storage: &dyn Storage) -> Result<Vec<u8>, ImageError> {
    const ENOUGH: u64 = 512;
    storage.read_vec(0, usize::try_from(storage.size()?.min(ENOUGH)).expect("at most 512"))
}

impl fmt::Display for ForeignFormat {
    /// QEMU's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vmdk => "vmdk",
            Self::Vhdx => "vhdx",
            Self::Vpc => "vpc",
            Self::Vdi => "vdi",
            Self::Parallels => "parallels",
            Self::Qcow => "qcow",
            Self::Qed => "qed",
            Self::Dmg => "dmg",
            Self::Bochs => "bochs",
            Self::Cloop => "cloop",
        })
    }
}

impl FromStr for ForeignFormat {
    type Err = UnknownForeignFormat;

    fn from_str(text: &str) -> Result<Self, UnknownForeignFormat> {
        Self::ALL.into_iter().find(|format| format.to_string() == text).ok_or(UnknownForeignFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for format in ForeignFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("raw".parse::<ForeignFormat>(), Err(UnknownForeignFormat));
    }
}
