//! An opened qcow2 image: its tables, bounded and checked, and the extents of its disk.
//!
//! The L1 table and the places of all other tables are in memory; L2 tables are read one at a time, when they are needed.

use std::ops::Range;

use super::{Entry, L2Entry, Part, Refusal, Split, be64, header::Header, table_offset};
use crate::{ImageError, Storage, format::Mapped, plan::Content};

/// A qcow2 image whose header and first-level tables hold.
pub(crate) struct Qcow2<'a> {
    storage: &'a dyn Storage,
    header: Header,
    file_len: u64,
    /// Raw L1 entries, as many as the disk needs; their offsets are checked.
    l1: Vec<u64>,
    /// Raw refcount table entries; their offsets are checked.
    refcount_blocks: Vec<u64>,
    /// Where metadata is, sorted and without overlaps.
    metadata: Vec<Range<u64>>,
}

impl<'a> Qcow2<'a> {
    /// Reads header, L1 table and refcount table, and checks that all they point to lies in the file, at clusters, apart.
    pub(crate) fn open(storage: &'a dyn Storage) -> Result<Self, ImageError> {
        let header = read_header(storage)?;
        let mut image =
            Self { storage, header, file_len: storage.size()?, l1: vec![], refcount_blocks: vec![], metadata: vec![] };
        // With an external data file the tables map that one: nothing of it is read.
        if image.header.data_file.is_none() {
            image.load_tables()?;
        }
        Ok(image)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn storage(&self) -> &'a dyn Storage {
        self.storage
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// What this image says of the disk, in order, and what it leaves to a backing file.
    pub(crate) fn mapped(&self) -> Extents<'_> {
        Extents { image: self, at: 0, table: None, split: None, budget: self.file_len }
    }

    /// The raw entries of the L2 table at `offset`.
    pub(crate) fn l2_table(&self, offset: u64) -> Result<Vec<L2Entry>, ImageError> {
        let cluster = self.header.cluster;
        let words = self.read_table(offset, cluster.bytes() / 8)?;
        Ok(if cluster.has_subclusters() {
            let (pairs, _) = words.as_chunks();
            pairs.iter().map(|[descriptor, bitmap]| L2Entry { descriptor: *descriptor, bitmap: *bitmap }).collect()
        } else {
            words.into_iter().map(|descriptor| L2Entry { descriptor, bitmap: 0 }).collect()
        })
    }

    /// Whether an entry of an L2 table keeps to the file and out of the metadata.
    pub(crate) fn parse_entry(&self, entry: L2Entry) -> Result<Entry, ImageError> {
        let parsed = Entry::parse(entry, self.header.cluster, self.header.version)
            .and_then(|entry| self.check_place(&entry).map(|()| entry));
        parsed.map_err(|refusal| self.refused(refusal))
    }

    fn check_place(&self, entry: &Entry) -> Result<(), Refusal> {
        let Some(place) = entry.place(self.header.cluster) else { return Ok(()) };
        let place = match entry {
            Entry::Packed(range) if self.header.luks_area.is_some() => {
                let start = range.start;
                return Err(Refusal::damaged(format!("it is encrypted, but has a compressed cluster at {start:#x}")));
            }
            Entry::Packed(_) | Entry::Host(_) => self.inside(place)?,
            Entry::Split(split) if split.is_stored() => self.inside(place)?,
            // A cluster that holds no data may be promised without being there.
            Entry::Absent | Entry::Zero(_) | Entry::Split(_) => place,
        };
        if self.overlaps_metadata(&place) {
            return Err(Refusal::damaged(format!("an L2 entry places data at {:#x}, on its own tables", place.start)));
        }
        Ok(())
    }

    /// A place for data begins in the file; what the file lacks at its end reads as zeros.
    fn inside(&self, place: Range<u64>) -> Result<Range<u64>, Refusal> {
        if place.start >= self.file_len {
            return Err(Refusal::damaged(format!(
                "an L2 entry places data at {:#x}, behind the file's end",
                place.start
            )));
        }
        Ok(place)
    }

