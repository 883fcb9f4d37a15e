//! Whether an image holds together.

use std::ops::Range;

use cadenas_luks::SlotIndex;
use cadenas_secret::SecretBytes;

use crate::{
    Format, ImageError, ImageInfo, Storage,
    format::{
        luks::LuksArea,
        qcow2::{
            census::{self, Census},
            image::{Qcow2, read_header},
            survey::Survey,
        },
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
    let info = inspect_qcow2(&image)?;
    let survey = Survey::of(storage, read_header(storage)?)?;
    let opened_slot = open_slot(storage, survey.header().luks_area.clone(), passphrase)?;
    let mut findings = Findings::default();
    findings.add_all(&survey)?;
    let Findings { problems, found, leaked } = findings;
    Ok(CheckReport { info, opened_slot, problems, problem_count: found, leaked_clusters: leaked })
}

/// What does not hold of a qcow2 image's counts.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    found: u64,
    leaked: u64,
}

impl Findings {
    fn add_all(&mut self, survey: &Survey<'_>) -> Result<(), ImageError> {
        // 32 TiB of clusters of 64 KiB.
        const MOST_CLUSTERS: u64 = 1 << 29;
        let clusters = survey.cluster().count(survey.file_len());
        if clusters > MOST_CLUSTERS {
            let feature = format!("{clusters} clusters, more than a check can count;");
            return Err(ImageError::Unsupported { image: survey.storage().name(), feature });
        }
        for window in census::windows(clusters) {
            let census = Census::take(survey, window)?;
            census.for_each(|cluster, stored, used| self.compare(cluster, stored, used))?;
            census.wrong_copied_flags(|cluster| {
                self.problem(format!("the entry for cluster {cluster} is wrong about whether that is used once"));
            })?;
        }
        Ok(())
    }

    fn compare(&mut self, cluster: u64, stored: u64, used: u64) {
        if stored.min(u64::from(u16::MAX)) < used {
            self.problem(format!("cluster {cluster} is used {used} time(s), but its reference count is {stored}"));
        } else if stored > used {
            self.leaked += 1;
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
