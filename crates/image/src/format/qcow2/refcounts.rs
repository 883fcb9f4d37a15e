//! Reference counts: how often each cluster of the file is used.

use std::ops::Range;

use super::header::ClusterSize;
use crate::{ImageError, Storage};

/// Ours have 16 bits, QEMU's default.
pub(crate) const ORDER: u32 = 4;
const BYTES_EACH: u64 = 2;

/// Writes refcounts of one for the first `used` clusters of the file and for those that the refcounts themselves take,
/// behind them. Returns where the refcount table is; it ends the file.
pub(crate) fn write(storage: &dyn Storage, cluster: ClusterSize, used: u64) -> Result<Range<u64>, ImageError> {
    let (blocks, table) = clusters_for(cluster, used);
    let total = used + blocks + table;
    for block in 0..blocks {
        storage.write((used + block) * cluster.bytes(), &block_of_ones(cluster, block, total))?;
    }
    let mut entries = vec![0; usize::try_from(table * cluster.bytes()).expect("a bounded table")];
    for (block, entry) in (0..blocks).zip(entries.chunks_exact_mut(8)) {
        entry.copy_from_slice(&((used + block) * cluster.bytes()).to_be_bytes());
    }
    let start = (used + blocks) * cluster.bytes();
    storage.write(start, &entries)?;
    Ok(start..start + table * cluster.bytes())
}

/// Clusters for the blocks and for the table that count `used` clusters and themselves.
pub(crate) fn clusters_for(cluster: ClusterSize, used: u64) -> (u64, u64) {
    let (mut blocks, mut table) = (0, 0);
    loop {
        let needed = (used + blocks + table).div_ceil(cluster.bytes() / BYTES_EACH);
        if needed == blocks {
            return (blocks, table);
        }
        (blocks, table) = (needed, cluster.count(needed * 8));
    }
}

fn block_of_ones(cluster: ClusterSize, block: u64, total: u64) -> Vec<u8> {
    let per_block = cluster.bytes() / BYTES_EACH;
    let ones = (total - block * per_block).min(per_block);
    let mut bytes = [0, 1].repeat(usize::try_from(ones).expect("at most a cluster"));
    bytes.resize(cluster.len(), 0);
    bytes
}

/// How many clusters a block counts if its refcounts have `1 << order` bits.
pub(crate) fn per_block(cluster: ClusterSize, order: u32) -> u64 {
    (cluster.bytes() * 8) >> order
}

/// Reads the refcount at `index` of a block whose refcounts have `1 << order` bits.
pub(crate) fn read(block: &[u8], order: u32, index: usize) -> u64 {
    let bits = 1_usize << order;
    if bits < 8 {
        let byte = block[index * bits / 8];
        let shift = index * bits % 8;
        return u64::from(byte >> shift) & ((1 << bits) - 1);
    }
    let bytes = &block[index * bits / 8..(index + 1) * bits / 8];
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Sets the refcount at `index` of a block whose refcounts have `1 << order` bits; `count` fits them.
pub(crate) fn set(block: &mut [u8], order: u32, index: usize, count: u64) {
    let bits = 1_usize << order;
    if bits < 8 {
        let shift = index * bits % 8;
        let [.., low] = count.to_be_bytes();
        let byte = &mut block[index * bits / 8];
        let mask = u8::MAX >> (8 - bits);
        *byte = *byte & !(mask << shift) | (low & mask) << shift;
    } else {
        block[index * bits / 8..(index + 1) * bits / 8].copy_from_slice(&count.to_be_bytes()[8 - bits / 8..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Memory;

    #[test]
    fn refcounts_of_every_width_are_read() {
        let block = [0b1101_0010, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        assert_eq!([0, 1, 4, 7].map(|at| read(&block, 0, at)), [0, 1, 1, 1]);
        assert_eq!([0, 1, 2, 3].map(|at| read(&block, 1, at)), [2, 0, 1, 3]);
        assert_eq!([0, 1, 2].map(|at| read(&block, 2, at)), [2, 13, 4]);
        assert_eq!(read(&block, 3, 1), 0x34);
        assert_eq!(read(&block, 4, 1), 0x5678);
        assert_eq!(read(&block, 5, 1), 0x9abc_def0);
        assert_eq!(read(&block, 6, 0), 0xd234_5678_9abc_def0);
    }

    #[test]
    fn refcounts_of_every_width_are_set_and_leave_their_neighbours() {
        for order in 0..=6 {
            let mut block = [0; 128];
            let most = u64::MAX >> (64 - (1_u32 << order));
            (0..8).for_each(|at| set(&mut block, order, at, most));
            set(&mut block, order, 3, 0);
            set(&mut block, order, 5, 1);
            let counts: Vec<u64> = (0..9).map(|at| read(&block, order, at)).collect();
            assert_eq!(counts, [most, most, most, 0, most, 1, most, most, 0]);
        }
    }

    #[test]
    fn what_is_written_counts_itself() {
        let cluster = ClusterSize::from_bytes(512).expect("a cluster size");
        for used in [1, 253, 254, 255, 256, 16_000, 70_000] {
            let image = Memory::new();
            let table = write(&image, cluster, used).expect("in memory");
            let (bytes, total) = (image.to_bytes(), table.end / 512);
            let block_offsets = bytes[usize::try_from(table.start).expect("small")..].chunks_exact(8);
            let counts =
                block_offsets.map(|entry| u64::from_be_bytes(entry.try_into().expect("eight"))).flat_map(|at| {
                    let at = usize::try_from(at).expect("small");
                    // Where there is no block, nothing is counted.
                    (0..256)
                        .map(|index| if at == 0 { 0 } else { read(&bytes[at..at + 512], ORDER, index) })
                        .collect::<Vec<_>>()
                });
            assert_eq!(counts.sum::<u64>(), total, "{used}");
        }
    }
}
