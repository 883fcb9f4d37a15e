//! Turning one image into another.

use std::ops::Range;

use cadenas_luks::{FormatOptions, Header, Layout, MIN_ROUNDS, SECTOR_BYTES, SectorCipher, SlotIndex, VolumeKey};

use crate::{
    ImageError, ImageInfo, NewKey, Progress, Source, Storage, Target, Tuning,
    engine::{self, Piece, Stages, Write},
    format::qcow2::{
        build::{Plot, Tables},
        header::ClusterSize,
    },
    inspect::inspect_as,
    plan::{Cut, Plan, Segment},
    source::Decoder,
    target::RAW_HOLE_BYTES,
};

/// Segments of data have about this many bytes.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Writes the disk of `src` to the empty `dst` as `target` says: encrypts, decrypts or, from one volume key to a fresh one,
/// both. When it returns, everything is durable; what it returns was read back from `dst`.
///
/// After an error `dst` is incomplete, is not taken for an image (its header comes last) and is the caller's to remove.
pub fn convert(
    src: &Source<'_>,
    dst: &dyn Storage,
    target: &Target,
    key: Option<NewKey<'_>>,
    tuning: &Tuning,
    progress: &dyn Progress,
) -> Result<ImageInfo, ImageError> {
    if target.is_encrypted() != key.is_some() {
        return Err(ImageError::KeyForTarget { needed: target.is_encrypted() });
    }
    if dst.size()? != 0 {
        return Err(ImageError::NotEmpty { image: dst.name() });
    }
    let destination = Destination::new(src, dst, target, key.as_ref())?;
    let _ = tuning;
    progress.begin(src.info().virtual_size);
    destination.fill(src, progress)?;
    inspect_as(dst, target.format())
}

/// A new image while it is written.
struct Destination<'a> {
    storage: &'a dyn Storage,
    layout: Place,
    cut: Cut,
    volume: Option<Volume>,
}

/// Where in the file the disk's bytes go.
enum Place {
    /// One after the other, from an offset on, in a file of this length.
    Flat { payload: u64, len: u64 },
    /// Wherever a cluster is free.
    Qcow2(Plot),
}

impl Place {
    fn new(target: &Target, size: u64, volume: Option<&Volume>) -> Result<Self, ImageError> {
        let too_large = || ImageError::TooLarge { virtual_size: size, target: "a LUKS image".to_owned() };
        match *target {
            Target::Raw { len } => match len.unwrap_or(size) {
                len if len.next_multiple_of(SECTOR_BYTES) == size => Ok(Self::Flat { payload: 0, len }),
                len => Err(ImageError::LengthMismatch { virtual_size: size, len }),
            },
            Target::Luks => {
                let payload = volume.map_or(0, |volume| volume.header.payload_offset());
                Ok(Self::Flat { payload, len: payload.checked_add(size).ok_or_else(too_large)? })
            }
            Target::Qcow2 { cluster_size: bytes } | Target::Qcow2Luks { cluster_size: bytes } => {
                let cluster = ClusterSize::from_bytes(bytes).ok_or(ImageError::ClusterSize { bytes })?;
                let luks_len = volume.map(|volume| volume.header.area_len());
                Ok(Self::Qcow2(Plot::new(cluster, size, luks_len)?))
            }
        }
    }
}

impl<'a> Destination<'a> {
    fn new(
        src: &Source<'_>,
        storage: &'a dyn Storage,
        target: &Target,
        key: Option<&NewKey<'_>>,
    ) -> Result<Self, ImageError> {
        let volume = key.map(|key| Volume::new(key, target));
        let layout = Place::new(target, src.info().virtual_size, volume.as_ref())?;
        let granule = match *target {
            Target::Raw { .. } => RAW_HOLE_BYTES,
            Target::Luks => SECTOR_BYTES,
            Target::Qcow2 { cluster_size } | Target::Qcow2Luks { cluster_size } => cluster_size,
        };
        // A compressed cluster is best unpacked at once.
        let longest = SEGMENT_BYTES.max(granule).max(src.info().cluster_size.unwrap_or(0));
        Ok(Self { storage, layout, cut: Cut { granule, longest, keeps_holes: *target != Target::Luks }, volume })
    }

    fn fill(&self, src: &Source<'_>, progress: &dyn Progress) -> Result<(), ImageError> {
        match &self.layout {
            Place::Flat { len, .. } => {
                self.storage.resize(*len)?;
                self.move_data(src, progress, |_, _| Ok(()))?;
                self.storage.flush()?;
                self.write_volume(0)
            }
            Place::Qcow2(plot) => {
                let mut tables = Tables::new(self.storage, plot);
                self.move_data(src, progress, |segment, writes| tables.note(&segment.guest(), writes))?;
                tables.finish(|| plot.luks_area().map_or(Ok(()), |area| self.write_volume(area.start)))
            }
        }
    }

