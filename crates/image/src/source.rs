//! An image opened for reading.

use std::ops::Range;

use cadenas_luks::{SECTOR_BYTES, SectorCipher, VolumeKey};
use cadenas_secret::SecretBytes;

use crate::{
    Format, ImageError, ImageInfo, Storage,
    engine::{Packed, Piece},
    format::{
        luks::LuksArea,
        qcow2::{image::Qcow2, unpack::unpack},
        raw::RawExtents,
    },
    inspect::{expect_format, inspect_as, inspect_qcow2},
    plan::{Content, Extent, Segment},
};

/// An image whose disk can be read: plain, or unlocked. It is never written.
pub struct Source<'a> {
    storage: &'a dyn Storage,
    info: ImageInfo,
    file_len: u64,
    layout: Layout<'a>,
    key: Option<VolumeKey>,
}

enum Layout<'a> {
    Flat { payload: u64 },
    Qcow2(Box<Qcow2<'a>>),
}

/// Opens an image, its format told by its first bytes; an encrypted one needs its passphrase.
///
/// An image whose whole disk is not in this one file and its present state (backing file, data file, snapshots) is refused.
pub fn open_source<'a>(storage: &'a dyn Storage, passphrase: Option<&SecretBytes>) -> Result<Source<'a>, ImageError> {
    open_source_as(storage, Format::probe(storage)?, passphrase)
}

/// As [`open_source`], for an image whose format is known; one that is not of this format is refused.
pub fn open_source_as<'a>(
    storage: &'a dyn Storage,
    format: Format,
    passphrase: Option<&SecretBytes>,
) -> Result<Source<'a>, ImageError> {
    let mut source = Source::locked(storage, format)?;
    source.unlock(passphrase)?;
    Ok(source)
}

impl<'a> Source<'a> {
    /// What [`crate::inspect()`] tells of it.
    #[must_use]
    pub fn info(&self) -> &ImageInfo {
        &self.info
    }

    /// An image of which the bytes in the file can be read, but not the disk's if it is encrypted.
    pub(crate) fn locked(storage: &'a dyn Storage, format: Format) -> Result<Self, ImageError> {
        let source = match format {
            Format::Raw | Format::Luks => Self::flat(storage, inspect_as(storage, format)?)?,
            Format::Qcow2 => Self::qcow2(storage)?,
        };
        source.refuse_parts_elsewhere()?;
        Ok(source)
    }

    fn flat(storage: &'a dyn Storage, info: ImageInfo) -> Result<Self, ImageError> {
        let file_len = storage.size()?;
        // An encrypted disk is what lies behind the header.
        let payload = if info.format == Format::Luks { file_len - info.virtual_size } else { 0 };
        Ok(Self { storage, info, file_len, layout: Layout::Flat { payload }, key: None })
    }

    fn qcow2(storage: &'a dyn Storage) -> Result<Self, ImageError> {
        expect_format(storage, Format::Qcow2)?;
        let image = Box::new(Qcow2::open(storage)?);
        let (info, file_len) = (inspect_qcow2(&image)?, image.file_len());
        Ok(Self { storage, info, file_len, layout: Layout::Qcow2(image), key: None })
    }

    fn refuse_parts_elsewhere(&self) -> Result<(), ImageError> {
        let image = || self.storage.name();
        if let Some(backing_file) = self.info.backing_file.clone() {
            return Err(ImageError::BackingFile { image: image(), backing_file });
        }
        if let Some(data_file) = self.info.data_file.clone() {
            return Err(ImageError::DataFile { image: image(), data_file });
        }
        match self.info.snapshots {
            0 => Ok(()),
            count => Err(ImageError::Snapshots { image: image(), count }),
        }
    }

