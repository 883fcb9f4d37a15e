//! An image opened for reading.

use std::ops::Range;

use cadenas_luks::{SECTOR_BYTES, SectorCipher, VolumeKey};
use cadenas_secret::SecretBytes;

use crate::{
    Format, ImageError, ImageInfo, Storage, Usage,
    chain::{Overlay, open_chain},
    engine::{Packed, Piece},
    format::{
        Mapped,
        luks::LuksArea,
        qcow2::{header::Header, image::Qcow2, unpack::unpack},
        raw::RawExtents,
    },
    inspect::{expect_format, inspect_as, inspect_qcow2, unit},
    plan::{Content, Extent, Segment},
};

/// An image whose disk can be read: plain, or unlocked. It is never written.
///
/// It may be several files, each standing on the next; their bytes have one numbering, as if they lay one behind the other
/// with gaps between them.
pub struct Source<'a> {
    /// From the top down; never empty.
    layers: Vec<Layer<'a>>,
}

/// One file of a source.
pub(crate) struct Layer<'a> {
    storage: &'a dyn Storage,
    info: ImageInfo,
    file_len: u64,
    layout: Layout<'a>,
    key: Option<VolumeKey>,
    /// Where its bytes begin in the numbering of all.
    start: u64,
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
    open_chain((storage, format), &[], passphrase)
}

impl<'a> Source<'a> {
    /// What [`crate::inspect()`] tells of it; of several files, of the top one.
    #[must_use]
    pub fn info(&self) -> &ImageInfo {
        &self.layers[0].info
    }

    /// How much of the disk is stored, in whichever of its files. This reads all of their tables.
    pub fn usage(&self) -> Result<Usage, ImageError> {
        Usage::count(self.extents(), unit(self.info().cluster_size))
    }

    /// Layers that stand on one another, unlocked.
    pub(crate) fn over(layers: Vec<Layer<'a>>, passphrase: Option<&SecretBytes>) -> Result<Self, ImageError> {
        let mut source = Self { layers };
        source.number()?;
        source.unlock(passphrase)?;
        Ok(source)
    }

    /// An image of which the bytes in the file can be read, but not the disk's if it is encrypted. Of snapshots nothing is read.
    pub(crate) fn locked(storage: &'a dyn Storage, format: Format) -> Result<Self, ImageError> {
        let layer = Layer::open(storage, format)?;
        layer.refuse_backing_file()?;
        Ok(Self { layers: vec![layer] })
    }

    pub(crate) fn unlock(&mut self, passphrase: Option<&SecretBytes>) -> Result<(), ImageError> {
        if let (Some(_), true) = (passphrase, self.layers.iter().all(|layer| layer.luks_place().is_none())) {
            return Err(ImageError::NotEncrypted { image: self.layers[0].name() });
        }
        self.layers.iter_mut().try_for_each(|layer| layer.unlock(passphrase))
    }

    /// Gives each layer its place in the numbering, so far apart that no run reaches from one into the next.
    fn number(&mut self) -> Result<(), ImageError> {
        const GAP: u64 = 16 << 20;
        let mut next = 0_u64;
        for layer in &mut self.layers {
            layer.start = next;
            let end = next.checked_add(layer.file_len).and_then(|end| end.checked_add(GAP));
            let end = end.and_then(|end| end.checked_next_multiple_of(GAP));
            next = end.ok_or_else(|| ImageError::Damaged {
                image: layer.name(),
                what: format!("its file has {} bytes", layer.file_len),
            })?;
        }
        Ok(())
    }

    /// The layer that a place in the numbering belongs to, by its number, and the place in its file.
    fn place(&self, host: u64) -> (usize, u64) {
        let number = self.layers.partition_point(|layer| layer.start <= host) - 1;
        (number, host - self.layers[number].start)
    }

