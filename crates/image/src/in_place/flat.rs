//! Raw disks and raw LUKS volumes: between the two everything moves by the payload offset, and a volume that gets another key
//! stays where it is.

use std::ops::RangeInclusive;

use cadenas_luks::{SECTOR_BYTES, SectorCipher, VolumeKey};
use cadenas_secret::SecretBytes;

use super::{
    ExtraSpace, is_between,
    kinds::{Operation, Plan, Rewrite},
    layout::{Fronts, Layout, Run},
    records::Direction,
    volume::{self, VolumeKeys},
};
use crate::{
    Format, ImageError, ImageInfo, NewKey, Progress, Storage, Tuning,
    format::luks::{LuksArea, describe},
    inspect::{flat as flat_info, luks_virtual_size, raw_virtual_size},
};

/// So much of a plain disk stands in its front. The superblocks of the usual file systems and partition tables are in it.
const PLAIN_FRONT_BYTES: u64 = 64 << 10;
/// So much at most of what lies before a volume's payload is kept; header and key slots are in it.
const LUKS_FRONT_BYTES: u64 = 2 << 20;
/// What the parts of a journal that do not grow with its zones take at most.
pub(super) const JOURNAL_BYTES: u64 = 4 * LUKS_FRONT_BYTES + (64 << 10);

/// Encrypts a raw disk into a volume whose payload begins at `payload`.
pub(super) fn plan_encrypt(
    disk: &dyn Storage,
    key: &NewKey<'_>,
    payload: u64,
) -> Result<(Plan, VolumeKeys), ImageError> {
    let old_len = disk.size()?;
    let size = raw_virtual_size(old_len);
    refuse_empty(disk, size)?;
    let (volume, area) = volume::fresh(key, raw_at(payload));
    let payload = volume::header(&area, disk)?.payload_offset();
    let new_len = size.checked_add(payload).filter(|len| i64::try_from(*len).is_ok());
    let too_large = || ImageError::TooLarge { virtual_size: size, target: "a LUKS image".to_owned() };
    let fronts = Fronts {
        old: read_padded(disk, 0, size.min(PLAIN_FRONT_BYTES))?,
        new: padded(&area, payload.min(LUKS_FRONT_BYTES)),
    };
    let plan = Plan {
        operation: Operation::Encrypt,
        old_format: Format::Raw,
        new_format: Format::Luks,
        old_len,
        fronts,
        old_luks: Vec::new(),
        new_luks: area,
        extra: new_len.ok_or_else(too_large)?.to_be_bytes().to_vec(),
    };
    Ok((plan, VolumeKeys { old: None, new: Some(volume) }))
}

/// Decrypts a volume into a raw disk; `len` is the exact length of its file.
pub(super) fn plan_decrypt(
    disk: &dyn Storage,
    passphrase: &SecretBytes,
    len: Option<u64>,
) -> Result<(Plan, VolumeKeys), ImageError> {
    let old = Volume::open(disk, passphrase)?;
    let front_len = old.size.min(PLAIN_FRONT_BYTES);
    let new_len = old.plain_len(disk, len)?;
    let mut front = read_padded(disk, old.payload, front_len)?;
    SectorCipher::new(&old.key).decrypt(0, &mut front);
    let plan = Plan {
        operation: Operation::Decrypt,
        old_format: Format::Luks,
        new_format: Format::Raw,
        old_len: disk.size()?,
        fronts: Fronts { old: old.front(disk)?, new: front },
        old_luks: old.area,
        new_luks: Vec::new(),
        extra: new_len.to_be_bytes().to_vec(),
    };
    Ok((plan, VolumeKeys { old: Some(old.key.into()), new: None }))
}

