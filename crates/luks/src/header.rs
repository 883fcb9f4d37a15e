//! The header of a LUKS1 volume.

use std::{num::NonZeroU32, ops::Range};

use cadenas_secret::{SecretBytes, digest::Hash, pbkdf2, random};
use uuid::Uuid;

use crate::{
    HeaderError, SECTOR_BYTES, SlotIndex, SlotState, UnlockError, VolumeKey,
    keyslot::{AREA_SECTORS, KeySlot, MATERIAL_BYTES, SALT_BYTES},
    rounds,
    wire::{Reader, Writer},
};

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
const CIPHER: (&str, &str) = ("aes", "xts-plain64");
const KEY_BYTES: u32 = 64;
const DIGEST_BYTES: usize = 20;
/// Sectors that the header takes: 592 bytes rounded up to 4 KiB, as cryptsetup and QEMU do.
const HEADER_SECTORS: u32 = 8;
/// Where the key slots must have ended. The usual ones end at 2 MiB; a bound keeps callers from reading a whole disk as slots.
const MAX_AREA_SECTORS: u64 = 16 * 1024 * 1024 / SECTOR_BYTES;

/// A checked LUKS1 header. It holds nothing secret.
///
/// It is written back as it was read: `to_bytes` after `parse` gives the same 592 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    hash: Hash,
    payload_sector: u32,
    digest: [u8; DIGEST_BYTES],
    digest_salt: [u8; SALT_BYTES],
    digest_rounds: NonZeroU32,
    uuid: Uuid,
    slots: [KeySlot; SlotIndex::COUNT],
}

/// What is to be chosen for a new volume.
#[derive(Debug, Clone, Copy)]
pub struct FormatOptions {
    /// The volume's UUID.
    pub uuid: Uuid,
    /// Where the payload begins.
    pub layout: Layout,
    /// PBKDF2 rounds of the volume key's digest, moved into [`crate::MIN_ROUNDS`] to [`crate::MAX_ROUNDS`].
    pub digest_rounds: NonZeroU32,
}

/// Where the header lies, which decides the payload offset that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A raw image: the payload begins at 2 MiB, as cryptsetup makes it.
    Raw,
    /// A raw image whose payload begins at this sector, or right behind the key slots if they reach further: a disk that is
    /// encrypted where it lies moves by the payload offset, and the further, the more of it can be moved at once.
    RawAt {
        /// In sectors of 512 bytes.
        payload_sector: u32,
    },
    /// Inside qcow2: the payload offset means nothing there, but QEMU checks that it is not less than the header area's
    /// 0x1f9000 bytes, and writes just these.
    InQcow2,
}

impl Header {
    /// Length of the header in bytes.
    pub const BYTES: usize = 592;