    /// Where the disk's bytes are, in their order.
    pub(crate) fn extents(&self) -> Box<dyn Iterator<Item = Result<Extent, ImageError>> + Send + '_> {
        let mut layers = self.layers.iter().rev();
        let last = layers.next().expect("never empty").mapped().map(|mapped| mapped.map(Extent::from));
        layers.fold(Box::new(last), |lower, upper| Box::new(Overlay::new(upper.mapped(), lower)))
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

    fn read_padded(&self, host: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let (layer, host) = self.place(host);
        self.layers[layer].read_padded(host, buf)
    }

    /// The sector at `host` as it is in the file.
    pub(crate) fn raw_sector(&self, host: u64) -> Result<[u8; 512], ImageError> {
        let mut sector = [0; 512];
        self.read_padded(host, &mut sector)?;
        Ok(sector)
    }

    /// The key that enciphers the top image, if it has one and is unlocked.
    pub(crate) fn key(&self) -> Option<&VolumeKey> {
        self.layers[0].key.as_ref()
    }

    /// What turns the bytes of the file into those of the disk; one for each thread.
    pub(crate) fn decoder(&self) -> Decoder<'_> {
        let largest = self.layers.iter().filter_map(|layer| layer.info.cluster_size).max().unwrap_or(0);
        Decoder {
            source: self,
            ciphers: self.layers.iter().map(|layer| layer.key.as_ref().map(SectorCipher::new)).collect(),
            cluster: vec![0; usize::try_from(largest).expect("at most 2 MiB")],
        }
    }

    /// The sector number that enciphers what lies at `host`.
    pub(crate) fn sector_at(&self, host: u64) -> u64 {
        let (layer, host) = self.place(host);
        self.layers[layer].sector_at(host)
    }
}

impl<'a> Layer<'a> {
    /// Opens one file, whose data must all be in it or in its backing file.
    pub(crate) fn open(storage: &'a dyn Storage, format: Format) -> Result<Self, ImageError> {
        let layer = match format {
            Format::Raw | Format::Luks => Self::flat(storage, inspect_as(storage, format)?)?,
            Format::Qcow2 => Self::qcow2(storage)?,
        };
        match layer.info.data_file.clone() {
            Some(data_file) => Err(ImageError::DataFile { image: layer.name(), data_file }),
            None => Ok(layer),
        }
    }

    fn flat(storage: &'a dyn Storage, info: ImageInfo) -> Result<Self, ImageError> {
        let file_len = storage.size()?;
        // An encrypted disk is what lies behind the header.
        let payload = if info.format == Format::Luks { file_len - info.virtual_size } else { 0 };
        Ok(Self { storage, info, file_len, layout: Layout::Flat { payload }, key: None, start: 0 })
    }

    fn qcow2(storage: &'a dyn Storage) -> Result<Self, ImageError> {
        expect_format(storage, Format::Qcow2)?;
        let image = Box::new(Qcow2::open(storage)?);
        let (info, file_len) = (inspect_qcow2(&image)?, image.file_len());
        Ok(Self { storage, info, file_len, layout: Layout::Qcow2(image), key: None, start: 0 })
    }

    pub(crate) fn info(&self) -> &ImageInfo {
        &self.info
    }

    pub(crate) fn name(&self) -> String {
        self.storage.name()
    }

    pub(crate) fn refuse_backing_file(&self) -> Result<(), ImageError> {
        match self.info.backing_file.clone() {
            Some(backing_file) => Err(ImageError::BackingFile { image: self.name(), backing_file }),
            None => Ok(()),
        }
    }

    pub(crate) fn refuse_snapshots(&self) -> Result<(), ImageError> {
        match self.info.snapshots {
            0 => Ok(()),
            count => Err(ImageError::Snapshots { image: self.name(), count }),
        }
    }

