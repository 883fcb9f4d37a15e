//! The journal's progress area: how far a rewrite is, and what protects the zones that are being written.
//!
//! An *epoch* is one pass in one direction; its record says from which position it goes. Each zone of it has a *zone record* that
//! is durable before the zone's new form is written. Records lie in slots that are overwritten in turn; one that a power cut
//! tore fails its MAC and counts as not there. Every record stands in its slot twice, so that one rotten block loses none.

use std::ops::Range;

use cadenas_secret::{SecretBytes, aead, hmac, random};
use uuid::Uuid;

use super::{
    flusher::Flusher,
    journal::{BLOCK, JournalKey},
    wire::{Reader, Writer},
};
use crate::{ImageError, Storage, storage::aligned::AlignedBuf};

/// Each sector has a tag.
pub(super) const SECTOR: usize = 512;

const MAGIC: [u8; 8] = *b"CDNSrecd";
const MAC_BYTES: usize = 32;
/// A record without its tags.
const FIXED_BYTES: usize = 8 + 16 + 3 + 5 * 8 + 32 + 4 + MAC_BYTES;
/// Each record stands in its slot so often.
const COPIES: usize = 2;
/// Two, so that the last epoch's record is whole while the next one is written.
const EPOCH_SLOTS: u64 = 2;

/// How much of a rewrite is under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Whether zones are rewritten where they lie, so that their records carry tags.
    pub(super) tagged: bool,
    /// The most zones at once.
    pub(super) window: u32,
    /// The most bytes of data in a zone.
    pub(super) zone: u64,
}

impl Sizes {
    /// `None` if no journal of ours says this: a bound on memory.
    pub(super) fn checked(self) -> Option<Self> {
        let possible = (1..=64).contains(&self.window)
            && (512..=64 << 20).contains(&self.zone)
            && self.zone.is_multiple_of(512)
            && u64::from(self.window) * self.zone <= 128 << 20;
        possible.then_some(self)
    }

    fn copy_len(self) -> usize {
        let sectors = usize::try_from(self.zone).expect("bounded") / SECTOR;
        let tags = if self.tagged { sectors * aead::TAG_BYTES } else { 0 };
        (FIXED_BYTES + tags).next_multiple_of(BLOCK)
    }

    fn zone_slots(self) -> u64 {
        2 * u64::from(self.window)
    }

    /// Length of the progress area in bytes.
    pub(super) fn area_len(self) -> u64 {
        EPOCH_SLOTS * to_u64(COPIES * BLOCK) + self.zone_slots() * to_u64(COPIES * self.copy_len())
    }
}

/// Which way an epoch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the new image, positions ascending.
    Forward,
    /// To the old image, positions descending.
    Back,
}

/// How far an epoch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The journal was made; nothing else was done.
    Prepared,
    /// Zones are being rewritten.
    Started,
    /// All of them are, and the front may be.
    Passed,
    /// Everything is done.
    Finished,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Each epoch has a number higher than the one before.
    pub(super) epoch: u64,
    /// The zone's number in its epoch; `None` for the epoch's own record.
    pub(super) zone: Option<u64>,
    pub(super) direction: Direction,
    pub(super) phase: Phase,
    /// Up to here (going back: down to here) everything is done, durably.
    pub(super) durable: u64,
    /// The zone's positions.
    pub(super) positions: Range<u64>,
    /// Derives the key of the tags.
    pub(super) salt: [u8; 32],
    /// Of each sector of the zone before it is rewritten, one after the other; empty for a shifted layout.
    pub(super) tags: Vec<u8>,
}

/// Where a rewrite stands, as the journal says.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) epoch: u64,
    pub(super) direction: Direction,
    pub(super) phase: Phase,
    /// Everything before is in its new form, everything from here on in its old one, but for the zones in flight.
    pub(super) durable: u64,
    /// Zones behind that position of which parts may be rewritten.
    pub(super) in_flight: Vec<Record>,
}

