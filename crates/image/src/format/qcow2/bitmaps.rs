//! Persistent bitmaps: which parts of a disk changed since some backup. They are not encrypted.

use std::ops::Range;

use super::{
    Refusal, be32, be64,
    extensions::text,
    header::{ClusterSize, Header},
};
use crate::{ImageError, Storage};

/// Smaller than QEMU's bound, which allows names and extra data of the longest kind for 65,535 bitmaps.
const MOST_DIRECTORY_BYTES: u64 = 8 << 20;
/// QEMU's own bounds.
const MOST: u32 = 65_535;
const LONGEST_NAME: usize = 1023;
/// Clusters of all bitmaps together: at the default cluster size they would be 64 GiB.
const MOST_CLUSTERS: usize = 1 << 20;
/// Bytes of all tables together, each of which is read whole: entries for eight times as many clusters.
const MOST_TABLE_BYTES: u64 = 64 << 20;
/// An entry's bytes before its extra data and name.
const FIXED_BYTES: usize = 24;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Where the bitmaps are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) count: u32,
    /// In bytes of the file.
    pub(crate) place: Range<u64>,
}

/// A bitmap as the directory lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(crate) name: String,
    /// Where the table of its clusters is, in bytes of the file.
    pub(crate) table: Range<u64>,
}

impl Directory {
    /// Parses the bytes of the header extension.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() != 24 {
            return Err(Refusal::damaged(format!("its bitmaps extension has {} bytes instead of 24", body.len())));
        }
        let (count, len, start) = (be32(body, 0), be64(body, 8), be64(body, 16));
        match start.checked_add(len) {
            Some(end) if count <= MOST && len <= MOST_DIRECTORY_BYTES => Ok(Self { count, place: start..end }),
            _ => Err(Refusal::damaged(format!("its list of {count} bitmaps has {len} bytes"))),
        }
    }
}

/// Reads what `header` lists; all tables must lie in the file, at clusters.
pub(crate) fn read(storage: &dyn Storage, header: &Header, file_len: u64) -> Result<Vec<Bitmap>, ImageError> {
    let Some(directory) = &header.bitmaps else { return Ok(Vec::new()) };
    let place = &directory.place;
    if place.end > file_len || !header.cluster.is_aligned(place.start) {
        return Err(Refusal::damaged("its list of bitmaps does not lie in the file at a cluster").of(storage.name()));
    }
    let len = usize::try_from(place.end - place.start).expect("bounded when it was parsed");
    let bytes = storage.read_vec(place.start, len)?;
    parse(&bytes, directory.count, header.cluster, file_len).map_err(|refusal| refusal.of(storage.name()))
}

/// The places of all that the bitmaps take: their list, tables and clusters.
pub(crate) fn places(storage: &dyn Storage, header: &Header, file_len: u64) -> Result<Vec<Range<u64>>, ImageError> {
    let mut places: Vec<Range<u64>> = header.bitmaps.iter().map(|directory| directory.place.clone()).collect();
    for bitmap in read(storage, header, file_len)? {
        add_clusters(storage, header.cluster, &bitmap.table, file_len, &mut places)?;
        places.push(bitmap.table);
    }
    Ok(places)
}

fn parse(mut bytes: &[u8], count: u32, cluster: ClusterSize, file_len: u64) -> Result<Vec<Bitmap>, Refusal> {
    let mut bitmaps = Vec::new();
    let mut table_bytes = 0;
    for _ in 0..count {
        let (bitmap, len) = parse_entry(bytes)?;
        if bitmap.table.end > file_len || !cluster.is_aligned(bitmap.table.start) {
            return Err(Refusal::damaged(format!(
                "the bitmap {:?} does not lie in the file at a cluster",
                bitmap.name
            )));
        }
        table_bytes += bitmap.table.end - bitmap.table.start;
        if table_bytes > MOST_TABLE_BYTES {
            let feature = format!("bitmaps whose tables take more than {MOST_TABLE_BYTES} bytes");
            return Err(Refusal::Unsupported(feature));
        }
        bitmaps.push(bitmap);
        bytes = bytes.get(len..).unwrap_or_default();
    }
    Ok(bitmaps)
}

