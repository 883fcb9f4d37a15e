//! What the new image needs beside its data, and where: in fresh clusters behind all that the old image uses.
//!
//! ```text
//! LUKS area │ expanded clusters │ copies of L2 tables │ of L1 tables │ of the snapshot table │ refcount blocks │ refcount table
//! ```
//!
//! Only what is needed is there: without compressed clusters no table is copied but, rarely, the refcount table.

use std::ops::Range;

use super::{clusters::MOST_CLUSTERS, front::Tables};
use crate::{
    ImageError,
    format::qcow2::{
        Entry, Refusal,
        header::MAX_REFCOUNT_TABLE_BYTES,
        refcounts,
        survey::{L2Table, Survey},
    },
};

/// 256 GiB of compressed clusters of the default size; it bounds the memory.
const MOST_PACKED: usize = 1 << 22;

/// Where everything new goes. Made anew from the same tables it is the same.
pub(super) struct Staging {
    /// The first fresh cluster, and the first behind the last.
    pub(super) clusters: Range<u64>,
    /// Bytes of the file.
    pub(super) luks_area: Option<Range<u64>>,
    /// By entry; their clusters follow each other.
    pub(super) packed: Vec<Packed>,
    pub(super) packed_at: u64,
    /// The L2 tables that are copied, by offset; the copies follow each other.
    pub(super) tables: Vec<L2Table>,
    pub(super) tables_at: u64,
    pub(super) l1_copies: Vec<L1Copy>,
    /// The cluster where the snapshot table's copy begins.
    pub(super) snapshot_table: Option<u64>,
    pub(super) blocks: Vec<NewBlock>,
    /// Clusters of a longer refcount table.
    pub(super) refcount_table: Option<Range<u64>>,
}

/// A compressed cluster, by the L2 entry that says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed {
    pub(super) entry: u64,
    /// How often it is used, by the disk and all snapshots.
    pub(super) uses: u32,
}

/// An L1 table that is copied: its number in the survey, and the cluster where the copy begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct L1Copy {
    pub(super) number: usize,
    pub(super) at: u64,
}

/// A refcount block that is made: its number, and its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewBlock {
    pub(super) number: u64,
    pub(super) at: u64,
}

impl Staging {
    /// Plans for an image whose clusters from `first` on are free. `blocks` are the entries of its refcount table.
    pub(super) fn plan(
        survey: &Survey<'_>,
        first: u64,
        blocks: &[u64],
        luks_len: Option<u64>,
    ) -> Result<Self, ImageError> {
        let cluster = survey.cluster();
        let mut next = first;
        let mut hand_out = |clusters: u64| {
            next += clusters;
            next - clusters
        };
        let luks_area = luks_len.map(|len| {
            let start = hand_out(cluster.count(len)) * cluster.bytes();
            start..start + len
        });
        let (packed, tables) = find_packed(survey)?;
        let packed_at = hand_out(to_u64(packed.len()));
        let tables_at = hand_out(to_u64(tables.len()));
        let mut l1_copies = Vec::new();
        for (number, table) in survey.l1_tables().iter().enumerate() {
            if !tables.is_empty() && leads_to(survey, &tables, number)? {
                l1_copies.push(L1Copy { number, at: hand_out(cluster.count(table.entries * 8)) });
            }
        }
        let place = &survey.snapshots().place;
        let has_moved = l1_copies.iter().any(|copy| copy.number > 0);
        let snapshot_table = has_moved.then(|| hand_out(cluster.count(place.end - place.start)));
        let mut staging = Self {
            clusters: first..next,
            luks_area,
            packed,
            packed_at,
            tables,
            tables_at,
            l1_copies,
            snapshot_table,
            blocks: Vec::new(),
            refcount_table: None,
        };
        staging.plan_refcounts(survey, blocks)?;
        Ok(staging)
    }

    /// Where the new image's tables are; what is not copied stays where the survey found it.
    pub(super) fn new_tables(&self, survey: &Survey<'_>) -> Tables {
        let (header, cluster) = (survey.header(), survey.cluster().bytes());
        let disk = self.l1_copies.iter().find(|copy| copy.number == 0);
        let table = self.refcount_table.as_ref().map(|table| table.start * cluster..table.end * cluster);
        Tables {
            luks_area: self.luks_area.clone(),
            l1_offset: disk.map_or(header.l1_offset, |copy| copy.at * cluster),
            snapshots_offset: self.snapshot_table.map_or(header.snapshots_offset, |at| at * cluster),
            refcount_table: table.unwrap_or_else(|| header.refcount_table.clone()),
        }
    }

