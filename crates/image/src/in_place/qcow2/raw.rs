//! A raw disk that becomes qcow2 with LUKS: every cluster stays at its offset but the first, whose place the header takes.
//!
//! ```text
//! header │ the raw disk from 64 KiB on │ its first 64 KiB │ LUKS area │ L1 table │ L2 tables │ refcount table │ refcount blocks
//! ```
//!
//! L2 tables and refcount blocks have a place each, whether or not there is anything for them to say; those that say nothing are
//! not written, and their places are holes that nothing refers to.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use cadenas_luks::{SECTOR_BYTES, SectorCipher, VolumeKey};

use super::{
    MOST_LUKS_BYTES,
    clusters::{ClusterMap, MOST_CLUSTERS},
    header_of, map_data, unfit,
};
use crate::{
    Format, ImageError, ImageInfo, NewKey, Progress, Storage, Tuning,
    format::{
        luks::describe,
        qcow2::{
            Entry, Refusal,
            header::{ClusterSize, Compression, Header, max_l1_entries},
            refcounts,
            survey::Survey,
        },
    },
    in_place::{
        ExtraSpace, flat, is_between,
        kinds::{Operation, Plan, Rewrite},
        layout::{Fronts, Layout, Run},
        marker,
        records::Direction,
        volume::{self, VolumeKeys},
    },
    inspect::raw_virtual_size,
};

/// Stands behind all tables while these are whole and the image is between. Without it, all data is still, or again, in its old
/// form: it is broken before the file is cut, when nothing is new any more, and written before anything becomes new.
const SEAL: [u8; 16] = *b"Cadenas: staged\n";
const SEAL_BYTES: u64 = 16;

const CLUSTER: ClusterSize = ClusterSize::DEFAULT;

/// Encrypts a raw disk into qcow2.
pub(in crate::in_place) fn plan(disk: &dyn Storage, key: &NewKey<'_>) -> Result<(Plan, VolumeKeys), ImageError> {
    let old_len = disk.size()?;
    flat::refuse_empty(disk, old_len)?;
    let (key, area) = volume::fresh(key, cadenas_luks::Layout::InQcow2);
    let place = Places::new(disk, old_len, super::bytes_len(&area))?;
    let mut old = disk.read_vec(0, CLUSTER.len().min(usize::try_from(old_len).unwrap_or(usize::MAX)))?;
    old.resize(CLUSTER.len(), 0);
    let mut new = place.header().to_bytes();
    new.resize(CLUSTER.len(), 0);
    let plan = Plan {
        operation: Operation::Encrypt,
        old_format: Format::Raw,
        new_format: Format::Qcow2,
        old_len,
        fronts: Fronts { old, new },
        old_luks: Vec::new(),
        new_luks: area,
        extra: Vec::new(),
    };
    Ok((plan, VolumeKeys { old: None, new: Some(key) }))
}

/// The layout of such a plan.
pub(in crate::in_place) fn layout<'a>(
    disk: &'a dyn Storage,
    plan: &Plan,
    keys: &VolumeKeys,
) -> Result<Rewrite<'a>, ImageError> {
    let places = Places::new(disk, plan.old_len, super::bytes_len(&plan.new_luks))?;
    let key = keys.new.clone().ok_or_else(|| unfit(disk))?;
    if places.header() != header_of(disk, &plan.fronts.new)? {
        return Err(unfit(disk));
    }
    let new_info = ImageInfo {
        cluster_size: Some(CLUSTER.bytes()),
        encryption: Some(describe(&volume::header(&plan.new_luks, disk)?)),
        ..crate::inspect::flat(Format::Qcow2, places.virtual_size)
    };
    let data = places.find_data(disk, &plan.fronts)?;
    let (front, luks) = (plan.fronts.old.clone(), plan.new_luks.clone());
    Ok(Rewrite { layout: Box::new(RawToQcow2 { disk, places, data, front, luks, key }), new_info })
}

