//! Entries of L1 and L2 tables.
//!
//! An L2 entry has eight bytes, which say where a cluster is; an extended one has eight more, a bitmap of the 32 subclusters.

use std::ops::Range;

use super::{Refusal, header::ClusterSize};

const COPIED: u64 = 1 << 63;
const PACKED: u64 = 1 << 62;
const ZERO: u64 = 1;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// An L2 entry as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct L2Entry {
    /// Where the cluster is, with flags.
    pub(crate) descriptor: u64,
    /// What each subcluster is; 0 where entries are not extended.
    pub(crate) bitmap: u64,
}

/// Where a guest cluster is, as an L2 entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nowhere: as the backing file has it, or zeros.
    Absent,
    /// Zeros; the cluster at this offset is kept for it.
    Zero(Option<u64>),
    /// At this offset of the file.
    Host(u64),
    /// Compressed, in this range of the file.
    Packed(Range<u64>),
    /// Each subcluster is something else.
    Split(Split),
}

/// A cluster of which each subcluster is by itself allocated, zeros or absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// The cluster's place in the file; needed only for what is allocated.
    host: Option<u64>,
    /// A bit for each subcluster that is in the file, the first one's lowest.
    allocated: u32,
    /// A bit for each subcluster that is zeros.
    zeros: u32,
}

impl L2Entry {
    /// Whether it says that its cluster is used once.
    pub(crate) fn is_copied(self) -> bool {
        is_copied(self.descriptor)
    }
}

impl Entry {
    pub(crate) fn parse(entry: L2Entry, cluster: ClusterSize, version: u32) -> Result<Self, Refusal> {
        if cluster.has_subclusters() {
            return Self::parse_extended(entry, cluster);
        }
        let entry = entry.descriptor;
        if entry & PACKED != 0 {
            return Ok(Self::Packed(packed_range(entry, cluster)));
        }
        if entry & !(COPIED | OFFSET | ZERO) != 0 {
            return Err(Refusal::damaged(format!("the L2 entry {entry:#018x} uses reserved bits")));
        }
        let offset = aligned(entry & OFFSET, cluster, "L2")?;
        match (entry & ZERO != 0, offset) {
            (true, _) if version < 3 => Err(Refusal::damaged("it has zero clusters, which version 2 does not know")),
            (true, offset) => Ok(Self::Zero(offset)),
            (false, None) if entry & COPIED != 0 => Err(Refusal::damaged("an L2 entry places data in the header")),
            (false, None) => Ok(Self::Absent),
            (false, Some(offset)) => Ok(Self::Host(offset)),
        }
    }

    fn parse_extended(entry: L2Entry, cluster: ClusterSize) -> Result<Self, Refusal> {
        let L2Entry { descriptor, bitmap } = entry;
        if descriptor & PACKED != 0 {
            return match bitmap {
                0 => Ok(Self::Packed(packed_range(descriptor, cluster))),
                _ => Err(Refusal::damaged("a compressed cluster has subclusters")),
            };
        }
        if descriptor & !(COPIED | OFFSET) != 0 {
            return Err(Refusal::damaged(format!("the extended L2 entry {descriptor:#018x} uses reserved bits")));
        }
        let host = aligned(descriptor & OFFSET, cluster, "L2")?;
        let (allocated, zeros) = (low_half(bitmap), low_half(bitmap >> 32));
        if allocated & zeros != 0 {
            return Err(Refusal::damaged("a subcluster is both allocated and zeros"));
        }
        match host {
            None if allocated != 0 || descriptor & COPIED != 0 => {
                Err(Refusal::damaged("an extended L2 entry places data in the header"))
            }
            Some(host) if allocated == u32::MAX => Ok(Self::Host(host)),
            _ if zeros == u32::MAX => Ok(Self::Zero(host)),
            None if zeros == 0 => Ok(Self::Absent),
            _ => Ok(Self::Split(Split { host, allocated, zeros })),
        }
    }

    /// Where in the file it keeps a cluster, whether or not its bytes count; a compressed one may begin anywhere.
    pub(crate) fn place(&self, cluster: ClusterSize) -> Option<Range<u64>> {
        let whole = |start: u64| start..start + cluster.bytes();
        match self {
            Self::Absent => None,
            Self::Zero(host) | Self::Split(Split { host, .. }) => host.map(whole),
            Self::Host(host) => Some(whole(*host)),
            Self::Packed(range) => Some(range.clone()),
        }
    }

    /// Where its cluster is if, uncompressed, it holds data, be it only some of its subclusters.
    pub(crate) fn stored_at(&self) -> Option<u64> {
        match self {
            Self::Host(host) => Some(*host),
            Self::Split(split) if split.is_stored() => split.host,
            Self::Absent | Self::Zero(_) | Self::Packed(_) | Self::Split(_) => None,
        }
    }

    /// The entry of a cluster that is used once.
    pub(crate) fn of_own_cluster(offset: u64) -> u64 {
        COPIED | offset
    }
}

/// What a subcluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// As the backing file has it, or zeros.
    Absent,
    Zero,
    /// At this offset of the file.
    Host(u64),
}

impl Split {
    /// Subclusters of a cluster.
    pub(crate) const PARTS: u32 = 32;

    /// Whether something of it is in the file.
    pub(crate) fn is_stored(&self) -> bool {
        self.allocated != 0
    }