    fn move_data(
        &self,
        src: &Source<'_>,
        progress: &dyn Progress,
        mut note: impl FnMut(&Segment, &[Write]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let stages = Conversion { src, destination: self, progress };
        engine::run(&stages, Plan::new(src.extents(), self.cut), |segment, piece| {
            for (host, bytes) in piece.into_iter().flat_map(Piece::outputs) {
                self.storage.write(host, bytes)?;
            }
            note(segment, piece.map_or(&[], |piece| &piece.writes))?;
            progress.advance(segment.len());
            Ok(())
        })
    }

    /// Key material first, then the header that points to it.
    fn write_volume(&self, at: u64) -> Result<(), ImageError> {
        let Some(volume) = &self.volume else { return Ok(()) };
        self.storage.write(at + volume.header.slot_area(volume.slot).start, &volume.material)?;
        self.storage.flush()?;
        self.storage.write(at, &volume.header.to_bytes())?;
        self.storage.flush()
    }

    /// Where a run of the disk goes, and the sector number that enciphers it there.
    fn place(&self, guest: u64, len: u64) -> (u64, u64) {
        match &self.layout {
            Place::Flat { payload, .. } => (payload + guest, guest / SECTOR_BYTES),
            Place::Qcow2(plot) => {
                let host = plot.hand_out(len);
                (host, host / SECTOR_BYTES)
            }
        }
    }

    /// What of a piece has to be written: all of it, or its granules that are not zeros, neighbours together.
    fn runs(&self, data: &[u8]) -> Vec<Range<usize>> {
        let granule = if self.cut.keeps_holes { self.cut.granule } else { to_u64(data.len()) };
        let granule = usize::try_from(granule).expect("granules are small");
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (number, bytes) in data.chunks(granule).enumerate() {
            let at = number * granule..number * granule + bytes.len();
            match runs.last_mut() {
                _ if self.cut.keeps_holes && is_zero(bytes) => {}
                Some(last) if last.end == at.start => last.end = at.end,
                _ => runs.push(at),
            }
        }
        runs
    }

    /// A file that shall end inside the disk's last sector does, unless the guest has written behind that end.
    fn clip(&self, guest: u64, at: Range<usize>, data: &[u8]) -> Range<usize> {
        let Place::Flat { payload: 0, len } = self.layout else { return at };
        let beyond = usize::try_from((guest + to_u64(at.len())).saturating_sub(len)).expect("part of a sector");
        let end = at.end - beyond;
        if is_zero(&data[end..at.end]) { at.start..end } else { at }
    }
}

/// A LUKS volume with its first key slot, ready to be written.
struct Volume {
    key: VolumeKey,
    header: Header,
    slot: SlotIndex,
    material: Vec<u8>,
}

impl Volume {
    fn new(new: &NewKey<'_>, target: &Target) -> Self {
        let layout = if *target == Target::Luks { Layout::Raw } else { Layout::InQcow2 };
        let key = VolumeKey::generate();
        // As cryptsetup: the digest costs an eighth of a slot.
        let digest_rounds = MIN_ROUNDS.max(new.rounds.get().div_euclid(8).try_into().unwrap_or(MIN_ROUNDS));
        let mut header = Header::format(FormatOptions { uuid: new.uuid, layout, digest_rounds }, &key);
        let slot = header.free_slot().expect("a new header has only free slots");
        let material = header.add_key(slot, &key, new.passphrase, new.rounds);
        Self { key, header, slot, material }
    }
}

/// The stages of one conversion.
struct Conversion<'a> {
    src: &'a Source<'a>,
    destination: &'a Destination<'a>,
    progress: &'a dyn Progress,
}

impl<'a> Stages for Conversion<'a> {
    type Worker = (Decoder<'a>, Option<SectorCipher>);

    fn padding(&self) -> u64 {
        match self.destination.layout {
            Place::Flat { .. } => 1,
            Place::Qcow2(_) => self.destination.cut.granule,
        }
    }

    fn read(&self, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError> {
        if self.progress.cancelled() {
            return Err(ImageError::Cancelled);
        }
        self.src.load(segment, piece)
    }

    fn worker(&self) -> Self::Worker {
        let cipher = self.destination.volume.as_ref().map(|volume| SectorCipher::new(&volume.key));
        (self.src.decoder(), cipher)
    }

    fn work(&self, worker: &mut Self::Worker, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError> {
        let (decoder, cipher) = worker;
        decoder.decode(segment, piece)?;
        for at in self.destination.runs(&piece.data) {
            let guest = segment.guest().start + to_u64(at.start);
            let at = self.destination.clip(guest, at, &piece.data);
            let (host, sector) = self.destination.place(guest, to_u64(at.len()));
            if let Some(cipher) = cipher {
                cipher.encrypt(sector, &mut piece.data[at.clone()]);
            }
            piece.writes.push(Write { at, guest, host });
        }
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
