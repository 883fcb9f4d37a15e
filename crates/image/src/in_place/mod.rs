//! Rewriting an image where it lies: encrypt, decrypt, and from one volume key to another.
//!
//! A *journal* beside the image keeps the first bytes of both, how far the rewrite is, and what else it takes to go on, or back,
//! after a crash at any instant. Meanwhile a *marker* stands in the image's first sector, so that no program takes it for a disk.
//!
//! # Commit points
//!
//! The image is the old one until the marker is durable, and the new one as soon as the new first sector is: each is one sector,
//! which a medium writes whole or not at all. Between the two, the journal's last epoch record says which way it goes; `machine`
//! argues why no zone is lost. The journal's immutable part, with both fronts, is durable before anything else is done.
//!
//! What is read is not always durable: after a flush that failed, the system shows what it has lost as if it were there, and has nothing
//! to write at the next one. So what must be durable is written again whenever a rewrite is taken up, though it reads as it should.

mod flat;
mod flusher;
mod journal;
mod kinds;
mod layout;
mod machine;
mod marker;
mod qcow2;
mod records;
mod volume;
mod wire;
mod zone;

use cadenas_secret::SecretBytes;

use crate::{Format, ImageError, ImageInfo, NewKey, Progress, Storage, Tuning, inspect::expect_format};

use {
    journal::Journal,
    kinds::Rewrite,
    machine::Pass,
    records::{Direction, Phase, Record, Records, Status},
    zone::{Side, Way},
};

pub(crate) use marker::journal_of;

/// What an in-place rewrite makes of an image.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Raw to raw LUKS (no holes afterwards), raw to qcow2 with LUKS (holes stay), or qcow2 to qcow2 with LUKS.
    Encrypt {
        /// `Luks` or `Qcow2`.
        into: Format,
        /// The new volume's first key slot.
        key: NewKey<'a>,
    },
    /// Raw LUKS to raw, or qcow2 with LUKS to plain qcow2.
    Decrypt {
        /// What opens the image now.
        passphrase: &'a SecretBytes,
        /// Exact length of a raw file in bytes, if it did not end with a whole sector.
        len: Option<u64>,
    },
    /// To a fresh volume key; the format stays.
    Recrypt {
        /// What opens the image now.
        passphrase: &'a SecretBytes,
        /// The new volume's first key slot.
        key: NewKey<'a>,
    },
}

/// An image and the journal of its rewrite.
pub struct InPlace<'a> {
    disk: &'a dyn Storage,
    journal_name: String,
    journal: Journal,
    rewrite: Rewrite<'a>,
    records: Records<'a>,
    old: Side,
    new: Side,
}

/// How far a rewrite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPlaceState {
    /// The image is still, or again, what it was.
    Old,
    /// It is neither the old nor the new image: no other program opens it.
    Between,
    /// It is the new image.
    New,
}

/// What a rewrite needs beyond the image's own length, in bytes: the growth of the image's file and its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraSpace {
    /// While it runs.
    pub during: u64,
    /// Afterwards.
    pub after: u64,
}

/// How much is under way at once. The journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The most zones that are being written at once.
    pub window: u32,
    /// The most bytes of data in a zone, a multiple of 512.
    pub zone: u64,
    /// Where the payload of a raw disk that gets encrypted begins, in bytes.
    pub payload: u64,
}

impl Default for Sizes {
    /// A disk that moves by 32 MiB goes in eight zones of 4 MiB at once.
    fn default() -> Self {
        Self { window: 8, zone: 4 << 20, payload: 32 << 20 }
    }
}

/// Says what a rewrite would need, and refuses an image that cannot be rewritten in place. Nothing is changed.
pub fn extra_space(disk: &dyn Storage, format: Format, change: &Change<'_>) -> Result<ExtraSpace, ImageError> {
    let sizes = Sizes::default();
    expect_format(disk, format)?;
    let space = kinds::space(disk, format, change, sizes.payload)?;
    let records = records::Sizes { tagged: true, window: sizes.window, zone: sizes.zone }.area_len();
    Ok(ExtraSpace { during: space.during.saturating_add(flat::JOURNAL_BYTES + records), ..space })
}

/// Whether an image is between the old and the new, as its first sector says; no passphrase is needed.
pub fn is_between(disk: &dyn Storage) -> Result<bool, ImageError> {
    Ok(journal_of(disk)?.is_some())
}

impl<'a> InPlace<'a> {
    /// Checks the image and writes a journal, which must be an empty file, with all that a later [`Self::open`] needs; it is
    /// durable on return, but for the journal's name in its folder. The image is not changed yet.
    pub fn prepare(
        disk: &'a dyn Storage,
        journal: &'a dyn Storage,
        format: Format,
        change: &Change<'_>,
    ) -> Result<Self, ImageError> {
        Self::prepare_sized(disk, journal, format, change, Sizes::default())
    }

