//! The journal's immutable part: what a rewrite is made from, and who may go on with it.
//!
//! A journal decides what happens to a disk, even that it is decrypted; so everything in it is authenticated with a key that
//! only who opens the disk has. The *journal key* is random. It lies, with the volume keys, in a bag that is sealed under
//! the old volume key and once more under the new one: either passphrase opens it. All else is under a MAC keyed with it.
//! `docs/formats.md` gives the bytes.

use std::sync::Arc;

use cadenas_luks::VolumeKey;
use cadenas_secret::{SecretBytes, aead, hkdf, hmac, random};
use uuid::Uuid;

use super::{
    kinds::{Operation, Plan},
    layout::Fronts,
    records::Sizes,
    volume::{self, VolumeKeys},
    wire::{Reader, Writer, context},
};
use crate::{Format, ImageError, Storage, storage::aligned::AlignedBuf};

/// Everything in the journal lies at multiples of this, in bytes, so that no block is written for two purposes.
pub(super) const BLOCK: usize = 4096;

const MAGIC: [u8; 16] = *b"Cadenas in place";
const VERSION: u32 = 1;
/// Magic, version and length.
const PREFIX_BYTES: usize = 24;
const MAC_BYTES: usize = 32;
/// Two fronts and two LUKS areas of 2 MiB, and some room.
const MOST_BYTES: usize = 16 << 20;
const KEY_BYTES: usize = 32;
const BAG_BYTES: usize = KEY_BYTES + 2 * VolumeKey::BYTES;

/// A journal's immutable part, and the keys that it holds.
pub(super) struct Journal {
    pub(super) uuid: Uuid,
    pub(super) sizes: Sizes,
    pub(super) plan: Plan,
    pub(super) volumes: VolumeKeys,
    pub(super) key: JournalKey,
    /// Where the records begin, in bytes.
    pub(super) records_at: u64,
}

/// The journal key, from which the keys for each purpose are derived.
pub(super) struct JournalKey {
    key: SecretBytes,
    salt: [u8; 32],
    uuid: Uuid,
}

impl JournalKey {
    fn new(key: SecretBytes, salt: [u8; 32], uuid: Uuid) -> Self {
        Self { key, salt, uuid }
    }

    /// The key of 32 bytes for a purpose.
    pub(super) fn derive(&self, purpose: &str) -> SecretBytes {
        self.derive_salted(purpose, &self.salt)
    }

    /// As [`Self::derive`], another for each salt.
    pub(super) fn derive_salted(&self, purpose: &str, salt: &[u8; 32]) -> SecretBytes {
        derive(&self.key, salt, purpose, self.uuid)
    }
}

impl Journal {
    /// Writes a new journal's immutable part; not flushed.
    pub(super) fn create(
        storage: &dyn Storage,
        sizes: Sizes,
        plan: Plan,
        volumes: VolumeKeys,
    ) -> Result<Self, ImageError> {
        let (uuid, salt) = (Uuid::new_v4(), random::array());
        let key = JournalKey::new(SecretBytes::random(KEY_BYTES), salt, uuid);
        let bytes = encode(sizes, &plan, &volumes, &key);
        let records_at = to_u64(bytes.len().next_multiple_of(BLOCK));
        let mut blocks = AlignedBuf::zeroed(bytes.len().next_multiple_of(BLOCK));
        blocks[..bytes.len()].copy_from_slice(&bytes);
        storage.write(0, &blocks)?;
        Ok(Self { uuid, sizes, plan, volumes, key, records_at })
    }