    /// What the subcluster of this number is.
    pub(crate) fn part(&self, number: u32, cluster: ClusterSize) -> Part {
        let is_set = |bits: u32| bits >> number & 1 == 1;
        match self.host {
            Some(host) if is_set(self.allocated) => Part::Host(host + u64::from(number) * cluster.subcluster_bytes()),
            _ if is_set(self.zeros) => Part::Zero,
            _ => Part::Absent,
        }
    }
}

fn low_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("masked")
}

/// Where an L1 entry says that the L2 table is.
pub(crate) fn table_offset(entry: u64, cluster: ClusterSize) -> Result<Option<u64>, Refusal> {
    if entry & !(COPIED | OFFSET) != 0 {
        return Err(Refusal::damaged(format!("the L1 entry {entry:#018x} uses reserved bits")));
    }
    aligned(entry & OFFSET, cluster, "L1")
}

/// Whether an entry says that its cluster is used once.
pub(crate) fn is_copied(entry: u64) -> bool {
    entry & COPIED != 0
}

fn aligned(offset: u64, cluster: ClusterSize, table: &str) -> Result<Option<u64>, Refusal> {
    if !cluster.is_aligned(offset) {
        return Err(Refusal::damaged(format!("an {table} entry points to offset {offset:#x}, which is no cluster")));
    }
    Ok((offset != 0).then_some(offset))
}

/// Compressed clusters begin at any byte and take a number of sectors, of which the first may be a part.
fn packed_range(entry: u64, cluster: ClusterSize) -> Range<u64> {
    let size_shift = 62 - (cluster.bits() - 8);
    let start = entry & ((1 << size_shift) - 1);
    let more_sectors = (entry & (PACKED - 1)) >> size_shift;
    start..start / 512 * 512 + (more_sectors + 1) * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_is_told() {
        let cluster = ClusterSize::from_bits(16).expect("in range");
        let parse = |descriptor| Entry::parse(L2Entry { descriptor, bitmap: 0 }, cluster, 3);
        assert_eq!(parse(0), Ok(Entry::Absent));
        assert_eq!(parse(1), Ok(Entry::Zero(None)));
        assert_eq!(parse(COPIED | 0x5_0001), Ok(Entry::Zero(Some(0x5_0000))));
        assert_eq!(parse(Entry::of_own_cluster(0x5_0000)), Ok(Entry::Host(0x5_0000)));
        // The size is in bits 54 to 61: one more sector than the first.
        assert_eq!(parse(PACKED | 1 << 54 | 0x5_0123), Ok(Entry::Packed(0x5_0123..0x5_0400)));
    }

    #[test]
    fn what_the_format_forbids_is_refused() {
        let cluster = ClusterSize::from_bits(16).expect("in range");
        let parse = |descriptor, version| Entry::parse(L2Entry { descriptor, bitmap: 0 }, cluster, version);
        assert!(parse(0x5_0200, 3).is_err(), "not aligned");
        assert!(parse(0x5_0002, 3).is_err(), "reserved bit");
        assert!(parse(0x5_0001, 2).is_err(), "zero cluster in version 2");
        assert!(parse(COPIED, 3).is_err(), "data in the header");
        assert!(table_offset(0x5_0001, cluster).is_err(), "reserved bit");
    }

    #[test]
    fn every_kind_of_extended_entry_is_told() {
        let cluster = extended();
        let parse = |descriptor, bitmap| Entry::parse(L2Entry { descriptor, bitmap }, cluster, 3).expect("allowed");
        assert_eq!(parse(0, 0), Entry::Absent);
        assert_eq!(parse(COPIED | 0x5_0000, 0xffff_ffff), Entry::Host(0x5_0000));
        assert_eq!(parse(0, 0xffff_ffff << 32), Entry::Zero(None));
        assert_eq!(parse(COPIED | 0x5_0000, 0xffff_ffff << 32), Entry::Zero(Some(0x5_0000)));
        assert_eq!(parse(PACKED | 1 << 54 | 0x5_0123, 0), Entry::Packed(0x5_0123..0x5_0400));
        let Entry::Split(split) = parse(COPIED | 0x5_0000, 0b0101 | 0b1000 << 32) else { panic!("mixed") };
        let parts: Vec<Part> = (0..5).map(|number| split.part(number, cluster)).collect();
        let expected = [Part::Host(0x5_0000), Part::Absent, Part::Host(0x5_1000), Part::Zero, Part::Absent];
        assert_eq!(parts, expected);
        let Entry::Split(kept) = parse(COPIED | 0x5_0000, 0) else { panic!("kept for later") };
        assert!(!kept.is_stored() && kept.part(31, cluster) == Part::Absent);
    }

    #[test]
    fn what_the_format_forbids_in_extended_entries_is_refused() {
        let refused = |descriptor, bitmap| Entry::parse(L2Entry { descriptor, bitmap }, extended(), 3).is_err();
        assert!(refused(COPIED | 0x5_0000, 1 | 1 << 32), "allocated and zeros");
        assert!(refused(0, 1), "allocated nowhere");
        assert!(refused(COPIED, 0), "data in the header");
        assert!(refused(COPIED | 0x5_0001, 1), "the flag that subclusters replace");
        assert!(refused(COPIED | 0x5_0200, 1), "not aligned");
        assert!(refused(PACKED | 0x5_0123, 1), "a compressed cluster with subclusters");
    }

    fn extended() -> ClusterSize {
        ClusterSize::from_bits(16).and_then(ClusterSize::with_subclusters).expect("in range")
    }
}