    /// As [`Self::prepare`], with other sizes than are best.
    #[cfg(feature = "testing")]
    pub fn prepare_with(
        disk: &'a dyn Storage,
        journal: &'a dyn Storage,
        format: Format,
        change: &Change<'_>,
        sizes: Sizes,
    ) -> Result<Self, ImageError> {
        Self::prepare_sized(disk, journal, format, change, sizes)
    }

    fn prepare_sized(
        disk: &'a dyn Storage,
        journal: &'a dyn Storage,
        format: Format,
        change: &Change<'_>,
        sizes: Sizes,
    ) -> Result<Self, ImageError> {
        if journal.size()? != 0 {
            return Err(ImageError::NotEmpty { image: journal.name() });
        }
        expect_format(disk, format)?;
        let (plan, volumes) = kinds::plan(disk, format, change, sizes.payload)?;
        if marker::parse(&plan.fronts.new).is_some() {
            let feature = "a first sector that reads as the marker of an in-place rewrite".to_owned();
            return Err(ImageError::Unsupported { image: disk.name(), feature });
        }
        let rewrite = kinds::layout_for(disk, &plan, &volumes)?;
        let sizes = zone_sizes(sizes, rewrite.layout.shift());
        let made = Self::new(disk, journal, Journal::create(journal, sizes, plan, volumes)?, rewrite);
        made.records.create()?;
        Ok(made)
    }

    /// Opens the journal of a rewrite that was interrupted, with a passphrase of the old image or of the new.
    pub fn open(disk: &'a dyn Storage, journal: &'a dyn Storage, passphrase: &SecretBytes) -> Result<Self, ImageError> {
        let read = Journal::read(journal, passphrase)?;
        let rewrite = kinds::layout_for(disk, &read.plan, &read.volumes)?;
        let opened = Self::new(disk, journal, read, rewrite);
        opened.state()?;
        Ok(opened)
    }

    fn new(disk: &'a dyn Storage, storage: &'a dyn Storage, journal: Journal, rewrite: Rewrite<'a>) -> Self {
        let records = Records::new(storage, journal.uuid, &journal.key, journal.sizes, journal.records_at);
        let (plan, volumes) = (&journal.plan, &journal.volumes);
        let side = |key: &Option<_>, front: &[u8], format| Side {
            key: Option::clone(key),
            front: front.to_vec(),
            with_holes: format == Format::Raw,
        };
        let old = side(&volumes.old, &plan.fronts.old, plan.old_format);
        let new = side(&volumes.new, &plan.fronts.new, plan.new_format);
        Self { disk, journal_name: storage.name(), journal, rewrite, records, old, new }
    }

    /// How far it is.
    pub fn state(&self) -> Result<InPlaceState, ImageError> {
        self.place(&self.records.status()?)
    }

    /// What the image is, or will be, when the rewrite is finished.
    #[must_use]
    pub fn new_info(&self) -> &ImageInfo {
        &self.rewrite.new_info
    }

