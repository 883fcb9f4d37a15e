//! The table of internal snapshots: each has an L1 table of its own.

use std::ops::Range;

use super::{
    Refusal, be32, be64,
    header::{Header, MAX_L1_BYTES},
};
use crate::{ImageError, Storage};

/// QEMU's own bound.
const MOST: u32 = 65_536;
/// Extra data of one entry: QEMU's own bound.
const MOST_EXTRA_BYTES: u32 = 1024;
/// Smaller than QEMU's, which bounds each entry and their number: a table of this size is held in memory.
const MOST_BYTES: u64 = 16 << 20;
/// An entry's bytes before its extra data, ID and name.
const FIXED_BYTES: u64 = 40;

/// All internal snapshots, and where they are listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotTable {
    /// In bytes of the file; empty if there is no snapshot.
    pub(crate) place: Range<u64>,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// What matters of one snapshot: the rest is carried along unread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Where its entry begins, in bytes from the table's start. It begins with the L1 table's offset.
    pub(crate) at: u64,
    pub(crate) l1_offset: u64,
    pub(crate) l1_entries: u64,
}

/// Reads the table that `header` names; all of it must lie in the file.
pub(crate) fn read(storage: &dyn Storage, header: &Header, file_len: u64) -> Result<SnapshotTable, ImageError> {
    let refused = |refusal: Refusal| refusal.of(storage.name());
    if header.snapshots == 0 {
        return Ok(SnapshotTable::default());
    }
    let start = header.snapshots_offset;
    if header.snapshots > MOST || !header.cluster.is_aligned(start) || start >= file_len {
        return Err(refused(Refusal::damaged("its snapshot table does not lie in the file at a cluster")));
    }
    let mut snapshots = Vec::new();
    let mut at = 0;
    for _ in 0..header.snapshots {
        let (snapshot, len) = read_entry(storage, start, at, file_len)?;
        snapshots.push(snapshot);
        at += len;
    }
    Ok(SnapshotTable { place: start..start + at, snapshots })
}

/// One entry and how many bytes it takes.
fn read_entry(storage: &dyn Storage, start: u64, at: u64, file_len: u64) -> Result<(Snapshot, u64), ImageError> {
    let refused = |what: &str| Refusal::damaged(what).of(storage.name());
    let fits = |len: u64| start + at + len <= file_len;
    if !fits(FIXED_BYTES) || at > MOST_BYTES {
        return Err(refused("its snapshot table ends beyond the file's end, or is too long"));
    }
    let mut bytes = [0; 40];
    storage.read(start + at, &mut bytes)?;
    let (id, name, extra) = (be32(&bytes, 12) >> 16, be32(&bytes, 12) & 0xffff, be32(&bytes, 36));
    let len = (FIXED_BYTES + u64::from(extra) + u64::from(id) + u64::from(name)).next_multiple_of(8);
    // The padding of the last entry may be missing.
    if extra > MOST_EXTRA_BYTES || !fits(len - 7) {
        return Err(refused("an entry of its snapshot table is longer than its place"));
    }
    let snapshot = Snapshot { at, l1_offset: be64(&bytes, 0), l1_entries: u64::from(be32(&bytes, 8)) };
    if snapshot.l1_entries * 8 > MAX_L1_BYTES {
        return Err(refused("the L1 table of a snapshot is too long"));
    }
    Ok((snapshot, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Memory;

    #[test]
    fn entries_follow_each_other_with_their_extra_data_and_names() {
        let table = [entry(0x5_0000, 3, 16, "1", "before"), entry(0x6_0000, 4, 24, "22", "after the update")];
        let image = image(&table.concat());
        let read = read_from(&image, 2).expect("well made");
        let places: Vec<_> = read.snapshots.iter().map(|one| (one.at, one.l1_offset, one.l1_entries)).collect();
        assert_eq!(places, [(0, 0x5_0000, 3), (table[0].len() as u64, 0x6_0000, 4)]);
        assert_eq!(read.place, 0x1_0000..0x1_0000 + table.concat().len() as u64);
    }

    #[test]
    fn a_table_that_claims_too_much_is_refused() {
        let one = entry(0x5_0000, 3, 16, "1", "name");
        let damaged = |bytes: &[u8], count| matches!(read_from(&image(bytes), count), Err(ImageError::Damaged { .. }));
        assert!(damaged(&one, 2), "more entries than bytes");
        assert!(damaged(&one, u32::MAX), "more than QEMU has");
        assert!(damaged(&entry(0x5_0000, 3, 1025, "1", "name"), 1), "extra data");
        assert!(damaged(&entry(0x5_0000, 5 << 20, 16, "1", "name"), 1), "L1 table");
        assert!(damaged(&one[..48], 1), "cut");
    }

    fn entry(l1_offset: u64, l1_entries: u32, extra: u32, id: &str, name: &str) -> Vec<u8> {
        let mut bytes = [l1_offset.to_be_bytes().as_slice(), &l1_entries.to_be_bytes()].concat();
        bytes.extend_from_slice(&u16::try_from(id.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(name.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&[0; 20]);
        bytes.extend_from_slice(&extra.to_be_bytes());
        bytes.resize(bytes.len() + extra as usize, 7);
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn image(table: &[u8]) -> Memory {
        Memory::from_bytes([vec![0; 0x1_0000], table.to_vec()].concat())
    }

    fn read_from(image: &Memory, count: u32) -> Result<SnapshotTable, ImageError> {
        let mut header = vec![0; 104];
        header[..4].copy_from_slice(b"QFI\xfb");
        for (at, value) in [(4, 3), (20, 16), (56, 1), (60, count), (64, 0), (68, 0x1_0000), (96, 4), (100, 104)] {
            header[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
        }
        let file_len = Storage::len(image).expect("in memory");
        read(image, &Header::parse(&header).expect("a header"), file_len)
    }
}
