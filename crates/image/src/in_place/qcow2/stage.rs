//! Writing what was planned. All of it lies in fresh clusters, but for refcounts of these: in existing blocks, and of new blocks in
//! the existing table. For the old image they are at worst room that is lost.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use cadenas_luks::{SECTOR_BYTES, SectorCipher, VolumeKey};

use super::staging::{L1Copy, Staging};
use crate::{
    ImageError, Progress, Storage, Tuning,
    engine::{self, step_back},
    format::qcow2::{Entry, L2Entry, refcounts, survey::Survey, unpack::unpack},
    throttle::Throttle,
};

/// All parts of the new image beside its data.
pub(super) struct Stage<'s, 'a> {
    pub(super) survey: &'s Survey<'a>,
    pub(super) staging: &'s Staging,
    /// The old image's refcount blocks, as its refcount table says.
    pub(super) blocks: &'s [u64],
    /// The new LUKS header and its key material; empty if the new image is plain.
    pub(super) luks: &'s [u8],
    pub(super) key: Option<&'s VolumeKey>,
    pub(super) tuning: &'s Tuning,
    pub(super) progress: &'s dyn Progress,
}

impl Stage<'_, '_> {
    /// Writes everything, durably.
    pub(super) fn write(&self) -> Result<(), ImageError> {
        let (disk, cluster) = (self.disk(), self.survey.cluster());
        let end = self.staging.clusters.end * cluster.bytes();
        if disk.size()? < end {
            disk.resize(end)?;
            disk.flush()?;
        }
        if let Some(area) = &self.staging.luks_area {
            disk.write(area.start, self.luks)?;
        }
        self.expand_all()?;
        self.copy_l2_tables()?;
        self.staging.l1_copies.iter().try_for_each(|copy| self.copy_l1_table(*copy))?;
        self.copy_snapshot_table()?;
        self.write_refcounts()?;
        disk.flush()?;
        self.write_refcount_table()?;
        disk.flush()
    }

    fn disk(&self) -> &dyn Storage {
        self.survey.storage()
    }

    fn offset(&self, cluster: u64) -> u64 {
        cluster * self.survey.cluster().bytes()
    }