    /// Goes on to the end, from wherever it is. Afterwards the image is the new one, durably, and the journal can be removed.
    /// Cancelled or failed, it can go on later, or back.
    pub fn run(&mut self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError> {
        let status = self.records.status()?;
        match self.place(&status)? {
            InPlaceState::New => return self.finish_new(&status),
            InPlaceState::Old => {
                let is_unused = self.is_old_unused(&status)?;
                self.expect(is_unused && self.way(Direction::Forward).holds_front()?)?;
            }
            InPlaceState::Between => {}
        }
        let way = self.way(Direction::Forward);
        let epoch = self.begin(&way, &status)?;
        progress.begin(self.rewrite.layout.total_bytes());
        self.rewrite.layout.stage(tuning, progress)?;
        self.mark()?;
        self.pass(&way, epoch, tuning, progress)?;
        let end = self.rewrite.layout.end();
        self.records.write(&Record::of_epoch(epoch.epoch + 1, Direction::Forward, Phase::Passed, end))?;
        self.rewrite.layout.ready_new()?;
        self.commit(&self.new.front)?;
        self.rewrite.layout.clean_new()?;
        self.disk.flush()?;
        self.records.write(&Record::of_epoch(epoch.epoch + 2, Direction::Forward, Phase::Finished, end))
    }

    /// Goes back to the old image, from wherever it is, even from the end as long as nobody else wrote to the image.
    pub fn undo(&mut self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError> {
        let status = self.records.status()?;
        match self.place(&status)? {
            InPlaceState::Old => return self.finish_old(&status),
            InPlaceState::New => {
                self.rewrite.layout.way_back()?;
                let is_unused = self.has_front(&self.new.front)? && self.rewrite.layout.is_unused(Direction::Back)?;
                self.expect(is_unused && self.way(Direction::Back).holds_front()?)?;
            }
            InPlaceState::Between => {}
        }
        let way = self.way(Direction::Back);
        let epoch = self.begin(&way, &status)?;
        // With the marker the old image's tables count, and they may name what the file was cut off before. A raw disk must not
        // be longer while it is in use.
        if self.journal.plan.new_format == Format::Qcow2 {
            self.grow_to_old()?;
        }
        self.mark()?;
        self.grow_to_old()?;
        progress.begin(self.rewrite.layout.total_bytes());
        self.pass(&way, epoch, tuning, progress)?;
        self.records.write(&Record::of_epoch(epoch.epoch + 1, Direction::Back, Phase::Passed, 0))?;
        self.rewrite.layout.clean_old()?;
        self.disk.resize(self.journal.plan.old_len.max(SECTOR_BYTES))?;
        self.disk.flush()?;
        self.commit(&self.old.front)?;
        self.restore_len()?;
        self.records.write(&Record::of_epoch(epoch.epoch + 2, Direction::Back, Phase::Finished, 0))
    }

    /// The marker says that the image is between. Without it, it is one of the two, and the last epoch record tells which: the
    /// marker is written after an epoch was started, and replaced after it has passed.
    fn place(&self, status: &Status) -> Result<InPlaceState, ImageError> {
        match journal_of(self.disk)? {
            Some(uuid) if uuid == self.journal.uuid => return Ok(InPlaceState::Between),
            Some(_) => {
                let (image, journal) = (self.disk.name(), self.journal_name.clone());
                return Err(ImageError::JournalOfAnotherImage { image, journal });
            }
            None => {}
        }
        Ok(match (status.direction, status.phase) {
            (Direction::Forward, Phase::Prepared | Phase::Started)
            | (Direction::Back, Phase::Passed | Phase::Finished) => InPlaceState::Old,
            (Direction::Forward, Phase::Passed | Phase::Finished)
            | (Direction::Back, Phase::Prepared | Phase::Started) => InPlaceState::New,
        })
    }

    fn way(&self, direction: Direction) -> Way<'_> {
        let (before, after) = match direction {
            Direction::Forward => (&self.old, &self.new),
            Direction::Back => (&self.new, &self.old),
        };
        let layout = &*self.rewrite.layout;
        Way { disk: self.disk, layout, direction, before, after, reserved: self.reserved(), key: &self.journal.key }
    }

    /// Settles what an interrupted epoch left, and begins one in the direction of `way`.
    ///
    /// All that is settled is durable before the new epoch makes the old one's records void.
    fn begin(&self, way: &Way<'_>, status: &Status) -> Result<Started, ImageError> {
        if status.durable > self.rewrite.layout.end() {
            let what = "it says more than there is to do".to_owned();
            return Err(ImageError::JournalDamaged { journal: self.journal_name.clone(), what });
        }
        if self.journal.sizes.tagged && !status.in_flight.is_empty() {
            let interrupted = self.way(status.direction);
            let mut worker = interrupted.worker();
            for record in &status.in_flight {
                interrupted.settle(&mut worker, record)?;
            }
            self.disk.flush()?;
        }
        let started = Started { epoch: status.epoch + 1, from: status.durable };
        self.records.write(&Record::of_epoch(started.epoch, way.direction, Phase::Started, started.from))?;
        Ok(started)
    }

    /// Puts the marker in the first sector, durably, and zeros into the rest of what is reserved: a file system's superblock there
    /// would have the image taken for a disk.
    fn mark(&self) -> Result<(), ImageError> {
        self.disk.write(0, &marker::sector(self.journal.uuid))?;
        self.disk.flush()?;
        let rest = usize::try_from(self.reserved() - SECTOR_BYTES).expect("at most 64 KiB");
        self.disk.write(SECTOR_BYTES, &vec![0; rest])?;
        self.disk.flush()
    }

    fn pass(
        &self,
        way: &Way<'_>,
        started: Started,
        tuning: &Tuning,
        progress: &dyn Progress,
    ) -> Result<(), ImageError> {
        let (records, sizes) = (&self.records, self.journal.sizes);
        Pass { way, records, sizes, epoch: started.epoch, tuning, progress }.run(started.from)
    }

    /// Writes a front, its first sector last: with that the image is the new one, or the old one again.
    fn commit(&self, front: &[u8]) -> Result<(), ImageError> {
        // The file may end inside the front's last sector.
        let len = usize::try_from(self.disk.size()?).unwrap_or(usize::MAX).min(front.len());
        let (first, rest) = front[..len].split_at(marker::BYTES.min(len));
        self.disk.write(SECTOR_BYTES, rest)?;
        self.disk.flush()?;
        self.disk.write(0, first)?;
        self.disk.flush()
    }

    /// The image is the new one. What is left of the old one is cleaned; that must be, or plain bytes could stay.
    fn finish_new(&self, status: &Status) -> Result<(), ImageError> {
        if status.phase == Phase::Finished {
            return Ok(());
        }
        if self.has_front(&self.new.front)? {
            self.commit(&self.new.front)?;
            self.rewrite.layout.clean_new()?;
        } else {
            self.rewrite.layout.clean_used()?;
        }
        self.disk.flush()?;
        let end = self.rewrite.layout.end();
        self.records.write(&Record::of_epoch(status.epoch + 1, Direction::Forward, Phase::Finished, end))
    }

    /// The image is the old one. What was staged is taken away, if nobody has used the image since. If somebody has, that is told
    /// once, and the rewrite has ended all the same: at worst there is room that is lost.
    fn finish_old(&self, status: &Status) -> Result<(), ImageError> {
        if matches!(status.phase, Phase::Prepared | Phase::Finished) {
            return Ok(());
        }
        let is_unused = self.is_old_unused(status)?;
        if is_unused {
            self.rewrite.layout.clean_old()?;
            self.commit(&self.old.front)?;
            self.restore_len()?;
        }
        self.records.write(&Record::of_epoch(status.epoch + 1, Direction::Back, Phase::Finished, 0))?;
        self.expect(is_unused)
    }

    fn grow_to_old(&self) -> Result<(), ImageError> {
        let old_len = self.journal.plan.old_len;
        if self.disk.size()? < old_len {
            self.disk.resize(old_len)?;
        }
        self.disk.flush()
    }

    fn restore_len(&self) -> Result<(), ImageError> {
        let old_len = self.journal.plan.old_len;
        if self.disk.size()? != old_len {
            self.disk.resize(old_len)?;
        }
        self.disk.flush()
    }

    /// Whether the old image was not written to, grown or cut since the journal was made, as far as a rewrite would lose it.
    fn is_old_unused(&self, status: &Status) -> Result<bool, ImageError> {
        let (len, old_len, layout) = (self.disk.size()?, self.journal.plan.old_len, &self.rewrite.layout);
        let is_ours = match status.phase {
            _ if len == old_len => true,
            Phase::Prepared | Phase::Finished => false,
            Phase::Started => layout.staged_len().contains(&len),
            // Going back, the length comes last.
            Phase::Passed => len == old_len.max(SECTOR_BYTES),
        };
        Ok(is_ours && self.has_front(&self.old.front)? && layout.is_unused(Direction::Forward)?)
    }

    fn expect(&self, is_unused: bool) -> Result<(), ImageError> {
        if is_unused { Ok(()) } else { Err(ImageError::ChangedSince { image: self.disk.name() }) }
    }

    /// Whether the file begins with a front; where it ends before that, the front's rest is zeros.
    fn has_front(&self, front: &[u8]) -> Result<bool, ImageError> {
        let len = usize::try_from(self.disk.size()?).unwrap_or(usize::MAX).min(front.len());
        Ok(self.disk.read_vec(0, len)? == front[..len] && front[len..].iter().all(|byte| *byte == 0))
    }

    /// So many bytes at the image's start are not used while it is between: part of both fronts.
    fn reserved(&self) -> u64 {
        const MOST: usize = 64 << 10;
        let len = self.old.front.len().min(self.new.front.len()).min(MOST);
        u64::try_from(len).expect("bounded")
    }
}

/// An epoch that was begun.
#[derive(Clone, Copy)]
struct Started {
    epoch: u64,
    from: u64,
}

const SECTOR_BYTES: u64 = cadenas_luks::SECTOR_BYTES;

/// What is moved goes in zones of at most the window's part of the shift: `machine` says why.
fn zone_sizes(sizes: Sizes, shift: u64) -> records::Sizes {
    const BLOCK: u64 = 4096;
    let most = match shift / u64::from(sizes.window) {
        _ if shift == 0 => u64::MAX,
        most if most >= BLOCK => most / BLOCK * BLOCK,
        most => most / SECTOR_BYTES * SECTOR_BYTES,
    };
    records::Sizes { tagged: shift == 0, window: sizes.window, zone: sizes.zone.min(most) }
}
