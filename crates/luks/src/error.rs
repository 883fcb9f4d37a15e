//! What is wrong with a header, one variant per cause.

use crate::{MAX_ROUNDS, SlotIndex};

/// Why bytes are not a LUKS1 header that Cadenas handles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum HeaderError {
    #[error("no LUKS header: it takes 592 bytes, and there are only {found}")]
    Truncated { found: usize },
    #[error("no LUKS header: it does not begin with the LUKS magic bytes")]
    NotLuks,
    #[error(
        "the LUKS header is version 2, and QEMU reads only LUKS1: use `cryptsetup convert --type luks1` or encrypt again"
    )]
    Luks2,
    #[error("the LUKS header says version {found}, which is unknown: only LUKS1 is handled")]
    UnknownVersion { found: u16 },
    #[error("the LUKS header is damaged: its {field} is not text of printable ASCII padded with zero bytes")]
    BadText { field: &'static str },
    #[error("the LUKS cipher {found} is not handled, only aes-xts-plain64: encrypt again with that")]
    CipherNotHandled { found: String },
    #[error("a LUKS volume key of {found} bytes is not handled, only 64 (AES-256-XTS): encrypt again with that")]
    KeyLengthNotHandled { found: u32 },
    #[error("the LUKS hash {found} is not handled, only sha1, sha256 and sha512: encrypt again with one of them")]
    HashNotHandled { found: String },
    #[error("the LUKS header is damaged: its UUID is not in the usual form of 36 lower-case characters")]
    BadUuid,
    #[error("the LUKS header is damaged: its digest says {found} PBKDF2 rounds, allowed are 1 to {MAX_ROUNDS}")]
    DigestRounds { found: u32 },
    #[error("the LUKS header is damaged: its payload begins at sector {sector}, inside the header")]
    PayloadInHeader { sector: u32 },
    #[error("the LUKS header is damaged: key slot {slot} is neither enabled nor disabled but {found:#010x}")]
    SlotState { slot: SlotIndex, found: u32 },
    #[error("the LUKS header is damaged: key slot {slot} says {found} PBKDF2 rounds, allowed are 1 to {MAX_ROUNDS}")]
    SlotRounds { slot: SlotIndex, found: u32 },
    #[error("the LUKS header is damaged: key slot {slot} says {found} stripes instead of 4000")]
    SlotStripes { slot: SlotIndex, found: u32 },
    #[error("the LUKS header is damaged: key slot {slot} begins at sector {sector}, inside the header")]
    SlotInHeader { slot: SlotIndex, sector: u32 },
    #[error("the LUKS header is damaged: key slot {slot} at sector {sector} reaches into the payload")]
    SlotInPayload { slot: SlotIndex, sector: u32 },
    #[error("the LUKS header is damaged: key slot {slot} at sector {sector} ends beyond the first 16 MiB")]
    SlotTooFar { slot: SlotIndex, sector: u32 },
    #[error("the LUKS header is damaged: key slots {first} and {second} overlap")]
    SlotsOverlap { first: SlotIndex, second: SlotIndex },
}

/// Why a key slot could not even be tried. A wrong passphrase is no error: it opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// The caller gave too few or too many bytes of key material.
    #[error("cannot try LUKS key slot {slot}: its key material takes {expected} bytes, and {found} were read")]
    MaterialLength {
        /// The slot.
        slot: SlotIndex,
        /// Bytes that [`crate::Header::slot_area`] spans.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// The passphrase is right, but what it opens is no key: somebody made this header by hand.
    #[error("LUKS key slot {slot} opens, but holds a key whose two halves are equal: the volume is not safe to use")]
    WeakVolumeKey {
        /// The slot.
        slot: SlotIndex,
    },
}
