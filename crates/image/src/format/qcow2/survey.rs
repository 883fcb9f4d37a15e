//! Every table of an image: those of its disk, of its snapshots and of its bitmaps.
//!
//! Snapshots share L2 tables with the disk and with each other. Each is read once, with the number of L1 entries that lead to it.

use std::ops::Range;

use super::{
    Entry, L2Entry, Refusal, be64, bitmaps,
    header::{ClusterSize, Header, max_l1_entries},
    snapshots::{self, SnapshotTable},
    table_offset,
};
use crate::{ImageError, Storage};

/// At the default cluster size they map 2 PiB.
const MOST_L2_TABLES: usize = 1 << 22;

/// All tables of an image, whose places hold: they lie in the file, at clusters, and apart.
pub(crate) struct Survey<'a> {
    storage: &'a dyn Storage,
    header: Header,
    file_len: u64,
    snapshots: SnapshotTable,
    /// Raw refcount table entries.
    refcount_blocks: Vec<u64>,
    /// The disk's, then the snapshots' in their order.
    l1_tables: Vec<L1Table>,
    /// By offset, each once.
    l2_tables: Vec<L2Table>,
    /// What is used just once: all metadata but L2 tables. Sorted.
    places: Vec<Range<u64>>,
}

/// An L1 table, the disk's or a snapshot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct L1Table {
    pub(crate) offset: u64,
    pub(crate) entries: u64,
}

/// An L2 table and who uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct L2Table {
    pub(crate) offset: u64,
    /// How many L1 entries lead to it, of all L1 tables.
    pub(crate) uses: u32,
    /// Whether the disk itself uses it.
    pub(crate) is_active: bool,
}

impl<'a> Survey<'a> {
    /// Reads all tables but the L2 tables' entries. `header` is the image's, wherever it is kept.
    pub(crate) fn of(storage: &'a dyn Storage, header: Header) -> Result<Self, ImageError> {
        if let Some(data_file) = header.data_file.clone() {
            return Err(ImageError::DataFile { image: storage.name(), data_file });
        }
        let file_len = storage.size()?;
        let snapshots = snapshots::read(storage, &header, file_len)?;
        let mut survey = Self {
            storage,
            header,
            file_len,
            snapshots,
            refcount_blocks: vec![],
            l1_tables: vec![],
            l2_tables: vec![],
            places: vec![],
        };
        survey.place_all()?;
        survey.find_l2_tables()?;
        Ok(survey)
    }

