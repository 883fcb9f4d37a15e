//! What happens to the bytes of one zone: read in one form, rewritten, written in the other.

use std::{ops::Range, sync::Arc};

use cadenas_luks::{SectorCipher, VolumeKey};
use cadenas_secret::{aead, aead::Tagger};

use super::{
    journal::JournalKey,
    layout::{Layout, Run},
    records::{Direction, Record, SECTOR},
};
use crate::{ImageError, Storage, storage::aligned::AlignedBuf, target::RAW_HOLE_BYTES};

/// The old image or the new one.
pub(super) struct Side {
    /// What enciphers it; `None` if it is plain.
    pub(super) key: Option<Arc<VolumeKey>>,
    /// Its first bytes, as the journal keeps them.
    pub(super) front: Vec<u8>,
    /// Whether zeros in it become holes.
    pub(super) with_holes: bool,
}

/// A rewrite in one direction.
pub(super) struct Way<'a> {
    pub(super) disk: &'a dyn Storage,
    pub(super) layout: &'a dyn Layout,
    pub(super) direction: Direction,
    /// What the data is now.
    pub(super) before: &'a Side,
    /// What it becomes.
    pub(super) after: &'a Side,
    /// So many bytes at the file's start belong to the marker: what a run says of them is read from the journal's front, and not
    /// written, since the front is written in the end.
    pub(super) reserved: u64,
    pub(super) key: &'a JournalKey,
}

/// The buffer and the ciphers of one thread.
pub(super) struct Worker {
    before: Option<SectorCipher>,
    after: Option<SectorCipher>,
    data: AlignedBuf,
}

/// A run in a zone's buffer.
struct Piece {
    at: Range<usize>,
    before: Place,
    after: Place,
}

/// Where bytes are in the file, and the sector number that enciphers them there.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    sector: u64,
}

/// A zone whose data is in a worker's buffer.
pub(super) struct Loaded(Vec<Piece>);