    /// The number of the fresh cluster for a compressed one.
    pub(super) fn expanded(&self, entry: u64) -> Option<(u64, Packed)> {
        let at = self.packed.binary_search_by_key(&entry, |packed| packed.entry).ok()?;
        Some((self.packed_at + to_u64(at), self.packed[at]))
    }

    /// The number of the cluster of an L2 table's copy.
    pub(super) fn copied_table(&self, offset: u64) -> Option<u64> {
        let at = self.tables.binary_search_by_key(&offset, |table| table.offset).ok()?;
        Some(self.tables_at + to_u64(at))
    }

    /// How often the new image uses a fresh cluster.
    pub(super) fn uses(&self, cluster: u64) -> u64 {
        let at = |start: u64| usize::try_from(cluster.checked_sub(start)?).ok();
        let packed = at(self.packed_at).and_then(|at| self.packed.get(at)).map(|packed| packed.uses);
        let table = at(self.tables_at).and_then(|at| self.tables.get(at)).map(|table| table.uses);
        packed.or(table).map_or(1, u64::from)
    }

    /// Adds refcount blocks where there are none for the fresh clusters, these included, and a longer table if they need one.
    fn plan_refcounts(&mut self, survey: &Survey<'_>, old: &[u64]) -> Result<(), ImageError> {
        let cluster = survey.cluster();
        let per_block = refcounts::per_block(cluster, survey.header().refcount_order);
        let start = self.clusters.end;
        let is_missing = |block: &u64| old.get(index(*block)).is_none_or(|offset| *offset == 0);
        let (mut blocks, mut table) = (Vec::new(), 0);
        loop {
            let end = start + to_u64(blocks.len()) + table;
            let last = end.saturating_sub(1).max(self.clusters.start) / per_block;
            let needed: Vec<u64> = if end == self.clusters.start {
                Vec::new()
            } else {
                (self.clusters.start / per_block..=last).filter(is_missing).collect()
            };
            let longer = if last < to_u64(old.len()) { 0 } else { cluster.count((last + 1) * 8) };
            if end > MOST_CLUSTERS || longer * cluster.bytes() > MAX_REFCOUNT_TABLE_BYTES {
                let feature = format!("more than {MOST_CLUSTERS} clusters, or too long a refcount table; make a copy");
                return Err(Refusal::Unsupported(feature).of(survey.storage().name()));
            }
            if needed == blocks && longer == table {
                self.clusters.end = end;
                break;
            }
            (blocks, table) = (needed, longer);
        }
        let table_at = start + to_u64(blocks.len());
        self.blocks = blocks.into_iter().zip(start..).map(|(number, at)| NewBlock { number, at }).collect();
        self.refcount_table = (table > 0).then_some(table_at..table_at + table);
        Ok(())
    }
}

/// How many compressed clusters there are.
pub(super) fn count_packed(survey: &Survey<'_>) -> Result<u64, ImageError> {
    find_packed(survey).map(|(packed, _)| to_u64(packed.len()))
}

/// All compressed clusters, each once, and the L2 tables that mention them.
fn find_packed(survey: &Survey<'_>) -> Result<(Vec<Packed>, Vec<L2Table>), ImageError> {
    let (mut packed, mut tables) = (Vec::new(), Vec::new());
    let mut settled = 0;
    for table in survey.l2_tables() {
        let before = packed.len();
        for (raw, entry) in survey.l2_entries(*table)? {
            if matches!(entry, Entry::Packed(_)) {
                packed.push(Packed { entry: raw.descriptor, uses: table.uses });
            }
        }
        if packed.len() > before {
            tables.push(*table);
        }
        if packed.len() > settled + MOST_PACKED / 4 {
            merge(&mut packed);
            settled = packed.len();
        }
        if settled > MOST_PACKED {
            let feature = format!("more than {MOST_PACKED} compressed clusters; make a copy");
            return Err(Refusal::Unsupported(feature).of(survey.storage().name()));
        }
    }
    merge(&mut packed);
    Ok((packed, tables))
}

fn merge(packed: &mut Vec<Packed>) {
    packed.sort_unstable();
    packed.dedup_by(|one, kept| {
        let same = one.entry == kept.entry;
        if same {
            kept.uses = kept.uses.saturating_add(one.uses);
        }
        same
    });
}

/// Whether an L1 table leads to one of `tables`.
fn leads_to(survey: &Survey<'_>, tables: &[L2Table], number: usize) -> Result<bool, ImageError> {
    for entry in survey.l1_entries(survey.l1_tables()[number])? {
        let offset = survey.l2_offset(entry)?;
        if offset.is_some_and(|offset| tables.binary_search_by_key(&offset, |table| table.offset).is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("clusters are bounded")
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