/// What such a rewrite needs: tables, and the holes in clusters that hold anything.
pub(in crate::in_place) fn space(disk: &dyn Storage) -> Result<ExtraSpace, ImageError> {
    let old_len = disk.size()?;
    flat::refuse_empty(disk, old_len)?;
    let places = Places::new(disk, old_len, MOST_LUKS_BYTES)?;
    let data = places.stored_clusters(disk)?;
    let tables = (0..places.l2_tables()).filter(|table| Places::has_l2_table(&data, *table)).count();
    let blocks = (0..places.refcount_blocks()).filter(|block| places.has_block(&data, *block)).count();
    let others = places.l2_at - places.front_copy + places.blocks_at - places.table_at;
    let clusters = u64::try_from(tables + blocks).expect("bounded").saturating_add(others);
    let mut grown = clusters * CLUSTER.bytes();
    for run in data.runs(0..data.end()) {
        grown = grown.saturating_add(flat::holes(disk, run.old_at, run.old_at + run.len)?);
    }
    Ok(ExtraSpace { during: grown, after: grown })
}

/// A raw disk that becomes qcow2.
struct RawToQcow2<'a> {
    disk: &'a dyn Storage,
    places: Places,
    /// The clusters that are rewritten where they lie: all that hold data but the first.
    data: ClusterMap,
    /// The raw disk's first cluster.
    front: Vec<u8>,
    luks: Vec<u8>,
    key: Arc<VolumeKey>,
}

/// Which cluster of the file is what. Follows from the old length alone.
struct Places {
    virtual_size: u64,
    /// The first behind the raw disk.
    front_copy: u64,
    luks_at: u64,
    luks_len: u64,
    l1_at: u64,
    l2_at: u64,
    table_at: u64,
    blocks_at: u64,
    end: u64,
}

impl Layout for RawToQcow2<'_> {
    fn shift(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.data.end()
    }

    fn total_bytes(&self) -> u64 {
        self.data.total_bytes()
    }

    fn zone_from(&self, from: u64, most: u64) -> u64 {
        self.data.zone_from(from, most)
    }

    fn zone_to(&self, to: u64, most: u64) -> u64 {
        self.data.zone_to(to, most)
    }

    fn runs(&self, positions: Range<u64>) -> Vec<Run> {
        self.data.runs(positions)
    }

    fn front_data(&self, direction: Direction) -> Option<Run> {
        let new_at = offset(self.places.front_copy);
        let copy = Run { old_at: 0, old_sector: 0, new_at, new_sector: new_at / SECTOR_BYTES, len: CLUSTER.bytes() };
        (direction == Direction::Back).then_some(copy)
    }

    /// QEMU gives a cluster that it adds any place that is free. In the raw disk each has its own.
    fn is_unused(&self, direction: Direction) -> Result<bool, ImageError> {
        match direction {
            Direction::Forward => Ok(true),
            Direction::Back => Ok(self.places.has_seal(self.disk)? && self.has_mapping()?),
        }
    }

    fn staged_len(&self) -> RangeInclusive<u64> {
        let end = offset(self.places.end);
        end..=end + SEAL_BYTES
    }

    fn stage(&self, _tuning: &Tuning, _progress: &dyn Progress) -> Result<(), ImageError> {
        if is_between(self.disk)? && self.places.has_seal(self.disk)? {
            return self.seal();
        }
        self.break_seal()?;
        let end = offset(self.places.end);
        if self.disk.size()? < end {
            self.disk.resize(end)?;
            self.disk.flush()?;
        }
        let at = offset(self.places.front_copy);
        let mut first = self.front.clone();
        SectorCipher::new(&self.key).encrypt(at / SECTOR_BYTES, &mut first);
        self.disk.write(at, &first)?;
        self.disk.write(offset(self.places.luks_at), &self.luks)?;
        self.write_mapping()?;
        self.write_refcounts()?;
        self.disk.flush()?;
        self.seal()
    }

    /// Clusters that hold anything are ciphertext as a whole, the others are holes: nothing is left to wipe. The seal stays: it
    /// is needed on the way back from the finished image, and to qcow2 it is free room.
    fn clean_new(&self) -> Result<(), ImageError> {
        Ok(())
    }

    /// All that was staged lies behind the old end, where the file is cut: from now on the tables may be gone.
    fn clean_old(&self) -> Result<(), ImageError> {
        self.break_seal()
    }
}

