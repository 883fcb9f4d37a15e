//! Whether a copy holds the same data as what was copied.

use std::{
    io,
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use cadenas_image::{ImageError, Progress, Source, Storage, Target, Tuning, convert};
use cadenas_luks::SECTOR_BYTES;
use cadenas_secret::digest;

/// Compares the whole disk, sector by sector: both are read once more, at the same time, decrypted and digested.
///
/// The old disk is removed on the strength of this answer. `progress` is told of the bytes of `one`.
pub(crate) fn same_data(one: &Source<'_>, other: &Source<'_>, progress: &dyn Progress) -> Result<bool, ImageError> {
    if one.info().virtual_size != other.info().virtual_size {
        return Ok(false);
    }
    let (one, other) = thread::scope(|scope| {
        let beside = scope.spawn(|| digest_of(other, &Quiet(progress)));
        let one = digest_of(one, progress);
        (one, beside.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    Ok(one? == other?)
}

fn digest_of(source: &Source<'_>, progress: &dyn Progress) -> Result<u128, ImageError> {
    let digest = DiskDigest::default();
    convert(source, &digest, &Target::Raw { len: None }, None, &Tuning::default(), progress)?;
    Ok(digest.sum())
}

/// Tells nobody of bytes, but can be cancelled.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn begin(&self, _total_bytes: u64) {}

    fn advance(&self, _bytes: u64) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// A raw disk of which only a digest is kept: the sum of the digests of its sectors, each with its place.
///
/// A sum does not depend on the order in which the sectors come, nor does a hole differ from zeros that are stored. Against
/// somebody who chooses the data a sum would be weak; here it stands against faults.
#[derive(Default)]
struct DiskDigest {
    len: AtomicU64,
    sum: Mutex<u128>,
}

impl DiskDigest {
    fn sum(&self) -> u128 {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for DiskDigest {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Relaxed))
    }

    /// Zeros: the engine looks at what it has made, and here that says nothing.
    fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let sectors = buf.chunks(SECTOR).zip((offset..).step_by(SECTOR));
        let written = sectors.filter(|(sector, _)| **sector != ZEROS[..sector.len()]);
        let added = written.fold(0_u128, |sum, (sector, at)| sum.wrapping_add(digest_at(at, sector)));
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.wrapping_add(added);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "512")]
const SECTOR: usize = SECTOR_BYTES as usize;

const ZEROS: [u8; SECTOR] = [0; SECTOR];

fn digest_at(offset: u64, sector: &[u8]) -> u128 {
    let full = digest::sha256(&[&offset.to_be_bytes(), sector]);
    u128::from_be_bytes(full[..16].try_into().expect("half of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_holes_do_not_matter_but_every_byte_and_its_place_does() {
        let digest = |writes: &[(u64, &[u8])]| {
            let disk = DiskDigest::default();
            for (offset, bytes) in writes {
                disk.write_at(*offset, bytes).expect("written");
            }
            disk.sum()
        };
        let (a, b, zeros) = ([1; 512], [2; 512], [0; 512]);
        let both = digest(&[(0, &a), (512, &b)]);
        assert_eq!(both, digest(&[(512, &b), (0, &a)]));
        assert_eq!(both, digest(&[(0, &[a, b].concat()), (1024, &zeros)]));
        assert_ne!(both, digest(&[(0, &b), (512, &a)]));
        assert_ne!(both, digest(&[(0, &a), (1024, &b)]));
        let mut changed = b;
        changed[511] ^= 1;
        assert_ne!(both, digest(&[(0, &a), (512, &changed)]));
    }
}
