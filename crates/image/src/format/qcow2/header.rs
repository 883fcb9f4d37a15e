//! The header: the first bytes of the first cluster.

use std::ops::Range;

use super::{
    Refusal, Split, be32, be64,
    bitmaps::Directory,
    extensions::{self, Extensions},
    feature::Incompatible,
};

/// A header of version 2 has these bytes.
pub(crate) const V2_BYTES: usize = 72;
/// A header of version 3 has at least these, and ours has eight more.
const V3_BYTES: usize = 104;
const OUR_BYTES: u8 = 112;
/// The autoclear feature that says that the bitmaps hold what they should: a program that does not know them clears it.
pub(crate) const BITMAPS_HOLD: u64 = 1;
/// QEMU's own bounds.
pub(crate) const MAX_L1_BYTES: u64 = 32 << 20;
pub(crate) const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
const LONGEST_BACKING_NAME: u32 = 1023;

/// How compressed clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Deflate,
    Zstd,
}

/// The size of a cluster, a power of two from 512 bytes to 2 MiB, and whether L2 entries divide it into subclusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterSize {
    bits: u32,
    has_subclusters: bool,
}

impl ClusterSize {
    /// QEMU's own choice: 64 KiB.
    pub(crate) const DEFAULT: Self = Self { bits: 16, has_subclusters: false };
    const BITS: std::ops::RangeInclusive<u32> = 9..=21;

    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        Self::BITS.contains(&bits).then_some(Self { bits, has_subclusters: false })
    }

    /// The same with extended L2 entries; `None` if its subclusters were smaller than a sector.
    pub(crate) fn with_subclusters(self) -> Option<Self> {
        let divided = Self { has_subclusters: true, ..self };
        (divided.subcluster_bytes() >= 512).then_some(divided)
    }

    pub(crate) fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() { Self::from_bits(bytes.trailing_zeros()) } else { None }
    }

    pub(crate) fn bits(self) -> u32 {
        self.bits
    }

    pub(crate) fn bytes(self) -> u64 {
        1 << self.bits
    }

    pub(crate) fn len(self) -> usize {
        1 << self.bits
    }

    pub(crate) fn has_subclusters(self) -> bool {
        self.has_subclusters
    }

    /// Bytes of the disk that one bit of an extended L2 entry is about.
    pub(crate) fn subcluster_bytes(self) -> u64 {
        self.bytes() / u64::from(Split::PARTS)
    }

    /// Bytes of an L2 entry.
    pub(crate) fn l2_entry_bytes(self) -> u64 {
        if self.has_subclusters { 16 } else { 8 }
    }

    /// Entries of an L2 table, which takes one cluster.
    pub(crate) fn entries(self) -> u64 {
        self.bytes() / self.l2_entry_bytes()
    }

    /// Bytes of the disk that one L2 table maps.
    pub(crate) fn l2_span(self) -> u64 {
        self.bytes() * self.entries()
    }

    /// Clusters that hold so many bytes.
    pub(crate) fn count(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.bytes())
    }

    pub(crate) fn is_aligned(self, offset: u64) -> bool {
        offset.is_multiple_of(self.bytes())
    }
}

/// What a header says, checked as far as it can be without the rest of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) cluster: ClusterSize,
    pub(crate) virtual_size: u64,
    /// Where the LUKS area is, if the image is encrypted.
    pub(crate) luks_area: Option<Range<u64>>,
    pub(crate) backing_file: Option<String>,
    /// The backing file's format, as QEMU calls it.
    pub(crate) backing_format: Option<String>,
    /// The external data file; an empty name if the header says none.
    pub(crate) data_file: Option<String>,
    pub(crate) l1_offset: u64,
    pub(crate) l1_entries: u64,
    pub(crate) refcount_table: Range<u64>,
    /// A refcount has `1 << refcount_order` bits.
    pub(crate) refcount_order: u32,
    pub(crate) snapshots: u32,
    pub(crate) snapshots_offset: u64,
    /// Where the persistent bitmaps are listed, if the header vouches for them.
    pub(crate) bitmaps: Option<Directory>,
    pub(crate) compression: Compression,
}