    fn unlock(&mut self, passphrase: Option<&SecretBytes>) -> Result<(), ImageError> {
        let Some(place) = self.luks_place() else { return Ok(()) };
        let Some(passphrase) = passphrase else { return Err(ImageError::PassphraseNeeded { image: self.name() }) };
        self.key = Some(LuksArea::read(self.storage, place)?.unlock(passphrase)?.1);
        Ok(())
    }

    fn luks_place(&self) -> Option<Range<u64>> {
        match &self.layout {
            Layout::Flat { .. } => (self.info.format == Format::Luks).then_some(0..self.file_len),
            Layout::Qcow2(image) => image.header().luks_area.clone(),
        }
    }

    /// What it says of the disk, in order, its places in the numbering of all.
    fn mapped(&self) -> Box<dyn Iterator<Item = Result<Mapped, ImageError>> + Send + '_> {
        let size = self.info.virtual_size;
        match &self.layout {
            Layout::Flat { payload } if self.info.format == Format::Luks => {
                self.flat_mapped(RawExtents::encrypted(self.storage, *payload, size))
            }
            Layout::Flat { .. } => self.flat_mapped(RawExtents::plain(self.storage, self.file_len, size)),
            Layout::Qcow2(image) => Box::new(image.mapped().map(|mapped| self.numbered(mapped))),
        }
    }

    fn flat_mapped<'s>(
        &'s self,
        extents: RawExtents<'s>,
    ) -> Box<dyn Iterator<Item = Result<Mapped, ImageError>> + Send + 's> {
        Box::new(extents.map(|extent| self.numbered(extent.map(Mapped::from))))
    }

    fn numbered(&self, mapped: Result<Mapped, ImageError>) -> Result<Mapped, ImageError> {
        let start = self.start;
        mapped.map(|Mapped { guest, content }| {
            let content = content.map(|content| match content {
                Content::Zero => Content::Zero,
                Content::Host(host) => Content::Host(start + host),
                Content::Packed { host, skip } => Content::Packed { host: start + host.start..start + host.end, skip },
            });
            Mapped { guest, content }
        })
    }

    /// As QEMU reads qcow2 clusters: what lies behind the file's end is zeros.
    fn read_padded(&self, host: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        let there = usize::try_from(self.file_len.saturating_sub(host)).unwrap_or(usize::MAX).min(buf.len());
        let (there, missing) = buf.split_at_mut(there);
        missing.fill(0);
        // Beyond the end there is nothing to ask a medium for.
        if there.is_empty() { Ok(()) } else { self.storage.read(host, there) }
    }

    fn sector_at(&self, host: u64) -> u64 {
        match self.layout {
            Layout::Flat { payload } => (host - payload) / SECTOR_BYTES,
            Layout::Qcow2(_) => host / SECTOR_BYTES,
        }
    }
}

/// Unpacks and decrypts.
pub(crate) struct Decoder<'a> {
    source: &'a Source<'a>,
    /// One for each layer that is encrypted.
    ciphers: Vec<Option<SectorCipher>>,
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
        let Segment::Data(parts) = segment else { return Ok(()) };
        for part in parts {
            let Content::Host(host) = part.content else { continue };
            let (layer, host) = self.source.place(host);
            if let Some(cipher) = &mut self.ciphers[layer] {
                let at = piece.range_of(&part.guest);
                cipher.decrypt(self.source.layers[layer].sector_at(host), &mut piece.data[at]);
            }
        }
        Ok(())
    }

    fn unpack(&mut self, packed: &Packed) -> Result<(), ImageError> {
        let (layer, host) = self.source.place(packed.host);
        let layer = &self.source.layers[layer];
        let Layout::Qcow2(image) = &layer.layout else { unreachable!("only qcow2 compresses") };
        let Header { compression, cluster, .. } = image.header();
        unpack(*compression, &packed.bytes, &mut self.cluster[..cluster.len()]).map_err(|error| ImageError::Damaged {
            image: layer.name(),
            what: format!("the compressed cluster at {host:#x} does not unpack: {error}"),
        })
    }
}