/// Gives a volume another volume key; its payload stays where it is.
pub(super) fn plan_recrypt(
    disk: &dyn Storage,
    passphrase: &SecretBytes,
    key: &NewKey<'_>,
) -> Result<(Plan, VolumeKeys), ImageError> {
    let old = Volume::open(disk, passphrase)?;
    let (volume, area) = volume::fresh(key, raw_at(old.payload));
    let front = old.front(disk)?;
    let old_len = disk.size()?;
    let plan = Plan {
        operation: Operation::Recrypt,
        old_format: Format::Luks,
        new_format: Format::Luks,
        old_len,
        fronts: Fronts { new: padded(&area, u64::try_from(front.len()).expect("2 MiB")), old: front },
        old_luks: old.area,
        new_luks: area,
        extra: old_len.to_be_bytes().to_vec(),
    };
    Ok((plan, VolumeKeys { old: Some(old.key.into()), new: Some(volume) }))
}

/// The layout of any of these plans.
pub(super) fn layout<'a>(disk: &'a dyn Storage, plan: &Plan) -> Result<Rewrite<'a>, ImageError> {
    let area = if plan.new_luks.is_empty() { &plan.old_luks } else { &plan.new_luks };
    let header = volume::header(area, disk)?;
    let payload = header.payload_offset();
    let size = match plan.old_format {
        Format::Raw => Some(raw_virtual_size(plan.old_len)),
        _ => plan.old_len.checked_sub(payload),
    };
    let new_len = plan.extra.first_chunk().map(|len| u64::from_be_bytes(*len));
    let (Some(size), Some(new_len)) = (size, new_len) else {
        return Err(ImageError::Damaged { image: disk.name(), what: "it does not fit its journal".to_owned() });
    };
    let new_info = match plan.operation {
        Operation::Decrypt => flat_info(Format::Raw, size),
        _ => ImageInfo { encryption: Some(describe(&header)), ..flat_info(Format::Luks, size) },
    };
    let volume = if plan.operation == Operation::Decrypt { &plan.fronts.old } else { &plan.fronts.new };
    let kept = u64::try_from(volume.len()).expect("2 MiB");
    let layout = Flat { disk, operation: plan.operation, size, payload, old_len: plan.old_len, new_len, kept };
    Ok(Rewrite { layout: Box::new(layout), new_info })
}

pub(super) fn space_to_encrypt(disk: &dyn Storage, payload: u64) -> Result<ExtraSpace, ImageError> {
    let len = disk.size()?;
    refuse_empty(disk, len)?;
    let holes = holes(disk, 0, len)?;
    Ok(ExtraSpace { during: payload.saturating_add(holes), after: LUKS_FRONT_BYTES.saturating_add(holes) })
}

pub(super) fn space_to_decrypt(disk: &dyn Storage, passphrase: &SecretBytes) -> Result<ExtraSpace, ImageError> {
    let payload = Volume::open(disk, passphrase)?.payload;
    // The room before the payload is a hole if we made it, and the plain disk fills it.
    Ok(ExtraSpace { during: holes(disk, 0, payload)?, after: 0 })
}

pub(super) fn space_to_recrypt(disk: &dyn Storage, passphrase: &SecretBytes) -> Result<ExtraSpace, ImageError> {
    let volume = Volume::open(disk, passphrase)?;
    let holes = holes(disk, volume.payload, disk.size()?)?;
    Ok(ExtraSpace { during: holes, after: holes })
}

/// A volume that is there.
struct Volume {
    key: VolumeKey,
    area: Vec<u8>,
    payload: u64,
    /// Of the disk, in bytes.
    size: u64,
}

impl Volume {
    fn open(disk: &dyn Storage, passphrase: &SecretBytes) -> Result<Self, ImageError> {
        let luks = LuksArea::read(disk, 0..disk.size()?)?;
        let (area_len, payload) = (luks.header().area_len(), luks.header().payload_offset());
        if area_len > LUKS_FRONT_BYTES {
            let feature = "LUKS key slots beyond the first 2 MiB".to_owned();
            return Err(ImageError::Unsupported { image: disk.name(), feature });
        }
        let size = luks_virtual_size(disk, &luks)?;
        refuse_empty(disk, size)?;
        let (_, key) = luks.unlock(passphrase)?;
        let area = disk.read_vec(0, in_memory(area_len))?;
        Ok(Self { key, area, payload, size })
    }

