//! Key slots of an encrypted image, raw LUKS1 or qcow2, changed in place.
//!
//! Each operation orders its writes so that a power cut between any two of them leaves every other slot as it was: key material is
//! durable before a header points to it, and destroyed before a header forgets it. QEMU reads a header only when it opens an
//! image, so that slots can be changed while a VM runs; nothing else may write to them at the same time.

use std::num::NonZeroU32;

use cadenas_luks::{Header, SlotIndex, SlotState};
use cadenas_secret::{SecretBytes, random};

use crate::{
    Format, ImageError, Storage,
    format::{luks::LuksArea, qcow2::image::read_header},
};

/// Whether an operation found its result in place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be done.
    AlreadySo,
    /// It was done.
    Changed,
}

/// Puts `new` into a free slot, with `rounds` of PBKDF2; `existing` must open the image.
pub fn add_key(
    storage: &dyn Storage,
    existing: &SecretBytes,
    new: &SecretBytes,
    rounds: NonZeroU32,
) -> Result<SlotIndex, ImageError> {
    let mut area = open(storage)?;
    let (_, key) = area.unlock(existing)?;
    let mut header = area.header().clone();
    let slot = header.free_slot().ok_or_else(|| ImageError::NoFreeSlot { image: storage.name() })?;
    let material = header.add_key(slot, &key, new, rounds);
    area.write_material(slot, &material)?;
    area.replace_header(header)?;
    Ok(slot)
}

/// Which slot `passphrase` opens. Nothing but the header and the slot is read.
pub fn opened_by(storage: &dyn Storage, passphrase: &SecretBytes) -> Result<SlotIndex, ImageError> {
    Ok(open(storage)?.unlock(passphrase)?.0)
}

/// Destroys a slot: random bytes over its key material, then out of the header. The last slot in use is refused, without it the
/// data would be lost. Works while QEMU has the image open.
pub fn erase(storage: &dyn Storage, slot: SlotIndex) -> Result<Outcome, ImageError> {
    let mut area = open(storage)?;
    if area.header().slot_state(slot) == SlotState::Disabled {
        return Ok(Outcome::AlreadySo);
    }
    if area.header().active_slots().eq([slot]) {
        return Err(ImageError::LastSlot { image: storage.name(), slot: slot.number() });
    }
    destroy(&mut area, slot)?;
    Ok(Outcome::Changed)
}

/// Destroys all slots but the first that `keep` opens; returns those that it destroyed. If `keep` opens none, nothing is changed.
pub fn erase_all_but(storage: &dyn Storage, keep: &SecretBytes) -> Result<Vec<SlotIndex>, ImageError> {
    let mut area = open(storage)?;
    let (kept, _) = area.unlock(keep)?;
    let others: Vec<SlotIndex> = area.header().active_slots().filter(|slot| *slot != kept).collect();
    for slot in &others {
        destroy(&mut area, *slot)?;
    }
    Ok(others)
}

/// The slot that `passphrase` opens, if any does.
pub fn find(storage: &dyn Storage, passphrase: &SecretBytes) -> Result<Option<SlotIndex>, ImageError> {
    match open(storage)?.unlock(passphrase) {
        Ok((slot, _)) => Ok(Some(slot)),
        Err(ImageError::WrongPassphrase { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn destroy(area: &mut LuksArea<'_>, slot: SlotIndex) -> Result<(), ImageError> {
    let place = area.header().slot_area(slot);
    let mut noise = vec![0; usize::try_from(place.end - place.start).expect("key material is bounded by the format")];
    random::fill(&mut noise);
    area.write_material(slot, &noise)?;
    let mut header: Header = area.header().clone();
    header.disable(slot);
    area.replace_header(header)
}

fn open(storage: &dyn Storage) -> Result<LuksArea<'_>, ImageError> {
    let place = match Format::probe(storage)? {
        Format::Luks => Some(0..storage.size()?),
        // Only the header: a running VM may be changing the tables.
        Format::Qcow2 => read_header(storage)?.luks_area,
        Format::Raw => None,
    };
    LuksArea::read(storage, place.ok_or_else(|| ImageError::NotEncrypted { image: storage.name() })?)
}
