//! Where an image's bytes are before and after an in-place rewrite.
//!
//! A rewrite passes over *positions*, from 0 to [`Layout::end`], in zones. Everything before a position is in its new form,
//! everything from it on in its old one; going back passes over them from the end. What a position stands for is the layout's
//! own affair: an offset in the file, say, or the distance from a disk's end.

use std::ops::{Range, RangeInclusive};

use super::records::Direction;
use crate::{ImageError, Progress, Tuning};

/// A run of bytes that a rewrite moves, whole sectors. Offsets are in bytes of the image's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the old form is.
    pub(crate) old_at: u64,
    /// The sector number that enciphers it there, if the old image is encrypted.
    pub(crate) old_sector: u64,
    /// Where the new form goes.
    pub(crate) new_at: u64,
    /// The sector number that enciphers it there, if the new image is encrypted.
    pub(crate) new_sector: u64,
    pub(crate) len: u64,
}

/// The first bytes of the image before and after. While it is between, a marker stands in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fronts {
    /// What stood there; at least a sector, at most 2 MiB.
    pub(crate) old: Vec<u8>,
    /// What shall stand there. Its first sector is written last: that is the commit.
    pub(crate) new: Vec<u8>,
}

/// One kind of rewrite of one image. It gives the same answers however often the rewrite is interrupted, since what it is made
/// from (tables of the image, the journal's immutable part) stays as it is until the commit.
pub(crate) trait Layout: Send + Sync {
    /// How far old and new places are apart, in bytes: 0 if each run is rewritten where it lies, and then tags protect it.
    /// Otherwise no zone may be longer than a part of this.
    fn shift(&self) -> u64;

    /// The last position.
    fn end(&self) -> u64;

    /// Bytes of data in all, for the progress: those of all zones, and what [`Self::stage`] tells of.
    fn total_bytes(&self) -> u64;

    /// Where a zone that begins at position `from` ends if it holds at most `most` bytes of data (a multiple of 2 MiB, or of a sector
    /// for a shifted layout). Beyond `from` unless that is the end.
    fn zone_from(&self, from: u64, most: u64) -> u64;

    /// Where a zone that ends at position `to` begins if it holds at most `most` bytes of data.
    fn zone_to(&self, to: u64, most: u64) -> u64;

    /// What the positions stand for, in ascending order of positions. Bytes of the front that the journal keeps are not in it.
    fn runs(&self, positions: Range<u64>) -> Vec<Run>;

    /// Where the image that a direction begins with holds as data what the journal keeps as the front of the other; `None` if
    /// that front is no data.
    fn front_data(&self, _direction: Direction) -> Option<Run> {
        None
    }

    /// Whether going in a direction, from the image that it begins with, loses nothing that was put there since: nothing lies where
    /// the other image has something else, or ends.
    fn is_unused(&self, direction: Direction) -> Result<bool, ImageError>;

    /// Lengths in bytes that the old image's file may have when [`Self::stage`] has begun.
    fn staged_len(&self) -> RangeInclusive<u64>;

    /// Writes what the new image needs beside its data, out of the old image's way, and flushes; the file's length first, so that no
    /// other than [`Self::staged_len`] can be left. Can be repeated.
    fn stage(&self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError>;

    /// After the last zone, before the new image's front: cuts the file, wipes what must be gone when the image is the new one, and
    /// flushes. The way back is still open afterwards. Can be repeated.
    fn ready_new(&self) -> Result<(), ImageError> {
        Ok(())
    }

    /// After the new image's first sector is durable: frees what only the old image used, wipes the remains. Can be repeated.
    fn clean_new(&self) -> Result<(), ImageError>;

    /// As [`Self::clean_new`], if somebody has used the new image since and made another front; refuses an image that is another. Can be
    /// repeated.
    fn clean_used(&self) -> Result<(), ImageError> {
        Ok(())
    }

    /// Before the old image's first sector comes back: takes away what [`Self::stage`] made. Can be repeated.
    fn clean_old(&self) -> Result<(), ImageError>;

    /// Refuses to go back from the finished image if there is no way; before that there always is one.
    fn way_back(&self) -> Result<(), ImageError> {
        Ok(())
    }
}
