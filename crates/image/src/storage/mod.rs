//! Where bytes lie: the one trait that everything in this crate reads and writes through.

pub mod aligned;
pub mod file;
pub mod lock;
#[cfg(feature = "testing")]
pub mod testing;

use std::{io, ops::Range};

use crate::ImageError;
use aligned::AlignedBuf;

/// Random access to the bytes of one image. Offsets and lengths are in bytes.
#[expect(clippy::len_without_is_empty, reason = "whether an image has no byte is never the question")]
pub trait Storage: Send + Sync {
    /// Length now.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset`; reading past the end is an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `buf` at `offset`, growing the image if it ends before.
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;

    /// Cuts or grows the image; what is added reads as zeros and takes no room.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written so far would survive a power cut.
    fn sync(&self) -> io::Result<()>;

    /// The first range at or after `from` that may hold other bytes than zero; `None` if there is none up to the end.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let len = self.len()?;
        Ok((from < len).then_some(from..len))
    }

    /// Makes a range read as zeros and gives its room back where the medium can; it may reach beyond the end, where it does nothing.
    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        write_zeros(self, range)
    }

    /// What error messages call it: a file's path.
    fn name(&self) -> String {
        "the image".to_owned()
    }
}

/// Writes zeros to what of a range lies before the end.
fn write_zeros(storage: &(impl Storage + ?Sized), range: Range<u64>) -> io::Result<()> {
    const AT_ONCE: u64 = 1 << 20;
    let end = range.end.min(storage.len()?);
    let len_at = |at: u64| usize::try_from(end.saturating_sub(at).min(AT_ONCE)).expect("bounded above");
    let zeros = AlignedBuf::zeroed(len_at(range.start));
    for at in (range.start..end).step_by(1 << 20) {
        storage.write_at(at, &zeros[..len_at(at)])?;
    }
    Ok(())
}

/// The trait's calls with errors that name the image and the operation.
impl dyn Storage + '_ {
    pub(crate) fn size(&self) -> Result<u64, ImageError> {
        self.len().map_err(|source| ImageError::Length { image: self.name(), source })
    }

    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        self.read_at(offset, buf).map_err(|source| ImageError::Read {
            image: self.name(),
            offset,
            len: buf.len(),
            source,
        })
    }

    /// Fresh bytes; the caller has bounded `len`.
    pub(crate) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = vec![0; len];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn write(&self, offset: u64, buf: &[u8]) -> Result<(), ImageError> {
        self.write_at(offset, buf).map_err(|source| ImageError::Write {
            image: self.name(),
            offset,
            len: buf.len(),
            source,
        })
    }

    pub(crate) fn resize(&self, len: u64) -> Result<(), ImageError> {
        self.set_len(len).map_err(|source| ImageError::Resize { image: self.name(), len, source })
    }

    pub(crate) fn flush(&self) -> Result<(), ImageError> {
        self.sync().map_err(|source| ImageError::Sync { image: self.name(), source })
    }

    /// [`Storage::discard`] of whatever range, with an error that names it.
    pub(crate) fn discard_range(&self, range: Range<u64>) -> Result<(), ImageError> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let offset = range.start;
        self.discard(range).map_err(|source| ImageError::Write { image: self.name(), offset, len, source })
    }

    pub(crate) fn data_after(&self, from: u64) -> Result<Option<Range<u64>>, ImageError> {
        self.next_data(from).map_err(|source| ImageError::Holes { image: self.name(), source })
    }
}
