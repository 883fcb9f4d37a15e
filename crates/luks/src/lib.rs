//! LUKS1, as bytes: header, key slots, anti-forensic splitter and sector cipher. No I/O.
//!
//! The format is the *LUKS On-Disk Format Specification*, version 1.2.3, in the one shape that Cadenas handles and that
//! QEMU 7.2 makes by default: AES-256-XTS with the `plain64` tweak and a volume key of 64 bytes. The header lies at the start of
//! a raw image, or inside a qcow2 file where its header extension says so; offsets here count from the header's start.
//!
//! A volume is made by [`Header::format`] and [`Header::add_key`]; it is opened by [`Header::parse`] and
//! [`Header::unlock_slot`], and its data passes through a [`SectorCipher`]. The caller moves the bytes: key material
//! before the header that points to it, both flushed.

mod antiforensic;
mod cipher;
mod error;
mod header;
mod keyslot;
mod rounds;
mod wire;

pub use cipher::{BadVolumeKey, SectorCipher, VolumeKey};
pub use error::{HeaderError, UnlockError};
pub use header::{FormatOptions, Header, Layout};
pub use keyslot::{NotASlot, SlotIndex, SlotState};
pub use rounds::{MAX_ROUNDS, MIN_ROUNDS, rounds_for};

/// Bytes in a sector: the unit of encryption and of every offset in a header.
pub const SECTOR_BYTES: u64 = 512;
