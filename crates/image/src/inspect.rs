//! What an image is, without opening it.

use cadenas_luks::SECTOR_BYTES;
use uuid::Uuid;

use crate::{
    Format, ImageError, Storage,
    format::{
        luks::LuksArea,
        qcow2::{bitmaps, image::Qcow2},
        raw::RawExtents,
    },
    plan::{Content, Extent},
};

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// How the file is laid out.
    pub format: Format,
    /// Size of the disk as the guest sees it, in bytes: a number of whole sectors.
    pub virtual_size: u64,
    /// qcow2's cluster size in bytes.
    pub cluster_size: Option<u64>,
    /// How it is encrypted, if it is.
    pub encryption: Option<Encryption>,
    /// The name of the file that it stands on. It is never opened.
    pub backing_file: Option<String>,
    /// The format of that file as the image names it, in QEMU's words; `None` if it does not say.
    pub backing_format: Option<String>,
    /// The name of the file that keeps its data, empty if it is kept elsewhere. It is never opened.
    pub data_file: Option<String>,
    /// Internal snapshots.
    pub snapshots: u32,
    /// The names of its persistent bitmaps. A copy drops them.
    pub bitmaps: Vec<String>,
}

/// How much of a disk an image stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Whether a part of the disk is known to be zeros without being stored.
    pub has_holes: bool,
    /// Bytes of the disk that are stored, counted in units of 64 KiB, or of a cluster if that is larger.
    pub allocated: u64,
}

/// What a LUKS header tells everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The LUKS UUID.
    pub uuid: Uuid,
    /// The cipher, mode and tweak, as cryptsetup writes them: `aes-xts-plain64`.
    pub cipher: String,
    /// The digest of the volume key: it differs whenever that does.
    pub digest: [u8; 20],
    /// The key slots in use, by number from 0, ascending.
    pub active_slots: Vec<u8>,
}

/// Tells format, size and encryption, the format by the first bytes of the file.
///
/// A guest can make its raw disk begin like another format: whoever knows the format uses [`inspect_as`].
pub fn inspect(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    inspect_as(storage, Format::probe(storage)?)
}

/// The format that the first bytes of a file tell; see [`inspect`] for how far that can be trusted.
pub fn probe(storage: &dyn Storage) -> Result<Format, ImageError> {
    Format::probe(storage)
}

/// As [`inspect`], for an image whose format is known; one that is not of this format is refused.
pub fn inspect_as(storage: &dyn Storage, format: Format) -> Result<ImageInfo, ImageError> {
    expect_format(storage, format)?;
    match format {
        Format::Raw => inspect_raw(storage),
        Format::Luks => inspect_luks(storage),
        Format::Qcow2 => inspect_qcow2(&Qcow2::open(storage)?),
    }
}

/// How much of the disk is stored. Unlike [`inspect`], which reads headers, this reads every table of a qcow2 image.
pub fn usage(storage: &dyn Storage, info: &ImageInfo) -> Result<Usage, ImageError> {
    let whole = Usage { has_holes: false, allocated: info.virtual_size };
    match info.format {
        Format::Raw => Usage::count(RawExtents::plain(storage, storage.size()?, info.virtual_size), unit(None)),
        Format::Luks => Ok(whole),
        // The tables of an external data file are not read.
        Format::Qcow2 if info.data_file.is_some() => Ok(whole),
        Format::Qcow2 => {
            let image = Qcow2::open(storage)?;
            Usage::count(image.mapped().map(|mapped| mapped.map(Extent::from)), unit(info.cluster_size))
        }
    }
}

/// Refuses a file that does not begin as its format does; raw may begin with anything but the marker of an in-place rewrite.
pub(crate) fn expect_format(storage: &dyn Storage, format: Format) -> Result<(), ImageError> {
    let found = Format::probe(storage)?;
    if format != Format::Raw && found != format {
        return Err(ImageError::WrongFormat { image: storage.name(), format });
    }
    Ok(())
}

/// A raw file's disk ends with a whole sector, as QEMU has it.
pub(crate) fn raw_virtual_size(len: u64) -> u64 {
    len.next_multiple_of(SECTOR_BYTES)
}