    pub(crate) fn storage(&self) -> &'a dyn Storage {
        self.storage
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn cluster(&self) -> ClusterSize {
        self.header.cluster
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    pub(crate) fn snapshots(&self) -> &SnapshotTable {
        &self.snapshots
    }

    pub(crate) fn refcount_blocks(&self) -> &[u64] {
        &self.refcount_blocks
    }

    pub(crate) fn l1_tables(&self) -> &[L1Table] {
        &self.l1_tables
    }

    pub(crate) fn l2_tables(&self) -> &[L2Table] {
        &self.l2_tables
    }

    /// Where metadata is that is used once: all but the L2 tables.
    pub(crate) fn places(&self) -> &[Range<u64>] {
        &self.places
    }

    /// The raw entries of an L1 table.
    pub(crate) fn l1_entries(&self, table: L1Table) -> Result<Vec<u64>, ImageError> {
        let len = usize::try_from(table.entries * 8).expect("bounded when it was placed");
        let bytes = self.storage.read_vec(table.offset, len)?;
        Ok(bytes.chunks_exact(8).map(|entry| be64(entry, 0)).collect())
    }

    /// The L2 table that an L1 entry leads to.
    pub(crate) fn l2_offset(&self, l1_entry: u64) -> Result<Option<u64>, ImageError> {
        table_offset(l1_entry, self.header.cluster).map_err(|refusal| self.refused(refusal))
    }

    /// What an L2 table maps: each entry as it is and as it is meant. Entries that place data behind the file's end are refused.
    pub(crate) fn l2_entries(&self, table: L2Table) -> Result<Vec<(L2Entry, Entry)>, ImageError> {
        let cluster = self.header.cluster;
        let width = usize::try_from(cluster.l2_entry_bytes()).expect("8 or 16");
        let bytes = self.storage.read_vec(table.offset, cluster.len())?;
        let parse = |bytes: &[u8]| {
            let raw = L2Entry { descriptor: be64(bytes, 0), bitmap: if width > 8 { be64(bytes, 8) } else { 0 } };
            let entry = Entry::parse(raw, cluster, self.header.version)?;
            self.check_place(&entry).map(|()| (raw, entry))
        };
        bytes.chunks_exact(width).map(parse).collect::<Result<_, _>>().map_err(|refusal| self.refused(refusal))
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> ImageError {
        self.refused(Refusal::damaged(what))
    }

    fn refused(&self, refusal: Refusal) -> ImageError {
        refusal.of(self.storage.name())
    }

    fn check_place(&self, entry: &Entry) -> Result<(), Refusal> {
        let start = match entry {
            Entry::Packed(range) if self.header.luks_area.is_some() => {
                let start = range.start;
                return Err(Refusal::damaged(format!("it is encrypted, but has a compressed cluster at {start:#x}")));
            }
            Entry::Packed(range) => range.start,
            _ => match entry.stored_at() {
                Some(start) => start,
                // A cluster that holds no data may be promised without being there.
                None => return Ok(()),
            },
        };
        if start < self.file_len {
            return Ok(());
        }
        Err(Refusal::damaged(format!("an L2 entry places data at {start:#x}, behind the file's end")))
    }

    fn place_all(&mut self) -> Result<(), ImageError> {
        let (cluster, header) = (self.header.cluster, &self.header);
        let table = header.refcount_table.clone();
        let mut places = bitmaps::places(self.storage, header, self.file_len)?;
        places.extend([0..cluster.bytes(), self.place("its refcount table", table.start, table.end)?]);
        if let Some(area) = &header.luks_area {
            places.push(self.place("its LUKS area", area.start, area.end)?);
        }
        places.push(self.snapshots.place.clone());
        let disk = L1Table { offset: header.l1_offset, entries: header.l1_entries };
        let others = self.snapshots.snapshots.iter();
        let others = others.map(|one| L1Table { offset: one.l1_offset, entries: one.l1_entries });
        self.l1_tables = std::iter::once(disk).chain(others).collect();
        for table in &self.l1_tables {
            debug_assert!(table.entries <= max_l1_entries(), "bounded where it was read");
            let end = table.offset.saturating_add(table.entries * 8);
            places.push(self.place("an L1 table", table.offset, end)?);
        }
        let blocks = L1Table { offset: table.start, entries: (table.end - table.start) / 8 };
        self.refcount_blocks = self.l1_entries(blocks)?;
        for start in self.refcount_blocks.iter().filter(|start| **start != 0) {
            places.push(self.place("a refcount block", *start, start.saturating_add(cluster.bytes()))?);
        }
        self.places = self.apart(places)?;
        Ok(())
    }

    /// Metadata lies in the file, at a cluster.
    fn place(&self, name: &str, start: u64, end: u64) -> Result<Range<u64>, ImageError> {
        if end > self.file_len || start > end || !self.header.cluster.is_aligned(start) {
            return Err(self.damaged(format!("{name} does not lie in the file at a cluster")));
        }
        Ok(start..end)
    }

    /// Sorts places, rounds them out to clusters, and refuses two that overlap: one table must not be read as another.
    fn apart(&self, mut places: Vec<Range<u64>>) -> Result<Vec<Range<u64>>, ImageError> {
        places.retain(|place| !place.is_empty());
        for place in &mut places {
            place.end = place.end.next_multiple_of(self.header.cluster.bytes());
        }
        places.sort_unstable_by_key(|place| place.start);
        match places.windows(2).find(|pair| pair[1].start < pair[0].end) {
            Some(pair) => Err(self.damaged(format!("two of its tables overlap at offset {:#x}", pair[1].start))),
            None => Ok(places),
        }
    }

    fn find_l2_tables(&mut self) -> Result<(), ImageError> {
        let mut found = Vec::new();
        for (number, table) in self.l1_tables.iter().enumerate() {
            for entry in self.l1_entries(*table)? {
                let Some(offset) = self.l2_offset(entry)? else { continue };
                self.place("an L2 table", offset, offset.saturating_add(self.header.cluster.bytes()))?;
                found.push(L2Table { offset, uses: 1, is_active: number == 0 });
            }
            merge(&mut found);
            if found.len() > MOST_L2_TABLES {
                let feature = format!("more than {MOST_L2_TABLES} L2 tables");
                return Err(ImageError::Unsupported { image: self.storage.name(), feature });
            }
        }
        self.l2_tables = found;
        Ok(())
    }
}

/// Sorts tables and makes one of those that are the same.
fn merge(tables: &mut Vec<L2Table>) {
    tables.sort_unstable_by_key(|table| table.offset);
    tables.dedup_by(|table, kept| {
        let same = table.offset == kept.offset;
        if same {
            kept.uses = kept.uses.saturating_add(table.uses);
            kept.is_active |= table.is_active;
        }
        same
    });
}
