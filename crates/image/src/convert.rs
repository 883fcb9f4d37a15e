//! Turning one image into another.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    thread,
};

use cadenas_luks::{FormatOptions, Header, Layout, MIN_ROUNDS, SECTOR_BYTES, SectorCipher, SlotIndex, VolumeKey};

use crate::{
    ImageError, ImageInfo, NewKey, Progress, Source, Storage, Target, Tuning,
    engine::{self, Piece, Write},
    format::qcow2::{
        build::{Plot, Tables},
        header::ClusterSize,
    },
    inspect::inspect_as,
    plan::{Cut, Plan, Segment},
    source::Decoder,
    target::RAW_HOLE_BYTES,
    throttle::Throttle,
};

/// Segments of data have about this many bytes: enough to keep a disk busy, and little beside the bound on memory.
const SEGMENT_BYTES: u64 = 2 << 20;

/// Who waits for the rate limit looks so often, in bytes, whether to stop.
const PAID_AT_ONCE: u64 = 64 << 10;

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
    let destination = Destination::new(src, dst, target, key)?;
    progress.begin(src.info().virtual_size);
    destination.fill(&Conversion { src, destination: &destination, tuning, progress })?;
    inspect_as(dst, target.format())
}

/// A new image while it is written.
struct Destination<'a> {
    storage: &'a dyn Storage,
    layout: Place,
    cut: Cut,
    volume: Option<Volume<'a>>,
}

/// Where in the file the disk's bytes go.
enum Place {
    /// One after the other, from an offset on, in a file of this length.
    Flat { payload: u64, len: u64 },
    /// Wherever a cluster is free.
    Qcow2(Plot),
}

impl Place {
    fn new(target: &Target, size: u64, volume: Option<&Volume<'_>>) -> Result<Self, ImageError> {
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
        key: Option<NewKey<'a>>,
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

    /// The passphrase's slot takes as long as was asked for, so that it is made beside the copy.
    fn fill(&self, conversion: &Conversion<'_>) -> Result<(), ImageError> {
        thread::scope(|scope| {
            let slot = self.volume.as_ref().map(|volume| scope.spawn(|| volume.with_slot()));
            let ready = || slot.map(|slot| slot.join().expect("making a slot does not panic"));
            self.fill_around(conversion, ready)
        })
    }

    fn fill_around(
        &self,
        conversion: &Conversion<'_>,
        ready: impl FnOnce() -> Option<Opened>,
    ) -> Result<(), ImageError> {
        match &self.layout {
            Place::Flat { len, .. } => {
                self.storage.resize(*len)?;
                conversion.run(|_, _| Ok(()))?;
                self.storage.flush()?;
                ready().map_or(Ok(()), |opened| opened.write(self.storage, 0))
            }
            Place::Qcow2(plot) => {
                let mut tables = Tables::new(self.storage, plot);
                conversion.run(|segment, writes| tables.note(&segment.guest(), writes))?;
                let volume = || ready().zip(plot.luks_area());
                tables.finish(|| volume().map_or(Ok(()), |(opened, area)| opened.write(self.storage, area.start)))
            }
        }
    }

    /// Says what of a piece goes where. In qcow2 its clusters lie side by side, and are moved together for that.
    fn lay_out(&self, guest: u64, piece: &mut Piece) {
        let runs = self.runs(&piece.data);
        match &self.layout {
            Place::Flat { payload, .. } => piece.writes.extend(runs.into_iter().map(|at| {
                let guest = guest + to_u64(at.start);
                Write { at: self.clip(guest, at, &piece.data), guest, host: payload + guest }
            })),
            Place::Qcow2(plot) => {
                let mut host = plot.hand_out(runs.iter().map(|run| to_u64(run.len())).sum());
                let mut to = 0;
                for run in runs {
                    let (guest, len) = (guest + to_u64(run.start), run.len());
                    piece.data.copy_within(run, to);
                    piece.writes.push(Write { at: to..to + len, guest, host });
                    (to, host) = (to + len, host + to_u64(len));
                }
            }
        }
    }

    /// The sector number that enciphers what lies at `host`.
    fn sector_at(&self, host: u64) -> u64 {
        match self.layout {
            Place::Flat { payload, .. } => (host - payload) / SECTOR_BYTES,
            Place::Qcow2(_) => host / SECTOR_BYTES,
        }
    }

    /// Buffers are padded to a multiple of this, in bytes.
    fn padding(&self) -> u64 {
        match self.layout {
            Place::Flat { .. } => 1,
            Place::Qcow2(_) => self.cut.granule,
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

/// A new LUKS volume that no passphrase opens yet.
struct Volume<'a> {
    key: VolumeKey,
    header: Header,
    new: NewKey<'a>,
}

/// A header with its first key slot and that slot's material, ready to be written.
struct Opened {
    header: Header,
    slot: SlotIndex,
    material: Vec<u8>,
}

impl<'a> Volume<'a> {
    fn new(new: NewKey<'a>, target: &Target) -> Self {
        let layout = if *target == Target::Luks { Layout::Raw } else { Layout::InQcow2 };
        let key = VolumeKey::generate();
        // As cryptsetup: the digest costs an eighth of a slot.
        let digest_rounds = MIN_ROUNDS.max(new.rounds.get().div_euclid(8).try_into().unwrap_or(MIN_ROUNDS));
        let header = Header::format(FormatOptions { uuid: new.uuid, layout, digest_rounds }, &key);
        Self { key, header, new }
    }

    fn with_slot(&self) -> Opened {
        let mut header = self.header.clone();
        let slot = header.free_slot().expect("a new header has only free slots");
        let material = header.add_key(slot, &self.key, self.new.passphrase, self.new.rounds);
        Opened { header, slot, material }
    }
}

impl Opened {
    /// Key material first, then the header that points to it.
    fn write(&self, storage: &dyn Storage, at: u64) -> Result<(), ImageError> {
        storage.write(at + self.header.slot_area(self.slot).start, &self.material)?;
        storage.flush()?;
        storage.write(at, &self.header.to_bytes())?;
        storage.flush()
    }
}

/// One conversion, shared by its threads.
struct Conversion<'a> {
    src: &'a Source<'a>,
    destination: &'a Destination<'a>,
    tuning: &'a Tuning,
    progress: &'a dyn Progress,
}

/// What a thread keeps for itself.
struct Worker<'a> {
    piece: Piece,
    decoder: Decoder<'a>,
    cipher: Option<SectorCipher>,
}

impl Conversion<'_> {
    /// Moves everything; `note` is told of each segment when it is written, in any order.
    fn run(&self, note: impl FnMut(&Segment, &[Write]) -> Result<(), ImageError> + Send) -> Result<(), ImageError> {
        let plan = Plan::new(self.src.extents(), self.destination.cut);
        let (throttle, note) = (Throttle::new(self.tuning.rate_limit), Mutex::new(note));
        engine::run(
            engine::jobs(self.tuning),
            plan,
            || self.worker(),
            |worker, segment| {
                self.pay(&throttle, segment)?;
                let writes = self.work(worker, segment)?;
                // The lock is kept while tables are written: their keeper is one.
                note.lock().unwrap_or_else(PoisonError::into_inner)(segment, writes)?;
                self.progress.advance(segment.len());
                Ok(())
            },
        )
    }

