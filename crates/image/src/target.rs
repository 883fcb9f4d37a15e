//! What a conversion makes.

use std::num::NonZeroU32;

use cadenas_secret::SecretBytes;
use uuid::Uuid;

use crate::{
    Format, ImageInfo, Usage,
    format::qcow2::{header::ClusterSize, refcounts::clusters_for},
    inspect::unit,
};

/// The image that [`crate::convert()`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Plain raw; holes stay holes.
    Raw {
        /// Exact length of the file in bytes, to restore one that did not end with a whole sector; by default the disk's size.
        len: Option<u64>,
    },
    /// Plain qcow2; holes stay unallocated.
    Qcow2 {
        /// In bytes, a power of two from 512 to 2 MiB.
        cluster_size: u64,
    },
    /// Raw LUKS1, as cryptsetup lays it out. It has no holes: they become encrypted zeros.
    Luks,
    /// qcow2 whose clusters are encrypted with a LUKS1 header inside (`crypt_method` 2); holes stay unallocated.
    Qcow2Luks {
        /// In bytes, a power of two from 512 to 2 MiB.
        cluster_size: u64,
    },
}

impl Target {
    /// QEMU's own choice of cluster size, in bytes.
    pub const DEFAULT_CLUSTER_SIZE: u64 = 64 << 10;

    /// The format of the file that it makes.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Raw { .. } => Format::Raw,
            Self::Luks => Format::Luks,
            Self::Qcow2 { .. } | Self::Qcow2Luks { .. } => Format::Qcow2,
        }
    }

    /// Whether it is encrypted, and so needs a [`NewKey`].
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Luks | Self::Qcow2Luks { .. })
    }
}

/// The first key slot of a new encrypted image. The volume key is always fresh.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// What opens the slot: UTF-8 if QEMU shall open the image.
    pub passphrase: &'a SecretBytes,
    /// PBKDF2 rounds of the slot; see [`cadenas_luks::rounds_for`].
    pub rounds: NonZeroU32,
    /// The LUKS UUID.
    pub uuid: Uuid,
}

/// The most room in bytes that the target can take on its datastore.
#[must_use]
pub fn space_needed(src: &ImageInfo, usage: &Usage, target: &Target) -> u64 {
    match *target {
        Target::Raw { .. } => stored(src, usage, RAW_HOLE_BYTES),
        Target::Luks => src.virtual_size.saturating_add(LUKS_AREA_BYTES),
        Target::Qcow2 { cluster_size } => qcow2_bytes(src, usage, cluster_size, 0),
        Target::Qcow2Luks { cluster_size } => qcow2_bytes(src, usage, cluster_size, LUKS_AREA_BYTES),
    }
}

/// Zeros in a raw target become a hole if so many of them, in bytes, fill a unit of this size.
pub(crate) const RAW_HOLE_BYTES: u64 = 64 << 10;

/// A LUKS header with its key material, in either layout, rounded up.
const LUKS_AREA_BYTES: u64 = 2 << 20;

/// The most bytes that the disk's data takes if it is stored in granules of this size.
fn stored(src: &ImageInfo, usage: &Usage, granule: u64) -> u64 {
    let counted_in = unit(src.cluster_size);
    let spread = granule.div_ceil(counted_in);
    usage.allocated.saturating_mul(spread).min(src.virtual_size.next_multiple_of(granule))
}

fn qcow2_bytes(src: &ImageInfo, usage: &Usage, cluster_size: u64, luks_bytes: u64) -> u64 {
    // An impossible cluster size is refused by the conversion itself.
    let cluster = ClusterSize::from_bytes(cluster_size).unwrap_or(ClusterSize::DEFAULT);
    let data = cluster.count(stored(src, usage, cluster.bytes()));
    let l2_tables = src.virtual_size.div_ceil(cluster.l2_span());
    let used = 1 + cluster.count(l2_tables * 8) + cluster.count(luks_bytes) + data + l2_tables.min(data);
    let (blocks, table) = clusters_for(cluster, used);
    (used + blocks + table).saturating_mul(cluster.bytes())
}