    fn overlaps_metadata(&self, place: &Range<u64>) -> bool {
        let next = self.metadata.partition_point(|range| range.end <= place.start);
        self.metadata.get(next).is_some_and(|range| range.start < place.end)
    }

    fn load_tables(&mut self) -> Result<(), ImageError> {
        let (cluster, header) = (self.header.cluster, &self.header);
        let table = self.place("its refcount table", header.refcount_table.start, header.refcount_table.end)?;
        let l1 =
            self.place("its L1 table", header.l1_offset, header.l1_offset.saturating_add(header.l1_entries * 8))?;
        let mut metadata = vec![0..cluster.bytes(), table.clone()];
        if header.l1_entries > 0 {
            metadata.push(l1.start..l1.start + cluster.count(l1.end - l1.start) * cluster.bytes());
        }
        if let Some(area) = &header.luks_area {
            metadata.push(self.place("its LUKS area", area.start, area.end)?);
        }
        let l1 = self.read_table(l1.start, header.virtual_size.div_ceil(cluster.l2_span()))?;
        for entry in &l1 {
            let table = table_offset(*entry, cluster).map_err(|refusal| self.refused(refusal))?;
            metadata.extend(self.cluster_at("an L2 table", table)?);
        }
        let refcount_blocks = self.read_table(table.start, (table.end - table.start) / 8)?;
        for entry in &refcount_blocks {
            metadata.extend(self.cluster_at("a refcount block", (*entry != 0).then_some(*entry))?);
        }
        self.metadata = apart(metadata).map_err(|refusal| self.refused(refusal))?;
        (self.l1, self.refcount_blocks) = (l1, refcount_blocks);
        Ok(())
    }

    fn cluster_at(&self, name: &str, offset: Option<u64>) -> Result<Option<Range<u64>>, ImageError> {
        offset.map(|start| self.place(name, start, start.saturating_add(self.header.cluster.bytes()))).transpose()
    }

    /// Metadata lies in the file, at a cluster.
    fn place(&self, name: &str, start: u64, end: u64) -> Result<Range<u64>, ImageError> {
        if end > self.file_len || start > end || !self.header.cluster.is_aligned(start) {
            return Err(self.refused(Refusal::damaged(format!("{name} does not lie in the file at a cluster"))));
        }
        Ok(start..end)
    }

    /// Reads `entries` numbers; the caller has checked that they lie in the file.
    fn read_table(&self, offset: u64, entries: u64) -> Result<Vec<u64>, ImageError> {
        let len = usize::try_from(entries * 8).expect("tables are bounded by 32 MiB");
        let bytes = self.storage.read_vec(offset, len)?;
        Ok(bytes.chunks_exact(8).map(|entry| be64(entry, 0)).collect())
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> ImageError {
        refusal.of(self.storage.name())
    }
}

/// Reads and parses the first cluster.
pub(crate) fn read_header(storage: &dyn Storage) -> Result<Header, ImageError> {
    let refused = |refusal: Refusal| refusal.of(storage.name());
    let file_len = storage.size()?;
    let mut start = [0; 24];
    if file_len < 24 {
        return Err(refused(Refusal::damaged(format!("the file ends after {file_len} bytes, inside the header"))));
    }
    storage.read(0, &mut start)?;
    let cluster = Header::cluster_size(&start).map_err(refused)?;
    let len = usize::try_from(file_len).unwrap_or(usize::MAX).min(cluster.len());
    Header::parse(&storage.read_vec(0, len)?).map_err(refused)
}

/// Sorts places and refuses two that overlap: one table must not be read as another.
fn apart(mut places: Vec<Range<u64>>) -> Result<Vec<Range<u64>>, Refusal> {
    places.sort_unstable_by_key(|place| place.start);
    match places.windows(2).find(|pair| pair[1].start < pair[0].end) {
        Some(pair) => Err(Refusal::damaged(format!("two of its tables overlap at offset {:#x}", pair[1].start))),
        None => Ok(places),
    }
}

/// What an image says of its disk, in order, a cluster or less each; nothing follows an error.
pub(crate) struct Extents<'a> {
    image: &'a Qcow2<'a>,
    /// How far the disk has been told.
    at: u64,
    /// The L2 table in use, with its index in the L1 table.
    table: Option<(usize, Vec<L2Entry>)>,
    /// The cluster with subclusters in which the telling is, by its number on the disk.
    split: Option<(u64, Split)>,
    /// Bytes that uncompressed clusters may still take: a file does not hold more than its length, unless one cluster
    /// is used many times, which only a forger does.
    budget: u64,
}