    fn front(&self, disk: &dyn Storage) -> Result<Vec<u8>, ImageError> {
        disk.read_vec(0, in_memory(self.payload.min(LUKS_FRONT_BYTES) / SECTOR_BYTES * SECTOR_BYTES))
    }

    /// How long the plain file will be: as was asked for, unless the guest has written behind that end.
    fn plain_len(&self, disk: &dyn Storage, len: Option<u64>) -> Result<u64, ImageError> {
        let len = len.unwrap_or(self.size);
        if raw_virtual_size(len) != self.size {
            return Err(ImageError::LengthMismatch { virtual_size: self.size, len });
        }
        let last = self.size - SECTOR_BYTES;
        let mut sector = disk.read_vec(self.payload + last, in_memory(SECTOR_BYTES))?;
        SectorCipher::new(&self.key).decrypt(last / SECTOR_BYTES, &mut sector);
        let behind = &sector[in_memory(len - last)..];
        Ok(if behind.iter().all(|byte| *byte == 0) { len } else { self.size })
    }
}

/// The disk moves up behind the header, or down over it, or stays.
///
/// What moves up goes from the disk's end on, what moves down from its start on: so a write only ever reaches over places whose
/// bytes were already moved on.
struct Flat<'a> {
    disk: &'a dyn Storage,
    operation: Operation,
    /// Of the disk, in bytes.
    size: u64,
    payload: u64,
    /// Of the old file and of the new one, in bytes.
    old_len: u64,
    new_len: u64,
    /// So much of what lies before the payload the journal keeps, in bytes.
    kept: u64,
}

impl Flat<'_> {
    /// Where on the disk a zone ends that begins at `start`.
    fn end_after(&self, start: u64, most: u64) -> u64 {
        let unit = unit(most);
        ((start + most) / unit * unit).min(self.size)
    }
}

impl Layout for Flat<'_> {
    fn shift(&self) -> u64 {
        if self.operation == Operation::Recrypt { 0 } else { self.payload }
    }

    fn end(&self) -> u64 {
        self.size
    }

    fn total_bytes(&self) -> u64 {
        self.size
    }

    fn zone_from(&self, from: u64, most: u64) -> u64 {
        match self.operation {
            Operation::Encrypt => self.size - start_before(self.size - from, most),
            _ => self.end_after(from, most),
        }
    }

    fn zone_to(&self, to: u64, most: u64) -> u64 {
        match self.operation {
            Operation::Encrypt => self.size - self.end_after(self.size - to, most),
            _ => start_before(to, most),
        }
    }

    fn runs(&self, positions: std::ops::Range<u64>) -> Vec<Run> {
        let len = positions.end - positions.start;
        let guest = if self.operation == Operation::Encrypt { self.size - positions.end } else { positions.start };
        let (plain, sector) = (guest, guest / SECTOR_BYTES);
        let encrypted = self.payload + guest;
        let (old_at, new_at) = match self.operation {
            Operation::Encrypt => (plain, encrypted),
            Operation::Decrypt => (encrypted, plain),
            Operation::Recrypt => (encrypted, encrypted),
        };
        vec![Run { old_at, old_sector: sector, new_at, new_sector: sector, len }]
    }

    fn front_data(&self, direction: Direction) -> Option<Run> {
        let (old_at, new_at) = match (self.operation, direction) {
            (Operation::Decrypt, Direction::Forward) => (self.payload, 0),
            (Operation::Encrypt, Direction::Back) => (0, self.payload),
            _ => return None,
        };
        let len = self.size.min(PLAIN_FRONT_BYTES);
        Some(Run { old_at, old_sector: 0, new_at, new_sector: 0, len })
    }

    /// What a guest writes inside the disk is moved along. A raw disk that was made longer for us may have been used to its new end.
    fn is_unused(&self, direction: Direction) -> Result<bool, ImageError> {
        let len = self.disk.size()?;
        match (direction, self.operation) {
            (Direction::Forward, Operation::Encrypt) => is_zero_behind(self.disk, self.old_len),
            (Direction::Forward, _) => Ok(true),
            (Direction::Back, _) => Ok(len == self.new_len || len == self.new_len.max(SECTOR_BYTES)),
        }
    }

    fn staged_len(&self) -> RangeInclusive<u64> {
        let len = self.payload + self.size;
        len..=len
    }

    fn stage(&self, _tuning: &Tuning, _progress: &dyn Progress) -> Result<(), ImageError> {
        let needed = self.payload + self.size;
        if self.disk.size()? < needed {
            self.disk.resize(needed)?;
        }
        self.disk.flush()
    }

    fn ready_new(&self) -> Result<(), ImageError> {
        match self.operation {
            // Plain bytes of the disk still stand between header and payload.
            Operation::Encrypt => self.disk.discard_range(self.kept..self.payload)?,
            Operation::Decrypt => self.disk.resize(self.new_len.max(SECTOR_BYTES))?,
            Operation::Recrypt => {}
        }
        self.disk.flush()
    }

    fn clean_new(&self) -> Result<(), ImageError> {
        if self.new_len < SECTOR_BYTES {
            self.disk.resize(self.new_len)?;
        }
        self.disk.flush()
    }

    fn clean_old(&self) -> Result<(), ImageError> {
        // A decryption that did not come to its first zone has put nothing between key slots and payload.
        if self.operation == Operation::Decrypt && is_between(self.disk)? {
            self.disk.discard_range(self.kept..self.payload)?;
        }
        self.disk.flush()
    }
}