    /// Reads it with a passphrase of the old image or of the new. Nothing of it is used before its MAC was found right.
    pub(super) fn read(storage: &dyn Storage, passphrase: &SecretBytes) -> Result<Self, ImageError> {
        let bytes = read_bytes(storage)?;
        let damaged = || damaged(storage, "its fields are cut off or say what is not possible");
        let (signed, mac) = bytes.split_at(bytes.len() - MAC_BYTES);
        let sealed = Sealed::parse(&signed[PREFIX_BYTES..]).ok_or_else(damaged)?;
        let bag = sealed.open_bag(storage, passphrase)?;
        let key = SecretBytes::new_with(KEY_BYTES, |key| key.copy_from_slice(&bag.expose()[..KEY_BYTES]));
        let key = JournalKey::new(key, sealed.salt, sealed.uuid);
        let not_authentic = || ImageError::JournalNotAuthentic { journal: storage.name() };
        if !hmac::sha256(&key.derive("journal"), &[signed]).equals(mac) {
            return Err(not_authentic());
        }
        let plan = sealed.open_plan(&key).ok_or_else(not_authentic)?;
        let volumes = VolumeKeys {
            old: volume_key(&bag.expose()[KEY_BYTES..KEY_BYTES + VolumeKey::BYTES]),
            new: volume_key(&bag.expose()[KEY_BYTES + VolumeKey::BYTES..]),
        };
        let records_at = to_u64(bytes.len().next_multiple_of(BLOCK));
        Ok(Self { uuid: sealed.uuid, sizes: sealed.sizes, plan, volumes, key, records_at })
    }
}

/// The immutable part, its MAC at the end.
fn encode(sizes: Sizes, plan: &Plan, volumes: &VolumeKeys, key: &JournalKey) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(&MAGIC);
    writer.u32(VERSION);
    writer.u32(0);
    writer.array(key.uuid.as_bytes());
    writer.array(&key.salt);
    writer.u8(plan.operation.number());
    writer.u8(format_number(plan.old_format));
    writer.u8(format_number(plan.new_format));
    writer.u8(u8::from(sizes.tagged));
    writer.u32(sizes.window);
    writer.u64(sizes.zone);
    writer.u64(plan.old_len);
    writer.bytes(&plan.old_luks);
    writer.bytes(&plan.new_luks);
    let bag = bag(volumes, key);
    for (volume, side) in [(&volumes.old, "keys/old"), (&volumes.new, "keys/new")] {
        let sealed = volume.as_ref().map(|volume| seal(&bag_key(volume, key.salt, key.uuid, side), bag.expose()));
        writer.bytes(&sealed.unwrap_or_default());
    }
    writer.bytes(&seal(&key.derive("front/old"), &plan.fronts.old));
    writer.bytes(&seal(&key.derive("front/new"), &plan.fronts.new));
    writer.bytes(&plan.extra);
    let mut bytes = writer.0;
    let len = u32::try_from(bytes.len() + MAC_BYTES).expect("a few MiB");
    bytes[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&len.to_be_bytes());
    let mac = hmac::sha256(&key.derive("journal"), &[&bytes]);
    bytes.extend_from_slice(mac.expose());
    bytes
}

/// The bytes up to the length that they say, MAC included; nothing else of them is checked.
fn read_bytes(storage: &dyn Storage) -> Result<Vec<u8>, ImageError> {
    let len = storage.size()?;
    if len < to_u64(PREFIX_BYTES + MAC_BYTES) {
        return Err(damaged(storage, "it is too short to be one"));
    }
    let prefix = storage.read_vec(0, PREFIX_BYTES)?;
    let mut reader = Reader(&prefix);
    if reader.array() != Some(MAGIC) {
        return Err(damaged(storage, "it does not begin as one"));
    }
    if reader.u32() != Some(VERSION) {
        let feature = "another version of the journal of in-place rewrites".to_owned();
        return Err(ImageError::Unsupported { image: storage.name(), feature });
    }
    let said = usize::try_from(reader.u32().unwrap_or_default()).unwrap_or(usize::MAX);
    if !(PREFIX_BYTES + MAC_BYTES..=MOST_BYTES).contains(&said) || to_u64(said) > len {
        return Err(damaged(storage, "its length is wrong"));
    }
    storage.read_vec(0, said)
}