    /// Unpacking is the one thing here that takes time.
    fn expand_all(&self) -> Result<(), ImageError> {
        let (next, throttle) = (AtomicUsize::new(0), Throttle::new(self.tuning.rate_limit));
        let work = || {
            step_back();
            let mut cipher = self.key.map(SectorCipher::new);
            while let Some(packed) = self.staging.packed.get(next.fetch_add(1, Ordering::Relaxed)) {
                throttle.take(self.survey.cluster().bytes());
                if let Err(error) = self.expand(packed.entry, cipher.as_mut()) {
                    // Nobody begins another.
                    next.store(self.staging.packed.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let threads = expanding_threads(self.tuning, self.survey.cluster().len()).min(self.staging.packed.len());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })
    }

    fn expand(&self, entry: u64, cipher: Option<&mut SectorCipher>) -> Result<(), ImageError> {
        if self.progress.cancelled() {
            return Err(ImageError::Cancelled);
        }
        let header = self.survey.header();
        let raw = L2Entry { descriptor: entry, bitmap: 0 };
        let Ok(Entry::Packed(place)) = Entry::parse(raw, header.cluster, header.version) else {
            return Err(self.survey.damaged("its tables changed while they were read"));
        };
        let end = place.end.min(self.survey.file_len());
        let packed = self.disk().read_vec(place.start, index(end.saturating_sub(place.start)))?;
        let mut cluster = vec![0; header.cluster.len()];
        unpack(header.compression, &packed, &mut cluster).map_err(|error| {
            self.survey.damaged(format!("the compressed cluster at {:#x} does not unpack: {error}", place.start))
        })?;
        let (at, _) = self.staging.expanded(entry).expect("it is in the plan that was gone through");
        if let Some(cipher) = cipher {
            cipher.encrypt(self.offset(at) / SECTOR_BYTES, &mut cluster);
        }
        self.disk().write(self.offset(at), &cluster)?;
        self.progress.advance(header.cluster.bytes());
        Ok(())
    }

    fn copy_l2_tables(&self) -> Result<(), ImageError> {
        let width = index(self.survey.cluster().l2_entry_bytes());
        for (table, at) in self.staging.tables.iter().zip(self.staging.tables_at..) {
            let mut bytes = self.disk().read_vec(table.offset, self.survey.cluster().len())?;
            for (entry, (raw, parsed)) in bytes.chunks_exact_mut(width).zip(self.survey.l2_entries(*table)?) {
                if matches!(parsed, Entry::Packed(_)) {
                    entry.copy_from_slice(&self.expanded_entry(raw.descriptor)?[..width]);
                }
            }
            self.disk().write(self.offset(at), &bytes)?;
        }
        Ok(())
    }

    /// The L2 entry of an expanded cluster, in its longer form.
    fn expanded_entry(&self, entry: u64) -> Result<[u8; 16], ImageError> {
        let changed = || self.survey.damaged("its tables changed while they were read");
        let (at, packed) = self.staging.expanded(entry).ok_or_else(changed)?;
        let offset = self.offset(at);
        let descriptor = if packed.uses == 1 { Entry::of_own_cluster(offset) } else { offset };
        // Every subcluster is in the file.
        let bitmap = u64::from(u32::MAX);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&descriptor.to_be_bytes());
        bytes[8..].copy_from_slice(&bitmap.to_be_bytes());
        Ok(bytes)
    }

    /// A copy of an L2 table is used as often as the table was: what an entry says of that stays true.
    fn copy_l1_table(&self, copy: L1Copy) -> Result<(), ImageError> {
        let mut bytes = Vec::new();
        for entry in self.survey.l1_entries(self.survey.l1_tables()[copy.number])? {
            let old = self.survey.l2_offset(entry)?;
            let new =
                old.and_then(|offset| self.staging.copied_table(offset).map(|at| entry - offset + self.offset(at)));
            bytes.extend_from_slice(&new.unwrap_or(entry).to_be_bytes());
        }
        self.disk().write(self.offset(copy.at), &bytes)
    }

    fn copy_snapshot_table(&self) -> Result<(), ImageError> {
        let Some(at) = self.staging.snapshot_table else { return Ok(()) };
        let table = self.survey.snapshots();
        let mut bytes = self.disk().read_vec(table.place.start, index(table.place.end - table.place.start))?;
        for copy in self.staging.l1_copies.iter().filter(|copy| copy.number > 0) {
            let entry = index(table.snapshots[copy.number - 1].at);
            bytes[entry..entry + 8].copy_from_slice(&self.offset(copy.at).to_be_bytes());
        }
        self.disk().write(self.offset(at), &bytes)
    }

    /// The refcounts of all fresh clusters, in blocks old and new.
    fn write_refcounts(&self) -> Result<(), ImageError> {
        let (cluster, order) = (self.survey.cluster(), self.survey.header().refcount_order);
        let per_block = refcounts::per_block(cluster, order);
        let fresh = &self.staging.clusters;
        for number in fresh.start / per_block..fresh.end.div_ceil(per_block) {
            let new = self.staging.blocks.iter().find(|block| block.number == number);
            let (at, mut block) = match (new, self.blocks.get(index(number))) {
                (Some(new), _) => (self.offset(new.at), vec![0; cluster.len()]),
                (None, Some(at)) if *at != 0 => (*at, self.disk().read_vec(*at, cluster.len())?),
                (None, _) => continue,
            };
            let first = number * per_block;
            for counted in fresh.start.max(first)..fresh.end.min(first + per_block) {
                refcounts::set(&mut block, order, index(counted - first), self.staging.uses(counted));
            }
            self.disk().write(at, &block)?;
        }
        Ok(())
    }

    fn write_refcount_table(&self) -> Result<(), ImageError> {
        let old = &self.survey.header().refcount_table;
        let Some(table) = &self.staging.refcount_table else {
            return self.staging.blocks.iter().try_for_each(|block| {
                self.disk().write(old.start + block.number * 8, &self.offset(block.at).to_be_bytes())
            });
        };
        let mut entries = self.blocks.to_vec();
        entries.resize(index(self.offset(table.end - table.start) / 8), 0);
        for block in &self.staging.blocks {
            entries[index(block.number)] = self.offset(block.at);
        }
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.disk().write(self.offset(table.start), &bytes)
    }
}

/// A thread holds a cluster, up to twice as many compressed bytes, and what the decompressor needs.
fn expanding_threads(tuning: &Tuning, cluster: usize) -> usize {
    const MOST_BYTES: usize = 64 << 20;
    engine::jobs(tuning).min(MOST_BYTES / (4 * cluster))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("bounded by the format")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn large_clusters_are_expanded_by_few_threads_and_never_by_none() {
        let tuning = |jobs| Tuning { jobs: NonZeroUsize::new(jobs), ..Tuning::default() };
        assert_eq!(expanding_threads(&tuning(100), 2 << 20), 8);
        assert_eq!(expanding_threads(&tuning(3), 2 << 20), 3);
        assert_eq!(expanding_threads(&tuning(1), 512), 1);
    }
}