    /// Reads and checks the header at the front of `bytes`; what follows it is not looked at.
    ///
    /// Checked are the rules of cryptsetup and of QEMU both, and bounds on what unlocking costs ([`crate::MAX_ROUNDS`]).
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let reader = &mut Reader::new::<{ Self::BYTES }>(
            bytes.first_chunk().ok_or(HeaderError::Truncated { found: bytes.len() })?,
        );
        check_version(reader)?;
        check_cipher(reader)?;
        let hash = read_hash(reader)?;
        let payload_sector = reader.u32();
        check_key_length(reader)?;
        let header = Self {
            hash,
            payload_sector,
            digest: reader.array(),
            digest_salt: reader.array(),
            digest_rounds: read_digest_rounds(reader)?,
            uuid: read_uuid(reader)?,
            slots: read_slots(reader)?,
        };
        header.check_places()?;
        Ok(header)
    }

    /// The header as it is written to the disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut writer = Writer::new();
        writer.put(&MAGIC);
        writer.put(&1u16.to_be_bytes());
        writer.padded(CIPHER.0.as_bytes(), 32);
        writer.padded(CIPHER.1.as_bytes(), 32);
        writer.padded(hash_name(self.hash).as_bytes(), 32);
        writer.put(&self.payload_sector.to_be_bytes());
        writer.put(&KEY_BYTES.to_be_bytes());
        writer.put(&self.digest);
        writer.put(&self.digest_salt);
        writer.put(&self.digest_rounds.get().to_be_bytes());
        writer.padded(self.uuid.hyphenated().to_string().as_bytes(), 40);
        for slot in &self.slots {
            slot.write(&mut writer);
        }
        writer.finish()
    }

    /// The header of a new volume: SHA-256, 4000 stripes, slots where cryptsetup lays them, all of them free.
    #[must_use]
    pub fn format(options: FormatOptions, key: &VolumeKey) -> Self {
        Self::format_with(options, key, random::array())
    }

    /// The volume's UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its cipher, as cryptsetup and dm-crypt write it: always `aes-xts-plain64`.
    #[must_use]
    pub fn cipher(&self) -> &'static str {
        "aes-xts-plain64"
    }

    /// The hash of key derivation, splitter and digest.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Where the encrypted data begins in a raw image, in bytes from the header's start; without meaning inside qcow2.
    #[must_use]
    pub fn payload_offset(&self) -> u64 {
        u64::from(self.payload_sector) * SECTOR_BYTES
    }

    /// Bytes from the header's start to the end of the last slot's area: 0x1f9000 as we, cryptsetup and QEMU lay it; never
    /// more than 16 MiB.
    #[must_use]
    pub fn area_len(&self) -> u64 {
        let end = self.slots.iter().map(|slot| slot.sectors().end).max().expect("a header has eight slots");
        end * SECTOR_BYTES
    }

    /// The digest of the volume key: it stays the same whatever slots are added or removed.
    #[must_use]
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        self.digest
    }

    /// Whether a slot opens with some passphrase.
    #[must_use]
    pub fn slot_state(&self, slot: SlotIndex) -> SlotState {
        self.slots[slot.at()].state()
    }

    /// The slots that hold the volume key, in order.
    pub fn active_slots(&self) -> impl Iterator<Item = SlotIndex> {
        SlotIndex::all().filter(|slot| self.slot_state(*slot) != SlotState::Disabled)
    }

    /// The first slot that is disabled, if there is one.
    #[must_use]
    pub fn free_slot(&self) -> Option<SlotIndex> {
        SlotIndex::all().find(|slot| self.slot_state(*slot) == SlotState::Disabled)
    }

    /// The bytes of a slot's key material, from the header's start: always 256,000 of them.
    #[must_use]
    pub fn slot_area(&self, slot: SlotIndex) -> Range<u64> {
        self.slots[slot.at()].material_area()
    }

    /// Lets `passphrase` open `slot`, whatever it held before, and gives the slot's key material.
    ///
    /// The caller writes the material to [`Self::slot_area`] and flushes it, and only then writes the header. `key` is this
    /// volume's key. `rounds` is moved into [`crate::MIN_ROUNDS`] to [`crate::MAX_ROUNDS`].
    pub fn add_key(
        &mut self,
        slot: SlotIndex,
        key: &VolumeKey,
        passphrase: &SecretBytes,
        rounds: NonZeroU32,
    ) -> Vec<u8> {
        self.slots[slot.at()].fill(self.hash, key, passphrase, rounds)
    }

    /// Marks `slot` as free. The caller overwrites its key material first: the mark alone takes no key away.
    pub fn disable(&mut self, slot: SlotIndex) {
        self.slots[slot.at()].disable();
    }

    /// Tries `passphrase` on `slot`, whose key material was read from [`Self::slot_area`].
    ///
    /// `None` if the slot is disabled or the passphrase is not its own. A key that comes out has the digest that the
    /// header says.
    pub fn unlock_slot(
        &self,
        slot: SlotIndex,
        material: &[u8],
        passphrase: &SecretBytes,
    ) -> Result<Option<VolumeKey>, UnlockError> {
        if material.len() as u64 != MATERIAL_BYTES {
            return Err(UnlockError::MaterialLength { slot, expected: MATERIAL_BYTES, found: material.len() });
        }
        let Some(candidate) = self.slots[slot.at()].candidate(self.hash, material, passphrase) else {
            return Ok(None);
        };
        if !self.has_digest_of(&candidate) {
            return Ok(None);
        }
        VolumeKey::from_secret(candidate).map(Some).map_err(|_| UnlockError::WeakVolumeKey { slot })
    }

    fn format_with(options: FormatOptions, key: &VolumeKey, digest_salt: [u8; SALT_BYTES]) -> Self {
        let (hash, digest_rounds) = (Hash::Sha256, rounds::bounded(options.digest_rounds));
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(digest_of(hash, key.secret(), &digest_salt, digest_rounds).expose());
        Self {
            hash,
            payload_sector: options.layout.payload_sector(),
            digest,
            digest_salt,
            digest_rounds,
            uuid: options.uuid,
            slots: SLOT_SECTORS.map(KeySlot::empty),
        }
    }

    /// Compares in constant time.
    fn has_digest_of(&self, candidate: &SecretBytes) -> bool {
        digest_of(self.hash, candidate, &self.digest_salt, self.digest_rounds).equals(&self.digest)
    }

    /// Header, slots and payload must not overlap.
    fn check_places(&self) -> Result<(), HeaderError> {
        if self.payload_sector < HEADER_SECTORS {
            return Err(HeaderError::PayloadInHeader { sector: self.payload_sector });
        }
        for slot in SlotIndex::all() {
            self.check_place(slot)?;
            for other in SlotIndex::all().take_while(|other| *other < slot) {
                if overlap(&self.slots[slot.at()].sectors(), &self.slots[other.at()].sectors()) {
                    return Err(HeaderError::SlotsOverlap { first: other, second: slot });
                }
            }
        }
        Ok(())
    }

    fn check_place(&self, slot: SlotIndex) -> Result<(), HeaderError> {
        let (sector, end) = (self.slots[slot.at()].first_sector(), self.slots[slot.at()].sectors().end);
        if sector < HEADER_SECTORS {
            return Err(HeaderError::SlotInHeader { slot, sector });
        }
        if end > u64::from(self.payload_sector) {
            return Err(HeaderError::SlotInPayload { slot, sector });
        }
        if end > MAX_AREA_SECTORS {
            return Err(HeaderError::SlotTooFar { slot, sector });
        }
        Ok(())
    }
}