impl Extents<'_> {
    fn mapped(&mut self) -> Result<Mapped, ImageError> {
        let cluster = self.image.header.cluster;
        if let Some((_, split)) = self.split.take_if(|(number, _)| *number == self.at / cluster.bytes()) {
            return Ok(self.parts(split));
        }
        let l1_index = index(self.at / cluster.l2_span());
        let Some(table) = table_offset(self.image.l1[l1_index], cluster).map_err(|error| self.image.refused(error))?
        else {
            return Ok(self.up_to(self.at - self.at % cluster.l2_span() + cluster.l2_span(), None));
        };
        let l2_index = index(self.at / cluster.bytes() % cluster.entries());
        let entry = self.load(l1_index, table)?[l2_index];
        let content = match self.image.parse_entry(entry)? {
            Entry::Absent => None,
            Entry::Zero(_) => Some(Content::Zero),
            Entry::Host(host) => {
                self.spend(host)?;
                Some(Content::Host(host))
            }
            Entry::Packed(host) => Some(Content::Packed { host, skip: 0 }),
            Entry::Split(split) => return self.enter(split),
        };
        Ok(self.up_to(self.at + cluster.bytes(), content))
    }

    /// The L2 table that maps the disk where it is being told.
    fn load(&mut self, l1_index: usize, offset: u64) -> Result<&[L2Entry], ImageError> {
        if self.table.as_ref().is_none_or(|(loaded, _)| *loaded != l1_index) {
            self.table = Some((l1_index, self.image.l2_table(offset)?));
        }
        Ok(&self.table.as_ref().expect("loaded above").1)
    }

    /// Begins a cluster with subclusters.
    fn enter(&mut self, split: Split) -> Result<Mapped, ImageError> {
        if let (true, Some(place)) = (split.is_stored(), Entry::Split(split).place(self.image.header.cluster)) {
            self.spend(place.start)?;
        }
        Ok(self.parts(split))
    }

    /// The next subclusters that are alike and, in the file, one behind the other.
    fn parts(&mut self, split: Split) -> Mapped {
        let cluster = self.image.header.cluster;
        let size = cluster.subcluster_bytes();
        let first = u32::try_from(self.at % cluster.bytes() / size).expect("32 to a cluster");
        let part = split.part(first, cluster);
        let alike = |number: &u32| match (part, split.part(*number, cluster)) {
            (Part::Host(_), Part::Host(_)) => true,
            (one, other) => one == other,
        };
        let end = (first..Split::PARTS).find(|number| !alike(number)).unwrap_or(Split::PARTS);
        self.split = Some((self.at / cluster.bytes(), split));
        let content = match part {
            Part::Absent => None,
            Part::Zero => Some(Content::Zero),
            Part::Host(host) => Some(Content::Host(host)),
        };
        self.up_to(self.at + u64::from(end - first) * size, content)
    }

    fn spend(&mut self, host: u64) -> Result<(), ImageError> {
        let cluster = self.image.header.cluster.bytes();
        // The file's last cluster may be cut short.
        let room = cluster.min(self.image.file_len - host);
        self.budget = self
            .budget
            .checked_sub(room)
            .ok_or_else(|| self.image.refused(Refusal::damaged("it uses clusters of its file several times over")))?;
        Ok(())
    }

    fn up_to(&self, end: u64, content: Option<Content>) -> Mapped {
        Mapped { guest: self.at..end.min(self.image.header.virtual_size), content }
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Mapped, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.image.header.virtual_size {
            return None;
        }
        let mapped = self.mapped();
        self.at = mapped.as_ref().map_or(self.image.header.virtual_size, |mapped| mapped.guest.end);
        Some(mapped)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("tables are bounded")
}
