//! Entries of L1 and L2 tables.

use std::ops::Range;

use super::{Refusal, header::ClusterSize};

const COPIED: u64 = 1 << 63;
const PACKED: u64 = 1 << 62;
const ZERO: u64 = 1;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Where a guest cluster is, as an L2 entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nowhere: zeros.
    Absent,
    /// Zeros; the cluster at this offset is kept for it.
    Zero(Option<u64>),
    /// At this offset of the file.
    Host(u64),
    /// Compressed, in this range of the file.
    Packed(Range<u64>),
}

impl Entry {
    pub(crate) fn parse(entry: u64, cluster: ClusterSize, version: u32) -> Result<Self, Refusal> {
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

    /// The entry of a cluster that is used once.
    pub(crate) fn of_own_cluster(offset: u64) -> u64 {
        COPIED | offset
    }
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
        let parse = |entry| Entry::parse(entry, cluster, 3);
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
        assert!(Entry::parse(0x5_0200, cluster, 3).is_err(), "not aligned");
        assert!(Entry::parse(0x5_0002, cluster, 3).is_err(), "reserved bit");
        assert!(Entry::parse(0x5_0001, cluster, 2).is_err(), "zero cluster in version 2");
        assert!(Entry::parse(COPIED, cluster, 3).is_err(), "data in the header");
        assert!(table_offset(0x5_0001, cluster).is_err(), "reserved bit");
    }
}
