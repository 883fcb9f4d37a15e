//! Whether an image holds together.

use std::ops::Range;

use cadenas_luks::SlotIndex;
use cadenas_secret::SecretBytes;

use crate::{
    Format, ImageError, ImageInfo, Storage,
    format::{
        luks::LuksArea,
        qcow2::{Entry, L2Entry, image::Qcow2, is_copied, refcounts, table_offset},
    },
    inspect::{expect_format, inspect_as, inspect_qcow2},
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What the image is.
    pub info: ImageInfo,
    /// The number of the key slot that the passphrase opened, if one was given.
    pub opened_slot: Option<u8>,
    /// What does not hold, in words; the first hundred. Such an image must not be used before it is mended.
    pub problems: Vec<String>,
    /// How many problems there are in all.
    pub problem_count: u64,
    /// Clusters that are counted as used and are not: room that is lost, but no data.
    pub leaked_clusters: u64,
}

impl CheckReport {
    /// Whether nothing is wrong but, perhaps, some lost room.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problem_count == 0
    }
}

/// Checks headers and tables; with a passphrase also that it opens the image. The disk's data is not read.
///
/// An image too damaged to be opened is an error, as is a passphrase that does not open it.
pub fn check(storage: &dyn Storage, passphrase: Option<&SecretBytes>) -> Result<CheckReport, ImageError> {
    let format = Format::probe(storage)?;
    match format {
        Format::Raw | Format::Luks => {
            let info = inspect_as(storage, format)?;
            let luks_area = (format == Format::Luks).then_some(0..storage.size()?);
            let opened_slot = open_slot(storage, luks_area, passphrase)?;
            Ok(CheckReport { info, opened_slot, problems: vec![], problem_count: 0, leaked_clusters: 0 })
        }
        Format::Qcow2 => check_qcow2(storage, passphrase),
    }
}

fn open_slot(
    storage: &dyn Storage,
    luks_area: Option<Range<u64>>,
    passphrase: Option<&SecretBytes>,
) -> Result<Option<u8>, ImageError> {
    let Some(passphrase) = passphrase else { return Ok(None) };
    let place = luks_area.ok_or_else(|| ImageError::NotEncrypted { image: storage.name() })?;
    let (slot, _) = LuksArea::read(storage, place)?.unlock(passphrase)?;
    Ok(Some(SlotIndex::number(slot)))
}

fn check_qcow2(storage: &dyn Storage, passphrase: Option<&SecretBytes>) -> Result<CheckReport, ImageError> {
    expect_format(storage, Format::Qcow2)?;
    let image = Qcow2::open(storage)?;
    let header = image.header();
    if let Some(data_file) = header.data_file.clone() {
        return Err(ImageError::DataFile { image: storage.name(), data_file });
    }
    if header.snapshots > 0 {
        return Err(ImageError::Snapshots { image: storage.name(), count: header.snapshots });
    }
    let info = inspect_qcow2(&image)?;
    let opened_slot = open_slot(storage, header.luks_area.clone(), passphrase)?;
    let mut count = Count::new(&image)?;
    count.use_all()?;
    count.compare_refcounts()?;
    count.compare_copied_flags()?;
    let Count { problems, found, leaked, .. } = count;
    Ok(CheckReport { info, opened_slot, problems, problem_count: found, leaked_clusters: leaked })
}

/// How often each cluster of a file is used, counted anew.
struct Count<'a> {
    image: &'a Qcow2<'a>,
    /// By cluster of the file; more than 65,535 uses are all the same.
    uses: Vec<u16>,
    problems: Vec<String>,
    found: u64,
    leaked: u64,
}

