//! How often each cluster of a file is used, and what for, counted anew and compared with what the image says.
//!
//! Counted are a few million clusters at a time, which bounds the memory, whatever the file's length.

use std::ops::Range;

use super::{Entry, is_copied, refcounts, survey::Survey};
use crate::ImageError;

/// Clusters that are counted at a time: 512 GiB of the default size. Each takes three bytes.
const WINDOW: u64 = 1 << 23;

/// The uses of some clusters of a file.
pub(crate) struct Census<'s, 'a> {
    survey: &'s Survey<'a>,
    clusters: Range<u64>,
    /// More than 65,535 uses are all the same.
    uses: Vec<u16>,
    kinds: Vec<u8>,
    /// The first cluster of the file behind all that are used, these and others.
    end: u64,
}

/// What a cluster is used for, as bits of [`Census::kinds`].
const METADATA: u8 = 1;
const DATA: u8 = 2;
const IDLE: u8 = 4;
const PACKED: u8 = 8;

/// Windows over the clusters before `end`.
pub(crate) fn windows(end: u64) -> impl Iterator<Item = Range<u64>> {
    (0..end).step_by(usize::try_from(WINDOW).expect("fits")).map(move |start| start..end.min(start + WINDOW))
}

impl<'s, 'a> Census<'s, 'a> {
    /// Counts the uses of `clusters`. A cluster that is both a table and data is an error.
    pub(crate) fn take(survey: &'s Survey<'a>, clusters: Range<u64>) -> Result<Self, ImageError> {
        let len = usize::try_from(clusters.end - clusters.start).expect("a window");
        let mut census = Self { survey, clusters, uses: vec![0; len], kinds: vec![0; len], end: 0 };
        for place in survey.places() {
            census.count(place, 1, METADATA);
        }
        for table in survey.l2_tables() {
            let place = table.offset..table.offset + survey.cluster().bytes();
            if let Some(at) = census.count(&place, table.uses, METADATA) {
                // Places are apart, and so are L2 tables: a second use is of the other kind.
                if survey.places().binary_search_by(|other| order(other, at)).is_ok() {
                    return Err(survey.damaged(format!("two of its tables overlap at offset {at:#x}")));
                }
            }
        }
        for table in survey.l2_tables() {
            for (_, entry) in survey.l2_entries(*table)? {
                census.count_entry(&entry, table.uses)?;
            }
        }
        Ok(census)
    }

    /// The first cluster of the file behind all that are used, be they counted here or not.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Clusters whose content nobody reads: unused ones, and those that are kept for zeros.
    pub(crate) fn unread(&self) -> impl Iterator<Item = u64> {
        self.clusters.clone().zip(&self.kinds).filter(|(_, kind)| **kind & !IDLE == 0).map(|(cluster, _)| cluster)
    }

