//! A key slot: one passphrase's way to the volume key.

use std::{fmt, num::NonZeroU32, ops::Range};

use cadenas_secret::{SecretBytes, digest::Hash, pbkdf2, random};

use crate::{
    HeaderError, SECTOR_BYTES, SectorCipher, VolumeKey, antiforensic, rounds,
    wire::{Reader, Writer},
};

/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 32;
/// Stripes that a volume key is split into. The specification allows others; cryptsetup and QEMU refuse them.
const STRIPES: u32 = 4_000;
/// Bytes of a slot's key material: 4000 stripes of 64 bytes.
pub(crate) const MATERIAL_BYTES: u64 = 256_000;
/// Sectors from one slot to the next: the key material, rounded up to 4 KiB as cryptsetup and QEMU do.
pub(crate) const AREA_SECTORS: u32 = 504;

const ENABLED: u32 = 0x00ac_71f3;
const DISABLED: u32 = 0x0000_dead;

/// The number of a key slot, 0 to 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(u8);

/// A number that is no key slot of LUKS1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no LUKS key slot {0}: they are numbered 0 to 7")]
pub struct NotASlot(pub u8);

impl SlotIndex {
    /// How many slots a header has.
    pub const COUNT: usize = 8;

    /// All slots, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..8).map(Self)
    }

    /// Its number, 0 to 7.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn at(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for SlotIndex {
    type Error = NotASlot;

    fn try_from(number: u8) -> Result<Self, NotASlot> {
        if usize::from(number) < Self::COUNT { Ok(Self(number)) } else { Err(NotASlot(number)) }
    }
}

impl fmt::Display for SlotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a slot opens with a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// It holds the volume key.
    Active {
        /// PBKDF2 rounds of its passphrase.
        rounds: NonZeroU32,
    },
    /// It is free. What its key material says does not matter, though it may still be there.
    Disabled,
}

/// A slot's entry in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySlot {
    usage: Usage,
    salt: [u8; SALT_BYTES],
    first_sector: u32,
}

/// A disabled slot keeps its meaningless number of rounds, so that the header is written as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Active(NonZeroU32),
    Disabled(u32),
}

impl KeySlot {
    /// A free slot whose key material lies at `first_sector`.
    pub(crate) fn empty(first_sector: u32) -> Self {
        Self { usage: Usage::Disabled(0), salt: [0; SALT_BYTES], first_sector }
    }

    /// Reads the 48 bytes of an entry and checks what can be checked without the other slots.
    pub(crate) fn read(reader: &mut Reader<'_>, slot: SlotIndex) -> Result<Self, HeaderError> {
        let (state, rounds) = (reader.u32(), reader.u32());
        let usage = match state {
            ENABLED => Usage::Active(rounds::accepted(rounds).ok_or(HeaderError::SlotRounds { slot, found: rounds })?),
            DISABLED => Usage::Disabled(rounds),
            found => return Err(HeaderError::SlotState { slot, found }),
        };
        let (salt, first_sector, stripes) = (reader.array(), reader.u32(), reader.u32());
        if stripes != STRIPES {
            return Err(HeaderError::SlotStripes { slot, found: stripes });
        }
        Ok(Self { usage, salt, first_sector })
    }

    pub(crate) fn write<const LEN: usize>(&self, writer: &mut Writer<LEN>) {
        let (state, rounds) = match self.usage {
            Usage::Active(rounds) => (ENABLED, rounds.get()),
            Usage::Disabled(rounds) => (DISABLED, rounds),
        };
        writer.put(&state.to_be_bytes());
        writer.put(&rounds.to_be_bytes());
        writer.put(&self.salt);
        writer.put(&self.first_sector.to_be_bytes());
        writer.put(&STRIPES.to_be_bytes());
    }

    pub(crate) fn state(&self) -> SlotState {
        match self.usage {
            Usage::Active(rounds) => SlotState::Active { rounds },
            Usage::Disabled(_) => SlotState::Disabled,
        }
    }

    pub(crate) fn first_sector(&self) -> u32 {
        self.first_sector
    }

    /// The sectors that are this slot's, its padding included; as `u64`, in which they cannot overflow.
    pub(crate) fn sectors(&self) -> Range<u64> {
        let first = u64::from(self.first_sector);
        first..first + u64::from(AREA_SECTORS)
    }

    /// The bytes of its key material, from the header's start.
    pub(crate) fn material_area(&self) -> Range<u64> {
        let start = u64::from(self.first_sector) * SECTOR_BYTES;
        start..start + MATERIAL_BYTES
    }

    /// Frees the slot as cryptsetup does: no salt, no rounds.
    pub(crate) fn disable(&mut self) {
        *self = Self::empty(self.first_sector);
    }

    /// Lets `passphrase` open the slot and gives the key material for it.
    pub(crate) fn fill(
        &mut self,
        hash: Hash,
        key: &VolumeKey,
        passphrase: &SecretBytes,
        rounds: NonZeroU32,
    ) -> Vec<u8> {
        self.fill_with(hash, key, passphrase, Chosen { rounds, salt: random::array(), stripes: random::fill })
    }

    pub(crate) fn fill_with(
        &mut self,
        hash: Hash,
        key: &VolumeKey,
        passphrase: &SecretBytes,
        chosen: Chosen<impl FnOnce(&mut [u8])>,
    ) -> Vec<u8> {
        let rounds = rounds::bounded(chosen.rounds);
        self.usage = Usage::Active(rounds);
        self.salt = chosen.salt;
        let len = usize::try_from(MATERIAL_BYTES).expect("256,000 fits");
        let mut material = vec![0; len];
        (chosen.stripes)(&mut material[..len - VolumeKey::BYTES]);
        antiforensic::split(hash, key.secret(), &mut material);
        self.cipher(hash, passphrase, rounds).encrypt(0, &mut material);
        material
    }

    /// What the slot holds if `passphrase` is right, else noise. `None` if the slot is disabled.
    pub(crate) fn candidate(&self, hash: Hash, material: &[u8], passphrase: &SecretBytes) -> Option<SecretBytes> {
        let Usage::Active(rounds) = self.usage else { return None };
        let plain = SecretBytes::new_with(material.len(), |plain| {
            plain.copy_from_slice(material);
            self.cipher(hash, passphrase, rounds).decrypt(0, plain);
        });
        Some(antiforensic::merge(hash, plain.expose(), VolumeKey::BYTES))
    }

    fn cipher(&self, hash: Hash, passphrase: &SecretBytes, rounds: NonZeroU32) -> SectorCipher {
        SectorCipher::over(&pbkdf2::derive(hash, passphrase, &self.salt, rounds, VolumeKey::BYTES))
    }
}

/// What is random in a slot, apart so that test vectors can fix it.
pub(crate) struct Chosen<F> {
    pub(crate) rounds: NonZeroU32,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) stripes: F,
}