impl Way<'_> {
    pub(super) fn worker(&self) -> Worker {
        let cipher = |side: &Side| side.key.as_deref().map(SectorCipher::new);
        Worker { before: cipher(self.before), after: cipher(self.after), data: AlignedBuf::zeroed(0) }
    }

    /// Bytes of data between two positions; `zone` bounds how much is looked at in one go.
    pub(super) fn bytes_in(&self, positions: Range<u64>, zone: u64) -> u64 {
        let (mut at, mut sum) = (positions.start, 0);
        while at < positions.end {
            let to = self.layout.zone_from(at, zone).min(positions.end);
            sum += self.layout.runs(at..to).iter().map(|run| run.len).sum::<u64>();
            at = to;
        }
        sum
    }

    /// Whether the front that will be written from the journal is still what the image holds: what a guest wrote there since
    /// would be lost.
    pub(super) fn holds_front(&self) -> Result<bool, ImageError> {
        let Some(run) = self.layout.front_data(self.direction) else { return Ok(true) };
        let piece = self.piece(run, 0);
        let mut worker = self.worker();
        worker.data.resize(piece.at.end);
        self.disk.read(piece.before.at, &mut worker.data)?;
        Self::transform(&mut worker, &Loaded(vec![piece]));
        Ok(worker.data[..] == self.after.front)
    }

    /// Reads a zone as it is before.
    pub(super) fn load(&self, worker: &mut Worker, positions: Range<u64>) -> Result<Loaded, ImageError> {
        let pieces = self.pieces(positions);
        worker.data.resize(pieces.last().map_or(0, |piece| piece.at.end));
        for piece in &pieces {
            self.read(piece.before.at, &mut worker.data[piece.at.clone()])?;
        }
        Ok(Loaded(pieces))
    }

    /// Tags of the sectors as they were loaded, under a key of this record alone.
    pub(super) fn tags(&self, worker: &Worker, salt: &[u8; 32]) -> Vec<u8> {
        let tagger = self.tagger(salt);
        let sectors = worker.data.chunks_exact(SECTOR).zip(0..);
        sectors.flat_map(|(sector, number)| tagger.tag(nonce(number), sector)).collect()
    }

    /// Turns what was loaded into its other form.
    pub(super) fn transform(worker: &mut Worker, loaded: &Loaded) {
        let Worker { before, after, data } = worker;
        for piece in &loaded.0 {
            let data = &mut data[piece.at.clone()];
            recode(data, before.as_mut(), piece.before.sector, after.as_mut(), piece.after.sector);
        }
    }

    /// Writes what was transformed; not flushed.
    pub(super) fn store(&self, worker: &Worker, loaded: &Loaded) -> Result<(), ImageError> {
        for piece in &loaded.0 {
            let data = &worker.data[piece.at.clone()];
            let skipped = in_memory(self.reserved.saturating_sub(piece.after.at)).min(data.len());
            let at = piece.after.at + to_u64(skipped);
            if self.after.with_holes {
                self.write_with_holes(at, &data[skipped..])?;
            } else {
                self.disk.write(at, &data[skipped..])?;
            }
        }
        Ok(())
    }

    /// Brings every sector of a zone that was in flight back to its form before; not flushed.
    ///
    /// The medium writes a sector whole or not at all, so each is in its form before, whose tag the record has, or in the one
    /// after, which turned back has that tag. What is neither was changed by somebody else, and nothing is written. Interrupted,
    /// this leaves sectors in one of the two forms again, and can be repeated.
    pub(super) fn settle(&self, worker: &mut Worker, record: &Record) -> Result<(), ImageError> {
        let loaded = self.load_in_place(worker, record.positions.clone())?;
        let (tags, rest) = record.tags.as_chunks::<{ aead::TAG_BYTES }>();
        if !rest.is_empty() || tags.len() * SECTOR != worker.data.len() {
            return Err(self.damaged(record.positions.start, "has another length than its record says"));
        }
        let tagger = self.tagger(&record.salt);
        for piece in &loaded.0 {
            for at in piece.at.clone().step_by(SECTOR) {
                let sector = worker.data[at..at + SECTOR].try_into().expect("a sector");
                let tag = |sector: &[u8; SECTOR]| tagger.tag(nonce(to_u64(at / SECTOR)), sector) == tags[at / SECTOR];
                if tag(&sector) {
                    continue;
                }
                let number = to_u64((at - piece.at.start) / SECTOR);
                let turned = worker.turn_back(sector, piece.before.sector + number, piece.after.sector + number);
                if !tag(&turned) {
                    let offset = piece.after.at + number * to_u64(SECTOR);
                    return Err(
                        self.damaged(offset, "was being rewritten and is neither what it was nor what it becomes")
                    );
                }
                worker.data[at..at + SECTOR].copy_from_slice(&turned);
            }
        }
        // All of it, whatever was read: what a failed flush lost is read back like what is durable.
        loaded.0.iter().try_for_each(|piece| self.disk.write(piece.before.at, &worker.data[piece.at.clone()]))
    }

    fn load_in_place(&self, worker: &mut Worker, positions: Range<u64>) -> Result<Loaded, ImageError> {
        if positions.start > positions.end || positions.end > self.layout.end() {
            return Err(self.damaged(positions.start, "is beyond the end that its journal says"));
        }
        self.load(worker, positions)
    }

    fn pieces(&self, positions: Range<u64>) -> Vec<Piece> {
        let mut end = 0;
        let runs = self.layout.runs(positions).into_iter();
        runs.map(|run| {
            let piece = self.piece(run, end);
            end = piece.at.end;
            piece
        })
        .collect()
    }

    /// A run that begins at `start` in a buffer.
    fn piece(&self, run: Run, start: usize) -> Piece {
        let old = Place { at: run.old_at, sector: run.old_sector };
        let new = Place { at: run.new_at, sector: run.new_sector };
        let (before, after) = match self.direction {
            Direction::Forward => (old, new),
            Direction::Back => (new, old),
        };
        Piece { at: start..start + in_memory(run.len), before, after }
    }

    fn read(&self, at: u64, data: &mut [u8]) -> Result<(), ImageError> {
        let kept = in_memory(self.reserved.saturating_sub(at)).min(data.len());
        let (kept, rest) = data.split_at_mut(kept);
        if !kept.is_empty() {
            kept.copy_from_slice(&self.before.front[in_memory(at)..][..kept.len()]);
        }
        self.disk.read(at + to_u64(kept.len()), rest)
    }

    /// Zeros that fill units of [`RAW_HOLE_BYTES`] in the file become holes.
    fn write_with_holes(&self, at: u64, data: &[u8]) -> Result<(), ImageError> {
        let unit = in_memory(RAW_HOLE_BYTES);
        // Up to the first unit's start, and then unit by unit.
        let mut end = in_memory(at.next_multiple_of(RAW_HOLE_BYTES) - at).min(data.len());
        let mut pending = 0..end;
        while end < data.len() {
            let next = (end + unit).min(data.len());
            if next - end == unit && is_zero(&data[end..next]) {
                self.write_pending(at, data, &pending)?;
                self.disk.discard_range(at + to_u64(end)..at + to_u64(next))?;
                pending = next..next;
            } else {
                pending.end = next;
            }
            end = next;
        }
        self.write_pending(at, data, &pending)
    }

    fn write_pending(&self, at: u64, data: &[u8], pending: &Range<usize>) -> Result<(), ImageError> {
        if pending.is_empty() {
            return Ok(());
        }
        self.disk.write(at + to_u64(pending.start), &data[pending.clone()])
    }

    fn tagger(&self, salt: &[u8; 32]) -> Tagger {
        Tagger::new(&self.key.derive_salted("tags", salt))
    }

    fn damaged(&self, offset: u64, what: &str) -> ImageError {
        ImageError::Damaged { image: self.disk.name(), what: format!("what lies at offset {offset} {what}") }
    }
}

impl Worker {
    fn turn_back(&mut self, mut sector: [u8; SECTOR], before: u64, after: u64) -> [u8; SECTOR] {
        recode(&mut sector, self.after.as_mut(), after, self.before.as_mut(), before);
        sector
    }
}

impl Loaded {
    pub(super) fn bytes(&self) -> u64 {
        self.0.last().map_or(0, |piece| to_u64(piece.at.end))
    }
}

fn recode(
    data: &mut [u8],
    from: Option<&mut SectorCipher>,
    from_sector: u64,
    to: Option<&mut SectorCipher>,
    to_sector: u64,
) {
    if let Some(cipher) = from {
        cipher.decrypt(from_sector, data);
    }
    if let Some(cipher) = to {
        cipher.encrypt(to_sector, data);
    }
}

/// The number of a sector in its zone: each serves once under a record's key.
fn nonce(number: u64) -> [u8; aead::NONCE_BYTES] {
    let mut nonce = [0; aead::NONCE_BYTES];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

fn in_memory(len: u64) -> usize {
    usize::try_from(len).expect("64 bits")
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