    /// Gives each cluster's number, the refcount that the image says, and the uses that were found.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u64, u64, u64)) -> Result<(), ImageError> {
        let order = self.survey.header().refcount_order;
        let per_block = refcounts::per_block(self.survey.cluster(), order);
        let blocks = self.clusters.start / per_block..self.clusters.end.div_ceil(per_block);
        for block in blocks {
            let counts = read_block(self.survey, block)?;
            let first = self.clusters.start.max(block * per_block);
            for cluster in first..self.clusters.end.min((block + 1) * per_block) {
                let stored =
                    counts.as_ref().map_or(0, |block| refcounts::read(block, order, index(cluster % per_block)));
                visit(cluster, stored, u64::from(self.uses[self.at(cluster)]));
            }
        }
        Ok(())
    }

    /// Makes the refcounts of these clusters what was counted. All blocks are written: what is read of one need not be durable.
    pub(crate) fn mend(&self) -> Result<(), ImageError> {
        let order = self.survey.header().refcount_order;
        let per_block = refcounts::per_block(self.survey.cluster(), order);
        for number in self.clusters.start / per_block..self.clusters.end.div_ceil(per_block) {
            let Some(mut block) = read_block(self.survey, number)? else { continue };
            let first = self.clusters.start.max(number * per_block);
            for cluster in first..self.clusters.end.min((number + 1) * per_block) {
                let (at, used) = (index(cluster % per_block), self.uses[self.at(cluster)]);
                // More were not counted.
                if used < u16::MAX {
                    refcounts::set(&mut block, order, at, u64::from(used));
                }
            }
            self.survey.storage().write(self.survey.refcount_blocks()[index(number)], &block)?;
        }
        Ok(())
    }

    /// Names the clusters whose entries are wrong about whether they are used once. QEMU writes those in place.
    pub(crate) fn wrong_copied_flags(&self, mut report: impl FnMut(u64)) -> Result<(), ImageError> {
        let survey = self.survey;
        let mut compare = |is_copied: bool, offset: u64| {
            let cluster = offset / survey.cluster().bytes();
            if self.clusters.contains(&cluster) && is_copied != (self.uses[self.at(cluster)] == 1) {
                report(cluster);
            }
        };
        for entry in survey.l1_entries(survey.l1_tables()[0])? {
            if let Some(offset) = survey.l2_offset(entry)? {
                compare(is_copied(entry), offset);
            }
        }
        for table in survey.l2_tables().iter().filter(|table| table.is_active) {
            for (raw, entry) in survey.l2_entries(*table)? {
                match entry.place(survey.cluster()) {
                    Some(place) if !matches!(entry, Entry::Packed(_)) => compare(raw.is_copied(), place.start),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn count_entry(&mut self, entry: &Entry, uses: u32) -> Result<(), ImageError> {
        let Some(place) = entry.place(self.survey.cluster()) else { return Ok(()) };
        let kind = match entry {
            Entry::Packed(_) => PACKED,
            _ if entry.stored_at().is_some() => DATA,
            _ => IDLE,
        };
        let forbidden = if kind == PACKED { METADATA | DATA | IDLE } else { METADATA | PACKED };
        self.count(&place, uses, kind);
        let wrong = self.inside(&place).find(|cluster| self.kinds[self.at(*cluster)] & forbidden != 0);
        match wrong.map(|cluster| self.kinds[self.at(cluster)] & METADATA != 0) {
            None => Ok(()),
            Some(true) => {
                Err(self.survey.damaged(format!("an L2 entry places data at {:#x}, on its own tables", place.start)))
            }
            Some(false) => Err(self
                .survey
                .damaged(format!("the cluster at {:#x} holds both compressed and other data", place.start))),
        }
    }

    /// Counts the clusters that a place touches; the offset of one that was in use before, if any was.
    fn count(&mut self, place: &Range<u64>, uses: u32, kind: u8) -> Option<u64> {
        self.end = self.end.max(self.survey.cluster().count(place.end));
        let mut before = None;
        for cluster in self.inside(place) {
            let at = self.at(cluster);
            if self.uses[at] > 0 {
                before = Some(cluster * self.survey.cluster().bytes());
            }
            self.uses[at] = self.uses[at].saturating_add(u16::try_from(uses).unwrap_or(u16::MAX));
            self.kinds[at] |= kind;
        }
        before
    }

    /// The clusters of a place that are counted here.
    fn inside(&self, place: &Range<u64>) -> Range<u64> {
        let cluster = self.survey.cluster();
        self.clusters.start.max(place.start / cluster.bytes())..self.clusters.end.min(cluster.count(place.end))
    }

    fn at(&self, cluster: u64) -> usize {
        index(cluster - self.clusters.start)
    }
}

/// The bytes of a refcount block; `None` if there is none, and what it would count is not used.
pub(crate) fn read_block(survey: &Survey<'_>, block: u64) -> Result<Option<Vec<u8>>, ImageError> {
    match survey.refcount_blocks().get(index(block)) {
        None | Some(0) => Ok(None),
        Some(offset) => survey.storage().read_vec(*offset, survey.cluster().len()).map(Some),
    }
}

fn order(place: &Range<u64>, at: u64) -> std::cmp::Ordering {
    if place.end <= at {
        std::cmp::Ordering::Less
    } else if place.start > at {
        std::cmp::Ordering::Greater
    } else {
        std::cmp::Ordering::Equal
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("clusters are bounded")
}