/// The first entry and how many bytes it takes.
fn parse_entry(bytes: &[u8]) -> Result<(Bitmap, usize), Refusal> {
    let cut = || Refusal::damaged("its list of bitmaps ends inside an entry");
    let fixed = bytes.get(..FIXED_BYTES).ok_or_else(cut)?;
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let (name_len, extra) = (usize::from(u16::from_be_bytes([fixed[18], fixed[19]])), index(be32(fixed, 20)));
    let name_at = FIXED_BYTES.saturating_add(extra);
    let name_end = name_at.saturating_add(name_len);
    let name = bytes.get(name_at..name_end).filter(|_| name_len <= LONGEST_NAME).ok_or_else(cut)?;
    let start = be64(fixed, 0);
    let end = start.checked_add(u64::from(be32(fixed, 8)) * 8).ok_or_else(cut)?;
    Ok((Bitmap { name: text(name), table: start..end }, name_end.next_multiple_of(8)))
}

fn add_clusters(
    storage: &dyn Storage,
    cluster: ClusterSize,
    table: &Range<u64>,
    file_len: u64,
    places: &mut Vec<Range<u64>>,
) -> Result<(), ImageError> {
    const AT_ONCE: usize = 64 << 10;
    for at in table.clone().step_by(AT_ONCE) {
        let len = usize::try_from(table.end - at).unwrap_or(usize::MAX).min(AT_ONCE);
        for entry in storage.read_vec(at, len)?.chunks_exact(8) {
            // Without an offset, the lowest bit says whether all bits are set.
            let start = be64(entry, 0) & OFFSET;
            if start == 0 {
                continue;
            }
            if !cluster.is_aligned(start) || start >= file_len || places.len() >= MOST_CLUSTERS {
                let what = format!("a bitmap has a cluster at {start:#x}, which is none, or has too many");
                return Err(Refusal::damaged(what).of(storage.name()));
            }
            places.push(start..start + cluster.bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_what_does_not_fit_is_refused() {
        let cluster = ClusterSize::from_bits(16).expect("in range");
        let bytes = [entry(0x3_0000, 2, "since monday", 0), entry(0x4_0000, 1, "b", 5)].concat();
        let parse_two = |bytes: &[u8], count| parse(bytes, count, cluster, 0x5_0000);
        let names: Vec<String> =
            parse_two(&bytes, 2).expect("well made").into_iter().map(|bitmap| bitmap.name).collect();
        assert_eq!(names, ["since monday", "b"]);
        assert!(parse_two(&bytes, 3).is_err(), "more than there are");
        assert!(parse_two(&bytes[..30], 1).is_err(), "cut in the name");
        assert!(parse_two(&entry(0x3_0200, 1, "b", 0), 1).is_err(), "at no cluster");
        assert!(parse_two(&entry(0x3_0000, u32::MAX, "b", 0), 1).is_err(), "behind the file's end");
        assert!(parse_two(&entry(u64::MAX - 0xffff, u32::MAX, "b", 0), 1).is_err(), "behind all offsets");
    }

    #[test]
    fn tables_that_are_too_long_together_are_refused_before_one_is_read() {
        let cluster = ClusterSize::from_bits(16).expect("in range");
        // All bitmaps may name one table, and the file may be a hole.
        let list = |count: usize, entries: u32| entry(0x3_0000, entries, "b", 0).repeat(count);
        let parse = |count: u32, entries| parse(&list(count as usize, entries), count, cluster, u64::MAX).map(drop);
        assert!(parse(8, 1 << 20).is_ok());
        for (count, entries) in [(9, 1 << 20), (1, (8 << 20) + 1), (1, u32::MAX), (MOST, u32::MAX)] {
            assert!(matches!(parse(count, entries), Err(Refusal::Unsupported(_))), "{count} of {entries}");
        }
    }

    #[test]
    fn a_list_longer_than_its_bound_is_refused() {
        let body = |count: u32, len: u64| [&count.to_be_bytes()[..], &[0; 4], &len.to_be_bytes(), &[0; 8]].concat();
        assert!(Directory::parse(&body(1, 64)).is_ok());
        assert!(Directory::parse(&body(1, MOST_DIRECTORY_BYTES + 1)).is_err());
        assert!(Directory::parse(&body(MOST + 1, 64)).is_err());
        assert!(Directory::parse(&body(1, 64)[..16]).is_err());
    }

    fn entry(table: u64, entries: u32, name: &str, extra: u8) -> Vec<u8> {
        let mut bytes = [&table.to_be_bytes()[..], &entries.to_be_bytes(), &[0, 0, 0, 0, 1, 16]].concat();
        bytes.extend_from_slice(&u16::try_from(name.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&u32::from(extra).to_be_bytes());
        bytes.resize(bytes.len() + usize::from(extra), 9);
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}