/// What of an encrypted raw file is the disk.
pub(crate) fn luks_virtual_size(storage: &dyn Storage, area: &LuksArea<'_>) -> Result<u64, ImageError> {
    let (len, payload) = (storage.size()?, area.header().payload_offset());
    match len.checked_sub(payload) {
        Some(size) if size.is_multiple_of(SECTOR_BYTES) => Ok(size),
        Some(_) => Err(damaged(storage, format!("its last sector is cut: the file has {len} bytes"))),
        None => Err(damaged(storage, format!("its data begins at {payload}, but the file has {len} bytes"))),
    }
}

pub(crate) fn inspect_qcow2(image: &Qcow2<'_>) -> Result<ImageInfo, ImageError> {
    let (header, storage) = (image.header(), image.storage());
    let encryption = match &header.luks_area {
        Some(area) if header.data_file.is_none() => Some(LuksArea::read(storage, area.clone())?.describe()),
        _ => None,
    };
    Ok(ImageInfo {
        format: Format::Qcow2,
        virtual_size: header.virtual_size,
        cluster_size: Some(header.cluster.bytes()),
        encryption,
        backing_file: header.backing_file.clone(),
        backing_format: header.backing_format.clone(),
        data_file: header.data_file.clone(),
        snapshots: header.snapshots,
        bitmaps: bitmap_names(image)?,
    })
}

/// With an external data file nothing of the tables is read.
fn bitmap_names(image: &Qcow2<'_>) -> Result<Vec<String>, ImageError> {
    if image.header().data_file.is_some() {
        return Ok(Vec::new());
    }
    let bitmaps = bitmaps::read(image.storage(), image.header(), image.file_len())?;
    Ok(bitmaps.into_iter().map(|bitmap| bitmap.name).collect())
}

/// The unit in which [`Usage::allocated`] counts, in bytes.
pub(crate) fn unit(cluster_size: Option<u64>) -> u64 {
    const SMALLEST: u64 = 64 << 10;
    cluster_size.map_or(SMALLEST, |size| size.max(SMALLEST))
}

fn inspect_raw(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    Ok(flat(Format::Raw, raw_virtual_size(storage.size()?)))
}

fn inspect_luks(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    let area = LuksArea::read(storage, 0..storage.size()?)?;
    let virtual_size = luks_virtual_size(storage, &area)?;
    Ok(ImageInfo { encryption: Some(area.describe()), ..flat(Format::Luks, virtual_size) })
}

/// An image without anything special.
pub(crate) fn flat(format: Format, virtual_size: u64) -> ImageInfo {
    ImageInfo {
        format,
        virtual_size,
        cluster_size: None,
        encryption: None,
        backing_file: None,
        backing_format: None,
        data_file: None,
        snapshots: 0,
        bitmaps: Vec::new(),
    }
}

fn damaged(storage: &dyn Storage, what: String) -> ImageError {
    ImageError::Damaged { image: storage.name(), what }
}

impl Usage {
    pub(crate) fn count(
        extents: impl Iterator<Item = Result<Extent, ImageError>>,
        unit: u64,
    ) -> Result<Self, ImageError> {
        let mut stored = Self { allocated: 0, has_holes: false };
        let mut counted_to = 0;
        for extent in extents {
            let extent = extent?;
            if extent.content == Content::Zero {
                stored.has_holes |= extent.len() > 0;
                continue;
            }
            let start = counted_to.max(extent.guest.start / unit * unit);
            counted_to = extent.guest.end.next_multiple_of(unit).max(counted_to);
            stored.allocated += counted_to.saturating_sub(start);
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_are_counted_by_units_once_each() {
        let extent = |start, end, content| Ok(Extent { guest: start..end, content });
        let extents = [
            extent(0, 10, Content::Zero),
            extent(10, 20, Content::Host(0)),
            extent(20, 99, Content::Zero),
            extent(99, 101, Content::Host(0)),
            extent(101, 400, Content::Zero),
            extent(400, 401, Content::Host(0)),
        ];
        let stored = Usage::count(extents.into_iter(), 100).expect("counted");
        assert_eq!(stored, Usage { allocated: 300, has_holes: true });
    }
}