/// The progress area of a journal.
pub(super) struct Records<'a> {
    storage: &'a dyn Storage,
    uuid: Uuid,
    mac_key: SecretBytes,
    sizes: Sizes,
    at: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(storage: &'a dyn Storage, uuid: Uuid, key: &JournalKey, sizes: Sizes, at: u64) -> Self {
        Self { storage, uuid, mac_key: key.derive("records"), sizes, at }
    }

    /// Fills the area with zeros, so that later writes need nothing from the file system, and says that nothing was done.
    /// Durable on return, as is all that was written to the journal before.
    pub(super) fn create(&self) -> Result<(), ImageError> {
        let end = self.at + self.sizes.area_len();
        let zeros = AlignedBuf::zeroed(1 << 20);
        let mut at = self.at;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
            self.storage.write(at, &zeros[..len])?;
            at += to_u64(len);
        }
        self.write(&Record::of_epoch(0, Direction::Forward, Phase::Prepared, 0))
    }

    /// Writes a record into its slot; durable on return.
    pub(super) fn write(&self, record: &Record) -> Result<(), ImageError> {
        self.put(record)?;
        self.storage.flush()
    }

    /// Flushes records for the threads of a pass.
    pub(super) fn flusher(&self) -> Flusher<'a> {
        Flusher::new(self.storage)
    }

    /// Writes a record into its slot; not flushed.
    pub(super) fn put(&self, record: &Record) -> Result<(), ImageError> {
        let (at, copy_len) = match record.zone {
            None => (self.at + record.epoch % EPOCH_SLOTS * to_u64(COPIES * BLOCK), BLOCK),
            Some(zone) => (self.zone_slot(zone % self.sizes.zone_slots()), self.sizes.copy_len()),
        };
        let bytes = self.encode(record);
        let mut slot = AlignedBuf::zeroed(COPIES * copy_len);
        for copy in slot.chunks_exact_mut(copy_len) {
            copy[..bytes.len()].copy_from_slice(&bytes);
        }
        self.storage.write(at, &slot)
    }

    /// What the whole records say.
    pub(super) fn status(&self) -> Result<Status, ImageError> {
        let (mut epochs, mut zones) = (Vec::new(), Vec::new());
        for slot in 0..EPOCH_SLOTS {
            self.read_slot(self.at + slot * to_u64(COPIES * BLOCK), BLOCK, &mut epochs)?;
        }
        for slot in 0..self.sizes.zone_slots() {
            self.read_slot(self.zone_slot(slot), self.sizes.copy_len(), &mut zones)?;
        }
        epochs.retain(|record| record.zone.is_none());
        zones.retain(|record| record.zone.is_some());
        let last = epochs.into_iter().max_by_key(|record| record.epoch);
        let last = last.ok_or_else(|| self.damaged("none of its epoch records is whole"))?;
        if zones.iter().any(|zone| zone.epoch > last.epoch) {
            return Err(self.damaged("the record of its last epoch is not whole"));
        }
        zones.retain(|zone| zone.epoch == last.epoch && zone.direction == last.direction);
        Ok(Status::new(&last, zones))
    }

    fn zone_slot(&self, slot: u64) -> u64 {
        self.at + EPOCH_SLOTS * to_u64(COPIES * BLOCK) + slot * to_u64(COPIES * self.sizes.copy_len())
    }

    fn read_slot(&self, at: u64, copy_len: usize, records: &mut Vec<Record>) -> Result<(), ImageError> {
        let mut slot = AlignedBuf::zeroed(COPIES * copy_len);
        self.storage.read(at, &mut slot)?;
        for record in slot.chunks_exact(copy_len).filter_map(|copy| self.decode(copy)) {
            if !records.contains(&record) {
                records.push(record);
            }
        }
        Ok(())
    }

    fn encode(&self, record: &Record) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(&MAGIC);
        writer.array(self.uuid.as_bytes());
        writer.u8(u8::from(record.zone.is_some()));
        writer.u8(record.direction.number());
        writer.u8(record.phase.number());
        writer.u64(record.epoch);
        writer.u64(record.zone.unwrap_or_default());
        writer.u64(record.durable);
        writer.u64(record.positions.start);
        writer.u64(record.positions.end);
        writer.array(&record.salt);
        writer.bytes(&record.tags);
        let mac = hmac::sha256(&self.mac_key, &[&writer.0]);
        writer.array(mac.expose());
        writer.0
    }

    /// The record in a copy of a slot, if it is whole and this journal's own.
    fn decode(&self, copy: &[u8]) -> Option<Record> {
        let mut reader = Reader(copy);
        if reader.array() != Some(MAGIC) || reader.array() != Some(*self.uuid.as_bytes()) {
            return None;
        }
        let is_zone = reader.u8()? == 1;
        let (direction, phase) = (Direction::from_number(reader.u8()?)?, Phase::from_number(reader.u8()?)?);
        let (epoch, zone) = (reader.u64()?, reader.u64()?);
        let (durable, positions) = (reader.u64()?, reader.u64()?..reader.u64()?);
        let (salt, tags) = (reader.array()?, reader.bytes()?);
        let signed = copy.len() - reader.0.len();
        let mac: [u8; MAC_BYTES] = reader.array()?;
        let whole = hmac::sha256(&self.mac_key, &[&copy[..signed]]).equals(&mac);
        let zone = is_zone.then_some(zone);
        whole.then(|| Record { epoch, zone, direction, phase, durable, positions, salt, tags: tags.to_vec() })
    }

    fn damaged(&self, what: &str) -> ImageError {
        ImageError::JournalDamaged { journal: self.storage.name(), what: what.to_owned() }
    }
}

impl Record {
    /// The record that begins an epoch, or says that it has come further.
    pub(super) fn of_epoch(epoch: u64, direction: Direction, phase: Phase, durable: u64) -> Self {
        let positions = durable..durable;
        Self { epoch, zone: None, direction, phase, durable, positions, salt: [0; 32], tags: Vec::new() }
    }

    /// The record of a zone, its tags yet to come.
    pub(super) fn of_zone(epoch: u64, zone: u64, direction: Direction, durable: u64, positions: Range<u64>) -> Self {
        let (phase, salt) = (Phase::Started, random::array());
        Self { epoch, zone: Some(zone), direction, phase, durable, positions, salt, tags: Vec::new() }
    }
}

impl Status {
    /// Zone records carry how far the epoch was when they were written: the furthest of them all is true.
    fn new(epoch: &Record, zones: Vec<Record>) -> Self {
        let said = zones.iter().map(|zone| zone.durable).chain([epoch.durable]);
        let (direction, phase) = (epoch.direction, epoch.phase);
        let durable = match direction {
            Direction::Forward => said.max(),
            Direction::Back => said.min(),
        }
        .expect("the epoch's own record says one");
        let in_flight = zones.into_iter().filter(|zone| match direction {
            Direction::Forward => zone.positions.start >= durable,
            Direction::Back => zone.positions.end <= durable,
        });
        Self { epoch: epoch.epoch, direction, phase, durable, in_flight: in_flight.collect() }
    }
}

impl Direction {
    fn number(self) -> u8 {
        match self {
            Self::Forward => 1,
            Self::Back => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Forward, Self::Back].into_iter().find(|direction| direction.number() == number)
    }
}

impl Phase {
    fn number(self) -> u8 {
        match self {
            Self::Prepared => 0,
            Self::Started => 1,
            Self::Passed => 2,
            Self::Finished => 3,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Prepared, Self::Started, Self::Passed, Self::Finished].get(usize::from(number)).copied()
    }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