    fn worker(&self) -> Worker<'_> {
        let cipher = self.destination.volume.as_ref().map(|volume| SectorCipher::new(&volume.key));
        let piece = Piece::with_room(self.destination.cut.longest);
        Worker { piece, decoder: self.src.decoder(), cipher }
    }

    /// Waits for as long as the rate limit wants, unless it is all to end.
    fn pay(&self, throttle: &Throttle, segment: &Segment) -> Result<(), ImageError> {
        let mut due = if matches!(segment, Segment::Zero(_)) { 0 } else { segment.len() };
        loop {
            if self.progress.cancelled() {
                return Err(ImageError::Cancelled);
            }
            if due == 0 {
                return Ok(());
            }
            throttle.take(due.min(PAID_AT_ONCE));
            due = due.saturating_sub(PAID_AT_ONCE);
        }
    }

    /// Reads, deciphers, enciphers and writes a segment; says what of it went where.
    fn work<'w>(&self, worker: &'w mut Worker<'_>, segment: &Segment) -> Result<&'w [Write], ImageError> {
        let Worker { piece, decoder, cipher } = worker;
        if matches!(segment, Segment::Zero(_)) {
            return Ok(&[]);
        }
        piece.prepare(&segment.guest(), self.destination.padding());
        self.src.load(segment, piece)?;
        decoder.decode(segment, piece)?;
        self.destination.lay_out(segment.guest().start, piece);
        for (host, at) in joined(&piece.writes) {
            if let Some(cipher) = cipher {
                cipher.encrypt(self.destination.sector_at(host), &mut piece.data[at.clone()]);
            }
            self.destination.storage.write(host, &piece.data[at])?;
        }
        Ok(&piece.writes)
    }
}

/// Writes that follow each other both in the buffer and in the file are one: offsets in the file, with the buffer's ranges.
fn joined(writes: &[Write]) -> Vec<(u64, Range<usize>)> {
    let mut joined: Vec<(u64, Range<usize>)> = Vec::new();
    for write in writes {
        match joined.last_mut() {
            Some((host, at)) if at.end == write.at.start && *host + to_u64(at.len()) == write.host => {
                at.end = write.at.end;
            }
            _ => joined.push((write.host, write.at.clone())),
        }
    }
    joined
}

/// Folds whole blocks without a branch for each word, which compilers turn into wide instructions.
fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<256>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) == 0) && rest.iter().all(|byte| *byte == 0)
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
