//! Raw images: the disk's bytes as they are, with the holes that the file system knows.

use std::ops::Range;

use crate::{
    ImageError, Storage,
    plan::{Content, Extent},
};

/// The disk in a range of a file, rounded up to whole sectors as QEMU does; what the file lacks reads as zeros.
pub(crate) struct RawExtents<'a> {
    storage: &'a dyn Storage,
    place: Range<u64>,
    virtual_size: u64,
    /// Whether the file's holes are the disk's; in ciphertext they are not.
    with_holes: bool,
    /// How far the disk has been told.
    at: u64,
}

impl<'a> RawExtents<'a> {
    /// A plain disk that is the whole file of `len` bytes.
    pub(crate) fn plain(storage: &'a dyn Storage, len: u64, virtual_size: u64) -> Self {
        Self { storage, place: 0..len, virtual_size, with_holes: true, at: 0 }
    }

    /// An encrypted disk of `virtual_size` bytes behind its header.
    pub(crate) fn encrypted(storage: &'a dyn Storage, payload: u64, virtual_size: u64) -> Self {
        Self { storage, place: payload..payload + virtual_size, virtual_size, with_holes: false, at: 0 }
    }

    fn extent(&self) -> Result<Extent, ImageError> {
        let host = self.place.start + self.at;
        let data = if host >= self.place.end {
            None
        } else if self.with_holes {
            self.storage.data_after(host)?.filter(|data| data.start < self.place.end && data.start < data.end)
        } else {
            Some(self.place.clone())
        };
        Ok(match data {
            None => Extent { guest: self.at..self.virtual_size, content: Content::Zero },
            Some(data) if data.start > host => self.up_to(data.start, Content::Zero),
            Some(data) => self.up_to(data.end.min(self.place.end), Content::Host(host)),
        })
    }

    fn up_to(&self, host_end: u64, content: Content) -> Extent {
        Extent { guest: self.at..host_end - self.place.start, content }
    }
}

impl Iterator for RawExtents<'_> {
    type Item = Result<Extent, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.virtual_size {
            return None;
        }
        let extent = self.extent();
        self.at = extent.as_ref().map_or(self.virtual_size, |extent| extent.guest.end);
        Some(extent)
    }
}