impl Layout {
    fn payload_sector(self) -> u32 {
        match self {
            Self::Raw => 4096,
            Self::RawAt { payload_sector } => payload_sector.max(AREA_END_SECTOR),
            Self::InQcow2 => AREA_END_SECTOR,
        }
    }
}

/// Where our own slots end.
const AREA_END_SECTOR: u32 = HEADER_SECTORS + 8 * AREA_SECTORS;

/// Where our own slots begin: one after the other behind the header.
const SLOT_SECTORS: [u32; SlotIndex::COUNT] = {
    let mut sectors = [HEADER_SECTORS; SlotIndex::COUNT];
    let mut slot = 1;
    while slot < sectors.len() {
        sectors[slot] = sectors[slot - 1] + AREA_SECTORS;
        slot += 1;
    }
    sectors
};

fn check_version(reader: &mut Reader<'_>) -> Result<(), HeaderError> {
    if reader.array() != MAGIC {
        return Err(HeaderError::NotLuks);
    }
    match reader.u16() {
        1 => Ok(()),
        2 => Err(HeaderError::Luks2),
        found => Err(HeaderError::UnknownVersion { found }),
    }
}

fn check_cipher(reader: &mut Reader<'_>) -> Result<(), HeaderError> {
    let name = reader.text::<32>("cipher name")?;
    let mode = reader.text::<32>("cipher mode")?;
    if (name.as_str(), mode.as_str()) == CIPHER {
        Ok(())
    } else {
        Err(HeaderError::CipherNotHandled { found: format!("{name}-{mode}") })
    }
}

fn check_key_length(reader: &mut Reader<'_>) -> Result<(), HeaderError> {
    match reader.u32() {
        KEY_BYTES => Ok(()),
        found => Err(HeaderError::KeyLengthNotHandled { found }),
    }
}

fn read_hash(reader: &mut Reader<'_>) -> Result<Hash, HeaderError> {
    let found = reader.text::<32>("hash")?;
    [Hash::Sha1, Hash::Sha256, Hash::Sha512]
        .into_iter()
        .find(|hash| hash_name(*hash) == found)
        .ok_or(HeaderError::HashNotHandled { found })
}

fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "sha1",
        Hash::Sha256 => "sha256",
        Hash::Sha512 => "sha512",
    }
}

fn read_digest_rounds(reader: &mut Reader<'_>) -> Result<NonZeroU32, HeaderError> {
    let found = reader.u32();
    rounds::accepted(found).ok_or(HeaderError::DigestRounds { found })
}

fn read_uuid(reader: &mut Reader<'_>) -> Result<Uuid, HeaderError> {
    let text = reader.text::<40>("UUID")?;
    let uuid = Uuid::try_parse(&text).map_err(|_| HeaderError::BadUuid)?;
    if uuid.hyphenated().to_string() == text { Ok(uuid) } else { Err(HeaderError::BadUuid) }
}

fn read_slots(reader: &mut Reader<'_>) -> Result<[KeySlot; SlotIndex::COUNT], HeaderError> {
    let slots: Vec<KeySlot> = SlotIndex::all().map(|slot| KeySlot::read(reader, slot)).collect::<Result<_, _>>()?;
    Ok(slots.try_into().expect("one for each of eight indices"))
}

fn digest_of(hash: Hash, key: &SecretBytes, salt: &[u8], rounds: NonZeroU32) -> SecretBytes {
    pbkdf2::derive(hash, key, salt, rounds, DIGEST_BYTES)
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

#[cfg(test)]
mod vectors;
