//! Which clusters of a file are rewritten where they lie. Positions are offsets in the file.

use std::ops::Range;

use cadenas_luks::SECTOR_BYTES;

use crate::{format::qcow2::header::ClusterSize, in_place::layout::Run};

/// More are refused: a bit for each then takes 32 MiB. At the default cluster size the file has 16 TiB.
pub(super) const MOST_CLUSTERS: u64 = 1 << 28;

/// A bit for each cluster of a file.
pub(super) struct ClusterMap {
    cluster: u64,
    clusters: u64,
    words: Vec<u64>,
}

impl ClusterMap {
    /// No cluster of `clusters`, at most [`MOST_CLUSTERS`].
    pub(super) fn new(cluster: ClusterSize, clusters: u64) -> Self {
        let words = vec![0; index(clusters.div_ceil(64))];
        Self { cluster: cluster.bytes(), clusters, words }
    }

    /// Adds a cluster; one behind the last is left out.
    pub(super) fn insert(&mut self, cluster: u64) {
        if cluster < self.clusters {
            self.words[index(cluster / 64)] |= 1 << (cluster % 64);
        }
    }

    pub(super) fn contains(&self, cluster: u64) -> bool {
        cluster < self.clusters && self.words[index(cluster / 64)] >> (cluster % 64) & 1 == 1
    }

    /// Whether a range of clusters has any.
    pub(super) fn has_any(&self, clusters: Range<u64>) -> bool {
        self.next(clusters.start, true) < clusters.end.min(self.clusters)
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        self.cluster
    }

    /// The file's length, rounded up to a cluster.
    pub(super) fn end(&self) -> u64 {
        self.clusters * self.cluster
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() * self.cluster
    }

    /// Where a zone that begins at `from` ends if it holds at most `most` bytes.
    pub(super) fn zone_from(&self, from: u64, most: u64) -> u64 {
        let mut left = most;
        let mut at = from;
        while let Some(run) = self.run_from(at) {
            let len = run.end - run.start;
            if len >= left {
                return run.start + left;
            }
            left -= len;
            at = run.end;
        }
        self.end()
    }

    /// Where a zone that ends at `to` begins if it holds at most `most` bytes.
    pub(super) fn zone_to(&self, to: u64, most: u64) -> u64 {
        let mut left = most;
        let mut at = to;
        while let Some(run) = self.run_to(at) {
            let len = run.end - run.start;
            if len >= left {
                return run.end - left;
            }
            left -= len;
            at = run.start;
        }
        0
    }

    /// What lies between two positions, neighbours together.
    pub(super) fn runs(&self, positions: Range<u64>) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut at = positions.start;
        while let Some(run) = self.run_from(at).filter(|run| run.start < positions.end) {
            at = run.end;
            let (start, end) = (run.start, run.end.min(positions.end));
            let sector = start / SECTOR_BYTES;
            runs.push(Run { old_at: start, old_sector: sector, new_at: start, new_sector: sector, len: end - start });
        }
        runs
    }

    /// The first bytes from `at` on, up to where a cluster follows that is not in the map.
    fn run_from(&self, at: u64) -> Option<Range<u64>> {
        let first = self.next(at / self.cluster, true);
        (first < self.clusters).then(|| (first * self.cluster).max(at)..self.next(first, false) * self.cluster)
    }

    /// The last bytes before `to`, from behind a cluster that is not in the map.
    fn run_to(&self, to: u64) -> Option<Range<u64>> {
        let end = self.before(to.div_ceil(self.cluster), true);
        (end > 0).then(|| self.before(end, false) * self.cluster..(end * self.cluster).min(to))
    }

    /// The first cluster from `from` on that is in the map or, if not `wanted`, is not; the end if there is none.
    fn next(&self, from: u64, wanted: bool) -> u64 {
        let mut at = from;
        while at < self.clusters {
            let word = self.word(at / 64, wanted) & u64::MAX << (at % 64);
            if word != 0 {
                return self.clusters.min(at / 64 * 64 + u64::from(word.trailing_zeros()));
            }
            at = (at / 64 + 1) * 64;
        }
        self.clusters
    }

    /// One past the last cluster before `to` that is in the map or, if not `wanted`, is not; 0 if there is none.
    fn before(&self, to: u64, wanted: bool) -> u64 {
        let mut at = to.min(self.clusters);
        while at > 0 {
            let first = (at - 1) / 64 * 64;
            let word = self.word(first / 64, wanted) & u64::MAX >> (64 - (at - first));
            if word != 0 {
                return first + 64 - u64::from(word.leading_zeros());
            }
            at = first;
        }
        0
    }

    fn word(&self, number: u64, wanted: bool) -> u64 {
        let word = self.words[index(number)];
        if wanted { word } else { !word }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("clusters are bounded")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(clusters: &[bool]) -> ClusterMap {
        let count = u64::try_from(clusters.len()).expect("small");
        let mut map = ClusterMap::new(ClusterSize::from_bytes(1024).expect("a size"), count);
        (0..count).zip(clusters).filter(|(_, is_in)| **is_in).for_each(|(cluster, _)| map.insert(cluster));
        map
    }

    fn bytes_of(runs: &[Run]) -> u64 {
        runs.iter().map(|run| run.len).sum()
    }

    proptest! {
        #[test]
        fn zones_hold_each_byte_once_there_and_back(
            clusters in prop::collection::vec(any::<bool>(), 0..300),
            most in (1_u64..9).prop_map(|sectors| sectors * 512),
        ) {
            let map = map(&clusters);
            let marked = u64::try_from(clusters.iter().filter(|is_in| **is_in).count()).expect("small") * 1024;
            prop_assert_eq!(map.total_bytes(), marked);
            prop_assert_eq!(bytes_of(&map.runs(0..map.end())), marked);

            let (mut at, mut sum) = (0, 0);
            while at < map.end() {
                let next = map.zone_from(at, most);
                prop_assert!(next > at && next <= map.end());
                let bytes = bytes_of(&map.runs(at..next));
                prop_assert!(bytes <= most);
                (at, sum) = (next, sum + bytes);
            }
            prop_assert_eq!(sum, marked);

            let (mut at, mut sum) = (map.end(), 0);
            while at > 0 {
                let next = map.zone_to(at, most);
                prop_assert!(next < at);
                let bytes = bytes_of(&map.runs(next..at));
                prop_assert!(bytes <= most);
                (at, sum) = (next, sum + bytes);
            }
            prop_assert_eq!(sum, marked);
        }

        #[test]
        fn runs_are_the_clusters_of_the_map(clusters in prop::collection::vec(any::<bool>(), 1..200)) {
            let map = map(&clusters);
            for (number, is_in) in (0..).zip(&clusters) {
                let inside = map.runs(number * 1024..(number + 1) * 1024);
                prop_assert_eq!(bytes_of(&inside), if *is_in { 1024 } else { 0 });
                prop_assert_eq!(map.has_any(number..number + 1), *is_in);
                prop_assert_eq!(map.contains(number), *is_in);
            }
        }
    }
}
