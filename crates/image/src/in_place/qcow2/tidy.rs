//! After a rewrite: refcounts as they are, and nothing left of what nobody reads.

use std::ops::Range;

use crate::{
    ImageError, Storage,
    format::qcow2::{
        census::{self, Census},
        survey::Survey,
    },
};

/// Makes the refcounts of all clusters before `end` what the image's tables say. Each is one write, and in any order they leave at
/// worst room that is lost.
pub(super) fn mend_refcounts(survey: &Survey<'_>, end: u64) -> Result<(), ImageError> {
    for window in census::windows(end) {
        Census::take(survey, window)?.mend()?;
    }
    survey.storage().flush()
}

/// Discards what nobody reads and cuts the file behind its last used cluster.
pub(super) fn discard_unread(survey: &Survey<'_>) -> Result<(), ImageError> {
    let (disk, cluster) = (survey.storage(), survey.cluster());
    let mut used_end = 0;
    for window in census::windows(cluster.count(survey.file_len())) {
        let census = Census::take(survey, window)?;
        used_end = census.end() * cluster.bytes();
        for clusters in neighbours(census.unread()) {
            let bytes = clusters.start * cluster.bytes()..clusters.end * cluster.bytes();
            discard_data(disk, bytes.start..bytes.end.min(survey.file_len()))?;
        }
    }
    disk.flush()?;
    if used_end < survey.file_len() {
        disk.resize(used_end)?;
    }
    disk.flush()
}

/// Discards what is stored of a range: holes need not be written to where the medium has no discard.
fn discard_data(disk: &dyn Storage, range: Range<u64>) -> Result<(), ImageError> {
    let mut at = range.start;
    while at < range.end
        && let Some(data) = disk.data_after(at)?.filter(|data| data.start < range.end && data.end > at)
    {
        let end = data.end.min(range.end);
        disk.discard_range(data.start.max(at)..end)?;
        at = end;
    }
    Ok(())
}

/// Numbers that ascend, as ranges.
fn neighbours(numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = Range<u64>> {
    let mut numbers = numbers.peekable();
    std::iter::from_fn(move || {
        let start = numbers.next()?;
        let mut end = start + 1;
        while numbers.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_as_one_range() {
        let ranges: Vec<_> = neighbours([1, 2, 3, 7, 9, 10].into_iter()).collect();
        assert_eq!(ranges, [1..4, 7..8, 9..11]);
    }
}
