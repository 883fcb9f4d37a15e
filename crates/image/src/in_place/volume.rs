//! LUKS volumes as bytes: the header and its key material, from offset 0 on.

use std::sync::Arc;

use cadenas_luks::{FormatOptions, Header, Layout, MIN_ROUNDS, VolumeKey};
use cadenas_secret::SecretBytes;

use crate::{ImageError, NewKey, Storage};

/// The volume keys before and after; `None` where the disk is plain.
#[derive(Debug, Clone, Default)]
pub(crate) struct VolumeKeys {
    pub(crate) old: Option<Arc<VolumeKey>>,
    pub(crate) new: Option<Arc<VolumeKey>>,
}

/// A fresh volume with one key slot: its key, and its header and key material.
pub(crate) fn fresh(new: &NewKey<'_>, layout: Layout) -> (Arc<VolumeKey>, Vec<u8>) {
    let key = VolumeKey::generate();
    // As cryptsetup: the digest costs an eighth of a slot.
    let digest_rounds = MIN_ROUNDS.max(new.rounds.get().div_euclid(8).try_into().unwrap_or(MIN_ROUNDS));
    let mut header = Header::format(FormatOptions { uuid: new.uuid, layout, digest_rounds }, &key);
    let slot = header.free_slot().expect("a new header has only free slots");
    let material = header.add_key(slot, &key, new.passphrase, new.rounds);
    let mut area = vec![0; in_memory(header.area_len())];
    let start = in_memory(header.slot_area(slot).start);
    area[start..start + material.len()].copy_from_slice(&material);
    area[..Header::BYTES].copy_from_slice(&header.to_bytes());
    (Arc::new(key), area)
}

/// The header at the front of an area. `name` is what errors call where it comes from.
pub(crate) fn header(area: &[u8], name: &dyn Storage) -> Result<Header, ImageError> {
    Header::parse(area).map_err(|source| ImageError::LuksHeader { image: name.name(), source })
}

/// The volume key, if a slot of the area opens with the passphrase.
pub(crate) fn unlock(
    area: &[u8],
    passphrase: &SecretBytes,
    name: &dyn Storage,
) -> Result<Option<VolumeKey>, ImageError> {
    let header = header(area, name)?;
    for slot in header.active_slots() {
        let place = header.slot_area(slot);
        let Some(material) = area.get(in_memory(place.start)..in_memory(place.end)) else { continue };
        let opened = header.unlock_slot(slot, material, passphrase);
        if let Some(key) = opened.map_err(|source| ImageError::KeySlot { image: name.name(), source })? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("an area of key slots is at most 16 MiB")
}