    pub(crate) fn unlock(&mut self, passphrase: Option<&SecretBytes>) -> Result<(), ImageError> {
        match (self.luks_place(), passphrase) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(ImageError::NotEncrypted { image: self.storage.name() }),
            (Some(_), None) => Err(ImageError::PassphraseNeeded { image: self.storage.name() }),
            (Some(place), Some(passphrase)) => {
                self.key = Some(LuksArea::read(self.storage, place)?.unlock(passphrase)?.1);
                Ok(())
            }
        }
    }

    fn luks_place(&self) -> Option<Range<u64>> {
        match &self.layout {
            Layout::Flat { .. } => (self.info.format == Format::Luks).then_some(0..self.file_len),
            Layout::Qcow2(image) => image.header().luks_area.clone(),
        }
    }

    /// Where the disk's bytes are, in their order.
    pub(crate) fn extents(&self) -> Box<dyn Iterator<Item = Result<Extent, ImageError>> + Send + '_> {
        let size = self.info.virtual_size;
        match &self.layout {
            Layout::Flat { payload } if self.info.format == Format::Luks => {
                Box::new(RawExtents::encrypted(self.storage, *payload, size))
            }
            Layout::Flat { .. } => Box::new(RawExtents::plain(self.storage, self.file_len, size)),
            Layout::Qcow2(image) => Box::new(image.extents()),
        }
    }

    /// Reads a segment's bytes as they are in the file.
    pub(crate) fn load(&self, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError> {
        let Segment::Data(parts) = segment else { return Ok(()) };
        for part in parts {
            let at = piece.range_of(&part.guest);
            match &part.content {
                Content::Zero => piece.data[at].fill(0),
                Content::Host(host) => self.read_padded(*host, &mut piece.data[at])?,
                Content::Packed { host, skip } => piece.packed.push(self.load_packed(host, *skip, at)?),
            }
        }
        Ok(())
    }

    fn load_packed(&self, host: &Range<u64>, skip: u64, at: Range<usize>) -> Result<Packed, ImageError> {
        let len = usize::try_from(host.end - host.start).expect("a compressed cluster is bounded by the format");
        let mut bytes = vec![0; len];
        self.read_padded(host.start, &mut bytes)?;
        Ok(Packed { host: host.start, bytes, skip: usize::try_from(skip).expect("less than a cluster"), at })
    }

    /// As QEMU reads qcow2 clusters: what lies behind the file's end is zeros.
    fn read_padded(&self, host: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let there = usize::try_from(self.file_len.saturating_sub(host)).unwrap_or(usize::MAX).min(buf.len());
        let (there, missing) = buf.split_at_mut(there);
        missing.fill(0);
        self.storage.read(host, there)
    }

    /// The sector at `host` as it is in the file.
    pub(crate) fn raw_sector(&self, host: u64) -> Result<[u8; 512], ImageError> {
        let mut sector = [0; 512];
        self.read_padded(host, &mut sector)?;
        Ok(sector)
    }

    /// The key that enciphers the disk, if it has one and is unlocked.
    pub(crate) fn key(&self) -> Option<&VolumeKey> {
        self.key.as_ref()
    }

    /// What turns the bytes of the file into those of the disk; one for each thread.
    pub(crate) fn decoder(&self) -> Decoder<'_> {
        let cluster = self.info.cluster_size.map_or(0, |size| usize::try_from(size).expect("at most 2 MiB"));
        Decoder { source: self, cipher: self.key.as_ref().map(SectorCipher::new), cluster: vec![0; cluster] }
    }

    /// The sector number that enciphers what lies at `host`.
    pub(crate) fn sector_at(&self, host: u64) -> u64 {
        match self.layout {
            Layout::Flat { payload } => (host - payload) / SECTOR_BYTES,
            Layout::Qcow2(_) => host / SECTOR_BYTES,
        }
    }
}

/// Unpacks and decrypts.
pub(crate) struct Decoder<'a> {
    source: &'a Source<'a>,
    cipher: Option<SectorCipher>,
    /// Room for one unpacked cluster.
    cluster: Vec<u8>,
}

impl Decoder<'_> {
    pub(crate) fn decode(&mut self, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError> {
        for packed in std::mem::take(&mut piece.packed) {
            self.unpack(&packed)?;
            let len = packed.at.len();
            piece.data[packed.at].copy_from_slice(&self.cluster[packed.skip..packed.skip + len]);
        }
        if let (Some(cipher), Segment::Data(parts)) = (&mut self.cipher, segment) {
            for part in parts {
                if let Content::Host(host) = part.content {
                    let at = piece.range_of(&part.guest);
                    cipher.decrypt(self.source.sector_at(host), &mut piece.data[at]);
                }
            }
        }
        Ok(())
    }

    fn unpack(&mut self, packed: &Packed) -> Result<(), ImageError> {
        let Layout::Qcow2(image) = &self.source.layout else { unreachable!("only qcow2 compresses") };
        unpack(image.header().compression, &packed.bytes, &mut self.cluster).map_err(|error| ImageError::Damaged {
            image: self.source.storage.name(),
            what: format!("the compressed cluster at {:#x} does not unpack: {error}", packed.host),
        })
    }
}
