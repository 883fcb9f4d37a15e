//! A LUKS1 header somewhere in an image: at the start of a raw one, or where a qcow2 header extension says.

use std::ops::Range;

use cadenas_luks::{Header, SlotIndex, VolumeKey};
use cadenas_secret::SecretBytes;

use crate::{Encryption, ImageError, Storage};

/// A LUKS header and where it lies.
pub(crate) struct LuksArea<'a> {
    storage: &'a dyn Storage,
    /// Bytes of the image that header and key material may take.
    place: Range<u64>,
    header: Header,
}

impl<'a> LuksArea<'a> {
    /// Reads the header at the start of `place`; its key slots must lie inside.
    pub(crate) fn read(storage: &'a dyn Storage, place: Range<u64>) -> Result<Self, ImageError> {
        let refused = |source| ImageError::LuksHeader { image: storage.name(), source };
        let room = place.end.saturating_sub(place.start);
        let found = usize::try_from(room).unwrap_or(usize::MAX).min(Header::BYTES);
        let header = Header::parse(&storage.read_vec(place.start, found)?).map_err(refused)?;
        if header.area_len() > room {
            let what = format!("its LUKS key slots take {} bytes and there is room for {room}", header.area_len());
            return Err(ImageError::Damaged { image: storage.name(), what });
        }
        Ok(Self { storage, place, header })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// What everybody may know of it.
    pub(crate) fn describe(&self) -> Encryption {
        describe(&self.header)
    }

    /// The first slot that opens with `passphrase`, and the volume key in it.
    pub(crate) fn unlock(&self, passphrase: &SecretBytes) -> Result<(SlotIndex, VolumeKey), ImageError> {
        for slot in self.header.active_slots() {
            let area = self.header.slot_area(slot);
            let len = usize::try_from(area.end - area.start).expect("key material is bounded by the format");
            let material = self.storage.read_vec(self.place.start + area.start, len)?;
            let opened = self
                .header
                .unlock_slot(slot, &material, passphrase)
                .map_err(|source| ImageError::KeySlot { image: self.storage.name(), source })?;
            if let Some(key) = opened {
                return Ok((slot, key));
            }
        }
        Err(ImageError::WrongPassphrase { image: self.storage.name() })
    }

    /// Puts key material in place, durably, before any header points to it.
    pub(crate) fn write_material(&self, slot: SlotIndex, material: &[u8]) -> Result<(), ImageError> {
        self.storage.write(self.place.start + self.header.slot_area(slot).start, material)?;
        self.storage.flush()
    }

    /// Replaces the header, durably, writing no more bytes than differ: a write that a power cut tears can then only
    /// hurt the slot that it is about.
    pub(crate) fn replace_header(&mut self, header: Header) -> Result<(), ImageError> {
        let (old, new) = (self.header.to_bytes(), header.to_bytes());
        let differs = |at: &usize| old[*at] != new[*at];
        if let (Some(first), Some(last)) = ((0..new.len()).find(differs), (0..new.len()).rfind(differs)) {
            self.storage.write(self.place.start + u64::try_from(first).expect("in 592"), &new[first..=last])?;
            self.storage.flush()?;
        }
        self.header = header;
        Ok(())
    }
}

/// What everybody may know of a volume.
pub(crate) fn describe(header: &Header) -> Encryption {
    Encryption {
        uuid: header.uuid(),
        cipher: header.cipher().to_owned(),
        digest: header.digest(),
        active_slots: header.active_slots().map(SlotIndex::number).collect(),
    }
}