impl RawToQcow2<'_> {
    fn seal(&self) -> Result<(), ImageError> {
        self.disk.write(offset(self.places.end), &SEAL)?;
        self.disk.flush()
    }

    fn break_seal(&self) -> Result<(), ImageError> {
        if self.disk.size()? >= offset(self.places.end) + SEAL_BYTES {
            self.disk.write(offset(self.places.end), &[0; SEAL.len()])?;
            self.disk.flush()?;
        }
        Ok(())
    }

    fn write_mapping(&self) -> Result<(), ImageError> {
        for (table, at) in self.l2_tables() {
            self.disk.write(at, &self.l2_table(table))?;
        }
        self.disk.write(offset(self.places.l1_at), &self.l1_table())
    }

    /// Whether the tables are those that map each cluster to its place in the raw disk.
    fn has_mapping(&self) -> Result<bool, ImageError> {
        let l1 = self.l1_table();
        if self.disk.read_vec(offset(self.places.l1_at), l1.len())? != l1 {
            return Ok(false);
        }
        for (table, at) in self.l2_tables() {
            if self.disk.read_vec(at, CLUSTER.len())? != self.l2_table(table) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The number of each L2 table that there is, and where it lies.
    fn l2_tables(&self) -> impl Iterator<Item = (u64, u64)> {
        let numbers = (0..self.places.l2_tables()).filter(|table| Places::has_l2_table(&self.data, *table));
        numbers.map(|table| (table, offset(self.places.l2_at + table)))
    }

    fn l1_table(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.places.l2_tables() * 8).expect("bounded by the format")];
        let (entries, _) = bytes.as_chunks_mut();
        for (table, at) in self.l2_tables() {
            entries[usize::try_from(table).expect("bounded by the format")] = Entry::of_own_cluster(at).to_be_bytes();
        }
        bytes
    }

    fn l2_table(&self, table: u64) -> Vec<u8> {
        let first = table * CLUSTER.entries();
        let entry = |cluster: u64| match cluster {
            0 => Entry::of_own_cluster(offset(self.places.front_copy)),
            _ if self.data.contains(cluster) => Entry::of_own_cluster(offset(cluster)),
            _ => 0,
        };
        (first..first + CLUSTER.entries()).flat_map(|cluster| entry(cluster).to_be_bytes()).collect()
    }

    fn write_refcounts(&self) -> Result<(), ImageError> {
        let mut table = Vec::new();
        for block in 0..self.places.refcount_blocks() {
            let at = offset(self.places.blocks_at + block);
            let exists = self.places.has_block(&self.data, block);
            if exists {
                self.disk.write(at, &self.refcount_block(block))?;
            }
            table.extend_from_slice(&(if exists { at } else { 0 }).to_be_bytes());
        }
        self.disk.write(offset(self.places.table_at), &table)
    }

    fn refcount_block(&self, block: u64) -> Vec<u8> {
        let mut bytes = vec![0; CLUSTER.len()];
        let first = block * per_block();
        for (index, cluster) in (first..self.places.end.min(first + per_block())).enumerate() {
            refcounts::set(&mut bytes, refcounts::ORDER, index, u64::from(self.places.is_used(&self.data, cluster)));
        }
        bytes
    }
}

impl Places {
    fn new(disk: &dyn Storage, old_len: u64, luks_len: u64) -> Result<Self, ImageError> {
        let virtual_size = raw_virtual_size(old_len);
        let l2_tables = virtual_size.div_ceil(CLUSTER.l2_span());
        let front_copy = CLUSTER.count(virtual_size);
        let luks_at = front_copy + 1;
        let l1_at = luks_at + CLUSTER.count(luks_len);
        let l2_at = l1_at + CLUSTER.count(l2_tables * 8);
        let table_at = l2_at + l2_tables;
        let (mut blocks, mut table) = (0, 0);
        loop {
            let needed = (table_at + table + blocks).div_ceil(per_block());
            if needed == blocks {
                break;
            }
            (blocks, table) = (needed, CLUSTER.count(needed * 8));
        }
        let blocks_at = table_at + table;
        let end = blocks_at + blocks;
        if end > MOST_CLUSTERS || l2_tables > max_l1_entries() {
            let feature = format!("more than {MOST_CLUSTERS} clusters of 64 KiB; make a copy");
            return Err(Refusal::Unsupported(feature).of(disk.name()));
        }
        Ok(Self { virtual_size, front_copy, luks_at, luks_len, l1_at, l2_at, table_at, blocks_at, end })
    }