/// The fields as they stand in the journal. They are hostile until the MAC was checked.
struct Sealed<'a> {
    uuid: Uuid,
    salt: [u8; 32],
    operation: Operation,
    formats: (Format, Format),
    sizes: Sizes,
    old_len: u64,
    luks: (&'a [u8], &'a [u8]),
    bags: (&'a [u8], &'a [u8]),
    fronts: (&'a [u8], &'a [u8]),
    extra: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (uuid, salt) = (Uuid::from_bytes(reader.array()?), reader.array()?);
        let operation = Operation::from_number(reader.u8()?)?;
        let formats = (format_of(reader.u8()?)?, format_of(reader.u8()?)?);
        let tagged = reader.u8()? == 1;
        let sizes = Sizes { tagged, window: reader.u32()?, zone: reader.u64()? }.checked()?;
        let old_len = reader.u64()?;
        let mut pair = || Some((reader.bytes()?, reader.bytes()?));
        let (luks, bags, fronts) = (pair()?, pair()?, pair()?);
        let extra = reader.bytes()?;
        let sealed = Self { uuid, salt, operation, formats, sizes, old_len, luks, bags, fronts, extra };
        reader.0.is_empty().then_some(sealed)
    }

    fn open_bag(&self, storage: &dyn Storage, passphrase: &SecretBytes) -> Result<SecretBytes, ImageError> {
        let sides = [(self.luks.0, self.bags.0, "keys/old"), (self.luks.1, self.bags.1, "keys/new")];
        for (area, bag, side) in sides.into_iter().filter(|(area, _, _)| !area.is_empty()) {
            let Some(volume) = volume::unlock(area, passphrase, storage)? else { continue };
            let opened = open(&bag_key(&volume, self.salt, self.uuid, side), bag).filter(|bag| bag.len() == BAG_BYTES);
            return opened.ok_or_else(|| ImageError::JournalNotAuthentic { journal: storage.name() });
        }
        Err(ImageError::WrongPassphrase { image: storage.name() })
    }

    fn open_plan(&self, key: &JournalKey) -> Option<Plan> {
        let front = |purpose, sealed| open(&key.derive(purpose), sealed).map(|front| front.expose().to_vec());
        Some(Plan {
            operation: self.operation,
            old_format: self.formats.0,
            new_format: self.formats.1,
            old_len: self.old_len,
            fronts: Fronts { old: front("front/old", self.fronts.0)?, new: front("front/new", self.fronts.1)? },
            old_luks: self.luks.0.to_vec(),
            new_luks: self.luks.1.to_vec(),
            extra: self.extra.to_vec(),
        })
    }
}

/// Journal key and volume keys; zeros stand for the key of a plain disk, and are no key.
fn bag(volumes: &VolumeKeys, key: &JournalKey) -> SecretBytes {
    SecretBytes::new_with(BAG_BYTES, |bag| {
        bag[..KEY_BYTES].copy_from_slice(key.key.expose());
        for (volume, place) in
            [&volumes.old, &volumes.new].into_iter().zip(bag[KEY_BYTES..].chunks_mut(VolumeKey::BYTES))
        {
            if let Some(volume) = volume {
                place.copy_from_slice(volume.secret().expose());
            }
        }
    })
}

fn volume_key(bytes: &[u8]) -> Option<Arc<VolumeKey>> {
    let secret = SecretBytes::new_with(VolumeKey::BYTES, |key| key.copy_from_slice(bytes));
    VolumeKey::from_secret(secret).ok().map(Arc::new)
}

fn bag_key(volume: &VolumeKey, salt: [u8; 32], uuid: Uuid, side: &str) -> SecretBytes {
    derive(volume.secret(), &salt, side, uuid)
}

fn derive(key: &SecretBytes, salt: &[u8; 32], purpose: &str, uuid: Uuid) -> SecretBytes {
    let info = context(&[b"cadenas/in-place/v1", purpose.as_bytes(), uuid.as_bytes()]);
    hkdf::sha256(key, salt, &info, KEY_BYTES)
}

/// Each key that this is called with is derived with a fresh salt and seals one thing, so that its nonce can stay the same.
fn seal(key: &SecretBytes, plain: &[u8]) -> Vec<u8> {
    aead::seal(key, [0; aead::NONCE_BYTES], &[], plain)
}

fn open(key: &SecretBytes, sealed: &[u8]) -> Option<SecretBytes> {
    aead::open(key, [0; aead::NONCE_BYTES], &[], sealed).ok()
}

fn format_number(format: Format) -> u8 {
    match format {
        Format::Raw => 0,
        Format::Luks => 1,
        Format::Qcow2 => 2,
    }
}

fn format_of(number: u8) -> Option<Format> {
    [Format::Raw, Format::Luks, Format::Qcow2].get(usize::from(number)).copied()
}

fn damaged(storage: &dyn Storage, what: &str) -> ImageError {
    ImageError::JournalDamaged { journal: storage.name(), what: what.to_owned() }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