impl Header {
    /// The cluster size alone, from the first 24 bytes: so much must be read to parse the rest.
    pub(crate) fn cluster_size(bytes: &[u8; 24]) -> Result<ClusterSize, Refusal> {
        let bits = be32(bytes, 20);
        ClusterSize::from_bits(bits)
            .ok_or_else(|| Refusal::damaged(format!("its cluster size is 2^{bits}, allowed are 2^9 to 2^21")))
    }

    /// Parses the first cluster, or as much of it as the file has.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = at_least(bytes, V2_BYTES)?;
        match be32(bytes, 4) {
            2 => Self::from_parts(bytes, &Tail { extensions_at: V2_BYTES, ..Tail::V2 }),
            3 => Self::from_parts(bytes, &Tail::parse(bytes)?),
            version => Err(Refusal::Unsupported(format!("qcow2 version {version}"))),
        }
    }

    fn from_parts(bytes: &[u8], tail: &Tail) -> Result<Self, Refusal> {
        let backing = backing_name(bytes)?;
        let extensions_end = backing.as_ref().map_or(bytes.len(), |name| name.start.max(tail.extensions_at));
        let found = Extensions::parse(&bytes[tail.extensions_at..extensions_end])?;
        let incompatible = Incompatible::parse(tail.incompatible, &found.feature_names)?;
        let cluster = Self::cluster_size(bytes.first_chunk().expect("checked by the caller"))?;
        let cluster = if incompatible.extended_l2 { divided(cluster)? } else { cluster };
        Ok(Self {
            version: be32(bytes, 4),
            cluster,
            virtual_size: whole_sectors(be64(bytes, 24))?,
            luks_area: luks_area(be32(bytes, 32), found.luks_area)?,
            backing_file: backing.map(|name| extensions::text(&bytes[name])),
            backing_format: found.backing_format,
            data_file: incompatible.data_file.then(|| found.data_file.unwrap_or_default()),
            l1_offset: be64(bytes, 40),
            l1_entries: l1_entries(bytes, cluster)?,
            refcount_table: refcount_table(bytes, cluster)?,
            refcount_order: tail.refcount_order()?,
            snapshots: be32(bytes, 60),
            snapshots_offset: be64(bytes, 64),
            bitmaps: found.bitmaps.filter(|_| tail.autoclear & BITMAPS_HOLD != 0),
            compression: compression(incompatible.compression, tail.compression)?,
        })
    }

    /// The bytes of a new image's header with its extensions; the rest of its cluster is zeros.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        const LUKS: u32 = 2;
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"QFI\xfb");
        bytes.extend_from_slice(&3_u32.to_be_bytes());
        // No backing file: offset and length of its name.
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&self.cluster.bits().to_be_bytes());
        bytes.extend_from_slice(&self.virtual_size.to_be_bytes());
        bytes.extend_from_slice(&(if self.luks_area.is_some() { LUKS } else { 0 }).to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(self.l1_entries).expect("bounded by the format").to_be_bytes());
        bytes.extend_from_slice(&self.l1_offset.to_be_bytes());
        bytes.extend_from_slice(&self.refcount_table.start.to_be_bytes());
        let table = self.cluster.count(self.refcount_table.end - self.refcount_table.start);
        bytes.extend_from_slice(&u32::try_from(table).expect("bounded by the format").to_be_bytes());
        // No snapshots: count and offset. No features: incompatible, compatible, cleared by whoever does not know them.
        bytes.extend_from_slice(&[0; 12 + 24]);
        bytes.extend_from_slice(&self.refcount_order.to_be_bytes());
        bytes.extend_from_slice(&u32::from(OUR_BYTES).to_be_bytes());
        // Deflate, and padding.
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend(self.luks_area.iter().flat_map(extensions::luks_area_bytes));
        // The end of the extensions.
        bytes.extend_from_slice(&[0; 8]);
        bytes
    }
}

/// What version 3 added, with version 2's values where it lacks them.
struct Tail {
    incompatible: u64,
    autoclear: u64,
    refcount_order: u32,
    extensions_at: usize,
    compression: u8,
}