    fn header(&self) -> Header {
        let luks_at = offset(self.luks_at);
        Header {
            version: 3,
            cluster: CLUSTER,
            virtual_size: self.virtual_size,
            luks_area: Some(luks_at..luks_at + self.luks_len),
            backing_file: None,
            backing_format: None,
            data_file: None,
            l1_offset: offset(self.l1_at),
            l1_entries: self.l2_tables(),
            refcount_table: offset(self.table_at)..offset(self.blocks_at),
            refcount_order: refcounts::ORDER,
            snapshots: 0,
            snapshots_offset: 0,
            bitmaps: None,
            compression: Compression::Deflate,
        }
    }

    fn l2_tables(&self) -> u64 {
        self.table_at - self.l2_at
    }

    fn refcount_blocks(&self) -> u64 {
        self.end - self.blocks_at
    }

    /// The first maps the first cluster, which is always stored.
    fn has_l2_table(data: &ClusterMap, table: u64) -> bool {
        table == 0 || data.has_any(table * CLUSTER.entries()..(table + 1) * CLUSTER.entries())
    }

    /// The first counts the header; those of what lies behind the raw disk are always there.
    fn has_block(&self, data: &ClusterMap, block: u64) -> bool {
        let counted = block * per_block()..(block + 1) * per_block();
        block == 0 || counted.end > self.front_copy || data.has_any(counted)
    }

    fn is_used(&self, data: &ClusterMap, cluster: u64) -> bool {
        match cluster {
            0 => true,
            _ if cluster < self.front_copy => data.contains(cluster),
            _ if (self.l2_at..self.table_at).contains(&cluster) => Self::has_l2_table(data, cluster - self.l2_at),
            _ if cluster >= self.blocks_at => self.has_block(data, cluster - self.blocks_at),
            _ => true,
        }
    }

    /// The clusters that hold data: as the medium says or, once these are written, as the tables say. The medium may answer
    /// differently later.
    fn find_data(&self, disk: &dyn Storage, fronts: &Fronts) -> Result<ClusterMap, ImageError> {
        let is_new = disk.size()? >= offset(self.end) && fronts.new.starts_with(&disk.read_vec(0, marker::BYTES)?);
        if is_new || is_between(disk)? && self.has_seal(disk)? {
            map_data(&Survey::of(disk, self.header())?, self.front_copy)
        } else {
            self.stored_clusters(disk)
        }
    }

    fn has_seal(&self, disk: &dyn Storage) -> Result<bool, ImageError> {
        let at = offset(self.end);
        Ok(disk.size()? >= at + SEAL_BYTES && disk.read_vec(at, SEAL.len())? == SEAL)
    }

    fn stored_clusters(&self, disk: &dyn Storage) -> Result<ClusterMap, ImageError> {
        let mut map = ClusterMap::new(CLUSTER, self.front_copy);
        let (mut at, end) = (CLUSTER.bytes(), offset(self.front_copy));
        while at < end
            && let Some(data) = disk.data_after(at)?.filter(|data| data.start < end && data.end > at)
        {
            (data.start / CLUSTER.bytes()..CLUSTER.count(data.end)).for_each(|cluster| map.insert(cluster));
            at = data.end;
        }
        Ok(map)
    }
}

fn per_block() -> u64 {
    refcounts::per_block(CLUSTER, refcounts::ORDER)
}

fn offset(cluster: u64) -> u64 {
    cluster * CLUSTER.bytes()
}