/// Where on the disk a zone begins that ends at `end`.
fn start_before(end: u64, most: u64) -> u64 {
    end.saturating_sub(most).next_multiple_of(unit(most))
}

/// Zones begin and end at multiples of this: holes are told in units of 64 KiB, direct I/O wants 4 KiB.
fn unit(most: u64) -> u64 {
    match most {
        0x2_0000.. => 0x1_0000,
        0x2000.. => 0x1000,
        _ => SECTOR_BYTES,
    }
}

/// Whether the file holds nothing but zeros from `at` on.
fn is_zero_behind(disk: &dyn Storage, mut at: u64) -> Result<bool, ImageError> {
    const AT_ONCE: u64 = 1 << 20;
    while let Some(data) = disk.data_after(at)?.filter(|data| data.start < data.end) {
        let bytes = disk.read_vec(data.start, in_memory((data.end - data.start).min(AT_ONCE)))?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at = data.end.min(data.start + AT_ONCE);
    }
    Ok(true)
}

fn raw_at(payload: u64) -> cadenas_luks::Layout {
    let payload_sector = u32::try_from(payload / SECTOR_BYTES).expect("a header's payload sector has 32 bits");
    cadenas_luks::Layout::RawAt { payload_sector }
}

pub(super) fn refuse_empty(disk: &dyn Storage, size: u64) -> Result<(), ImageError> {
    if size == 0 {
        let feature = "a disk of no bytes, which cannot be rewritten in place; make a copy".to_owned();
        return Err(ImageError::Unsupported { image: disk.name(), feature });
    }
    Ok(())
}

/// Bytes of a range that the medium does not store.
pub(super) fn holes(disk: &dyn Storage, from: u64, to: u64) -> Result<u64, ImageError> {
    let (mut at, mut stored) = (from, 0);
    while at < to
        && let Some(data) = disk.data_after(at)?.filter(|data| data.start < to && data.start < data.end)
    {
        stored += data.end.min(to) - data.start.max(at);
        at = data.end;
    }
    Ok(to.saturating_sub(from).saturating_sub(stored))
}

/// What the file lacks at its end are zeros.
fn read_padded(disk: &dyn Storage, from: u64, len: u64) -> Result<Vec<u8>, ImageError> {
    let there = disk.size()?.saturating_sub(from).min(len);
    let mut bytes = disk.read_vec(from, in_memory(there))?;
    bytes.resize(in_memory(len), 0);
    Ok(bytes)
}

fn padded(bytes: &[u8], len: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(in_memory(len), 0);
    bytes
}

fn in_memory(len: u64) -> usize {
    usize::try_from(len).expect("a front is at most 2 MiB")
}
