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
