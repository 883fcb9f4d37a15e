//! Writing a new qcow2 image: clusters are handed out one after the other, and each is used once.
//!
//! ```text
//! header │ L1 table │ LUKS area │ data and L2 tables, as they come │ refcount blocks │ refcount table
//! ```
//!
//! The header is written last: until then the file is no image, and nothing mistakes it for one.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Entry,
    header::{ClusterSize, Compression, Header, max_l1_entries},
    refcounts,
};
use crate::{ImageError, Storage, engine::Write};

/// Where things go in a new image. Shared by the threads that fill it.
pub(crate) struct Plot {
    cluster: ClusterSize,
    virtual_size: u64,
    luks_area: Option<Range<u64>>,
    /// The first cluster that is not handed out.
    next: AtomicU64,
}

impl Plot {
    /// An image of `virtual_size` bytes with room for a LUKS area of `luks_len` bytes.
    pub(crate) fn new(cluster: ClusterSize, virtual_size: u64, luks_len: Option<u64>) -> Result<Self, ImageError> {
        let l1_entries = virtual_size.div_ceil(cluster.l2_span());
        if l1_entries > max_l1_entries() {
            let target = format!("a qcow2 image with clusters of {} bytes", cluster.bytes());
            return Err(ImageError::TooLarge { virtual_size, target });
        }
        let plot = Self { cluster, virtual_size, luks_area: None, next: AtomicU64::new(1) };
        plot.hand_out(l1_entries * 8);
        let luks_area = luks_len.map(|len| {
            let start = plot.hand_out(len);
            start..start + len
        });
        Ok(Self { luks_area, ..plot })
    }

    /// Clusters for `len` bytes, side by side; where they begin in the file.
    pub(crate) fn hand_out(&self, len: u64) -> u64 {
        self.next.fetch_add(self.cluster.count(len), Ordering::Relaxed) * self.cluster.bytes()
    }

    pub(crate) fn luks_area(&self) -> Option<&Range<u64>> {
        self.luks_area.as_ref()
    }

    fn l1_offset(&self) -> u64 {
        self.cluster.bytes()
    }
}

/// The tables of a new image, kept by the one thread that writes it. An L2 table is in memory only from the first to
/// the last piece that it maps.
pub(crate) struct Tables<'a> {
    storage: &'a dyn Storage,
    plot: &'a Plot,
    l1: Vec<u8>,
    open: BTreeMap<u64, OpenTable>,
}

/// An L2 table of which some pieces are still to come.
struct OpenTable {
    /// Empty as long as all it maps are holes.
    entries: Vec<u8>,
    /// Bytes of the disk that are still to come.
    missing: u64,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(storage: &'a dyn Storage, plot: &'a Plot) -> Self {
        let entries = plot.virtual_size.div_ceil(plot.cluster.l2_span());
        Self { storage, plot, l1: vec![0; index(entries * 8)], open: BTreeMap::new() }
    }

    /// Notes where a segment's data went, and writes the L2 tables that this completes.
    pub(crate) fn note(&mut self, guest: &Range<u64>, writes: &[Write]) -> Result<(), ImageError> {
        for write in writes {
            self.map(write);
        }
        let span = self.plot.cluster.l2_span();
        for table in guest.start / span..guest.end.div_ceil(span) {
            let mapped = self.mapped_by(table);
            let told = guest.end.min(mapped.end) - guest.start.max(mapped.start);
            // A table that is all hole never exists.
            if told < mapped.end - mapped.start || self.open.contains_key(&table) {
                self.tell(table, told)?;
            }
        }
        Ok(())
    }

    /// Writes everything that is left, the header last. `volume` writes the LUKS header when all else is durable.
    pub(crate) fn finish(self, volume: impl FnOnce() -> Result<(), ImageError>) -> Result<(), ImageError> {
        debug_assert!(self.open.is_empty(), "every byte of the disk was told");
        if !self.l1.is_empty() {
            self.storage.write(self.plot.l1_offset(), &self.l1)?;
        }
        let first_free = self.plot.next.load(Ordering::Relaxed);
        let refcount_table = refcounts::write(self.storage, self.plot.cluster, first_free)?;
        self.storage.flush()?;
        volume()?;
        let header = Header {
            version: 3,
            cluster: self.plot.cluster,
            virtual_size: self.plot.virtual_size,
            luks_area: self.plot.luks_area.clone(),
            backing_file: None,
            backing_format: None,
            data_file: None,
            l1_offset: self.plot.l1_offset(),
            l1_entries: u64::try_from(self.l1.len() / 8).expect("bounded"),
            refcount_table,
            refcount_order: refcounts::ORDER,
            snapshots: 0,
            snapshots_offset: 0,
            bitmaps: None,
            compression: Compression::Deflate,
        };
        let mut first_cluster = header.to_bytes();
        first_cluster.resize(self.plot.cluster.len(), 0);
        self.storage.write(0, &first_cluster)?;
        self.storage.flush()
    }

    fn map(&mut self, write: &Write) {
        let cluster = self.plot.cluster;
        let len = u64::try_from(write.at.len()).expect("a length in memory");
        for offset in (0..len).step_by(cluster.len()) {
            let guest = write.guest + offset;
            let table = self.open(guest / cluster.l2_span());
            table.entries.resize(cluster.len(), 0);
            let at = index(guest / cluster.bytes() % cluster.entries() * 8);
            table.entries[at..at + 8].copy_from_slice(&Entry::of_own_cluster(write.host + offset).to_be_bytes());
        }
    }

    fn open(&mut self, table: u64) -> &mut OpenTable {
        let mapped = self.mapped_by(table);
        self.open.entry(table).or_insert_with(|| OpenTable { entries: Vec::new(), missing: mapped.end - mapped.start })
    }

    /// So many more bytes of what a table maps have come; if they are the last, it is written.
    fn tell(&mut self, table: u64, bytes: u64) -> Result<(), ImageError> {
        let open = self.open(table);
        open.missing -= bytes;
        if open.missing > 0 {
            return Ok(());
        }
        let done = self.open.remove(&table).expect("opened above");
        if !done.entries.is_empty() {
            let offset = self.plot.hand_out(self.plot.cluster.bytes());
            self.storage.write(offset, &done.entries)?;
            let at = index(table * 8);
            self.l1[at..at + 8].copy_from_slice(&Entry::of_own_cluster(offset).to_be_bytes());
        }
        Ok(())
    }

    /// The part of the disk that a table maps.
    fn mapped_by(&self, table: u64) -> Range<u64> {
        let span = self.plot.cluster.l2_span();
        table * span..((table + 1) * span).min(self.plot.virtual_size)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("tables are bounded")
}