impl Tail {
    const V2: Self = Self { incompatible: 0, autoclear: 0, refcount_order: 4, extensions_at: V2_BYTES, compression: 0 };

    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = at_least(bytes, V3_BYTES)?;
        let header_bytes = usize::try_from(be32(bytes, 100)).unwrap_or(usize::MAX);
        if header_bytes < V3_BYTES || header_bytes > bytes.len() || !header_bytes.is_multiple_of(8) {
            return Err(Refusal::damaged(format!("its header says that it has {header_bytes} bytes")));
        }
        Ok(Self {
            incompatible: be64(bytes, 72),
            autoclear: be64(bytes, 88),
            refcount_order: be32(bytes, 96),
            extensions_at: header_bytes,
            compression: if header_bytes > V3_BYTES { bytes[V3_BYTES] } else { 0 },
        })
    }

    fn refcount_order(&self) -> Result<u32, Refusal> {
        match self.refcount_order {
            order @ 0..=6 => Ok(order),
            order => Err(Refusal::damaged(format!("its refcounts have 2^{order} bits, allowed are 1 to 64"))),
        }
    }
}

fn divided(cluster: ClusterSize) -> Result<ClusterSize, Refusal> {
    cluster.with_subclusters().ok_or_else(|| {
        Refusal::damaged(format!("its clusters of {} bytes are too small for extended L2 entries", cluster.bytes()))
    })
}

fn at_least(bytes: &[u8], len: usize) -> Result<&[u8], Refusal> {
    if bytes.len() < len {
        return Err(Refusal::damaged(format!("the file ends after {} bytes, inside the header", bytes.len())));
    }
    Ok(bytes)
}

fn whole_sectors(virtual_size: u64) -> Result<u64, Refusal> {
    if virtual_size.is_multiple_of(512) && i64::try_from(virtual_size).is_ok() {
        Ok(virtual_size)
    } else {
        Err(Refusal::damaged(format!("its disk of {virtual_size} bytes is not a number of sectors")))
    }
}

/// Where in the first cluster the backing file's name is.
fn backing_name(bytes: &[u8]) -> Result<Option<Range<usize>>, Refusal> {
    let (offset, len) = (be64(bytes, 8), be32(bytes, 16));
    if offset == 0 {
        return Ok(None);
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
    if len > LONGEST_BACKING_NAME || end > bytes.len() {
        return Err(Refusal::damaged("its backing file's name lies outside the first cluster"));
    }
    Ok(Some(start..end))
}

fn luks_area(crypt_method: u32, area: Option<Range<u64>>) -> Result<Option<Range<u64>>, Refusal> {
    match (crypt_method, area) {
        (0, _) => Ok(None),
        (2, Some(area)) => Ok(Some(area)),
        (2, None) => Err(Refusal::damaged("it is encrypted with LUKS, but does not say where the LUKS header is")),
        (1, _) => Err(Refusal::Unsupported(
            "QEMU's old AES encryption, which is broken; decrypt it with `qemu-img convert`".to_owned(),
        )),
        (method, _) => Err(Refusal::Unsupported(format!("encryption method {method}"))),
    }
}

fn l1_entries(bytes: &[u8], cluster: ClusterSize) -> Result<u64, Refusal> {
    let entries = u64::from(be32(bytes, 36));
    let needed = be64(bytes, 24).div_ceil(cluster.l2_span());
    if entries < needed || entries * 8 > MAX_L1_BYTES {
        return Err(Refusal::damaged(format!("its L1 table has {entries} entries where {needed} are needed")));
    }
    Ok(entries)
}

/// The most entries that QEMU reads.
pub(crate) const fn max_l1_entries() -> u64 {
    MAX_L1_BYTES / 8
}

fn refcount_table(bytes: &[u8], cluster: ClusterSize) -> Result<Range<u64>, Refusal> {
    let (start, len) = (be64(bytes, 48), u64::from(be32(bytes, 56)) * cluster.bytes());
    if len == 0 || len > MAX_REFCOUNT_TABLE_BYTES {
        return Err(Refusal::damaged(format!("its refcount table has {len} bytes")));
    }
    let end = start.checked_add(len).ok_or_else(|| Refusal::damaged("its refcount table ends beyond all offsets"))?;
    Ok(start..end)
}

fn compression(said: bool, kind: u8) -> Result<Compression, Refusal> {
    match (said, kind) {
        (_, 0) => Ok(Compression::Deflate),
        (true, 1) => Ok(Compression::Zstd),
        (true, kind) => Err(Refusal::Unsupported(format!("compression {kind}"))),
        (false, kind) => Err(Refusal::damaged(format!("its header says compression {kind}, its features do not"))),
    }
}