impl<'a> Count<'a> {
    fn new(image: &'a Qcow2<'a>) -> Result<Self, ImageError> {
        // 32 TiB of clusters of 64 KiB.
        const MOST_CLUSTERS: u64 = 1 << 29;
        let clusters = image.header().cluster.count(image.file_len());
        if clusters > MOST_CLUSTERS {
            let feature = format!("{clusters} clusters, more than a check can count;");
            return Err(ImageError::Unsupported { image: image.storage().name(), feature });
        }
        let uses = vec![0; usize::try_from(clusters).expect("bounded above")];
        Ok(Self { image, uses, problems: Vec::new(), found: 0, leaked: 0 })
    }

    fn use_all(&mut self) -> Result<(), ImageError> {
        for place in self.image.metadata() {
            self.use_once(place);
        }
        self.for_each_entry(|count, _, entry| {
            entry.place(count.image.header().cluster).iter().for_each(|place| count.use_once(place));
        })
    }

    /// Counts the clusters that a place touches; what lies behind the file's end is not there to be counted.
    fn use_once(&mut self, place: &Range<u64>) {
        let cluster = self.image.header().cluster;
        let last = cluster.count(place.end).min(to_u64(self.uses.len()));
        for number in place.start / cluster.bytes()..last {
            let uses = &mut self.uses[index(number)];
            *uses = uses.saturating_add(1);
        }
    }

    fn for_each_entry(&mut self, mut visit: impl FnMut(&mut Self, L2Entry, Entry)) -> Result<(), ImageError> {
        let image = self.image;
        for l1_entry in image.l1() {
            let table = table_offset(*l1_entry, image.header().cluster).map_err(|refusal| image.refused(refusal))?;
            let Some(table) = table else { continue };
            for raw in image.l2_table(table)? {
                let entry = image.parse_entry(raw)?;
                visit(self, raw, entry);
            }
        }
        Ok(())
    }

    fn compare_refcounts(&mut self) -> Result<(), ImageError> {
        let (cluster, order) = (self.image.header().cluster, self.image.header().refcount_order);
        let per_block = (cluster.len() * 8) >> order;
        let blocks = self.uses.len().div_ceil(per_block);
        for block in 0..blocks {
            let counts = match self.image.refcount_blocks().get(block) {
                Some(0) | None => vec![0; cluster.len()],
                Some(offset) => self.image.storage().read_vec(*offset, cluster.len())?,
            };
            for at in 0..per_block.min(self.uses.len() - block * per_block) {
                self.compare(block * per_block + at, refcounts::read(&counts, order, at));
            }
        }
        Ok(())
    }

    fn compare(&mut self, cluster: usize, stored: u64) {
        let used = u64::from(self.uses[cluster]);
        if stored.min(u64::from(u16::MAX)) < used {
            self.problem(format!("cluster {cluster} is used {used} time(s), but its reference count is {stored}"));
        } else if stored > used {
            self.leaked += 1;
        }
    }

    /// Entries say whether their cluster is used once; QEMU then writes it in place.
    fn compare_copied_flags(&mut self) -> Result<(), ImageError> {
        let image = self.image;
        let cluster = image.header().cluster;
        for l1_entry in image.l1() {
            let table = table_offset(*l1_entry, cluster).map_err(|refusal| image.refused(refusal))?;
            self.compare_copied_flag(is_copied(*l1_entry), table);
        }
        self.for_each_entry(|count, raw, entry| {
            if !matches!(entry, Entry::Packed(_)) {
                let place = entry.place(count.image.header().cluster);
                count.compare_copied_flag(raw.is_copied(), place.map(|place| place.start));
            }
        })
    }

    fn compare_copied_flag(&mut self, is_copied: bool, place: Option<u64>) {
        let Some(number) = place.map(|offset| index(offset / self.image.header().cluster.bytes())) else { return };
        let Some(uses) = self.uses.get(number) else { return };
        if is_copied != (*uses == 1) {
            self.problem(format!("the entry for cluster {number} is wrong about whether that is used once"));
        }
    }

    fn problem(&mut self, what: String) {
        const TOLD: usize = 100;
        self.found += 1;
        if self.problems.len() < TOLD {
            self.problems.push(what);
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("clusters are bounded")
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).expect("clusters are bounded")
}
