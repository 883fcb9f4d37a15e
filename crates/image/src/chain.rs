//! An image and the files that it stands on, read as one disk.

use std::{iter, ops::Range};

use cadenas_secret::SecretBytes;

use crate::{
    Format, ImageError, Source, Storage,
    format::Mapped,
    plan::{Content, Extent},
    source::Layer,
};

/// The most files that an image may stand on. QEMU knows no bound; a chain of hundreds is a mistake or an attack.
pub const MAX_BACKING_FILES: usize = 31;

/// Opens `top` and the files that it stands on, from the nearest to the last: what an image does not hold comes from the next one,
/// and is zeros beyond that one's end. The disk is as long as the top's.
///
/// The files are the caller's to find: [`crate::ImageInfo::backing_file`] and `backing_format` say what each image names.
/// The chain has to be whole: each image but the last names a backing file, the last none. The passphrase is that of
/// every encrypted image among them. Internal snapshots of the files below the top are no hindrance.
pub fn open_chain<'a>(
    top: (&'a dyn Storage, Format),
    backing: &[(&'a dyn Storage, Format)],
    passphrase: Option<&SecretBytes>,
) -> Result<Source<'a>, ImageError> {
    if backing.len() > MAX_BACKING_FILES {
        return Err(ImageError::ChainTooLong { image: top.0.name(), count: backing.len() });
    }
    let mut layers = Vec::with_capacity(1 + backing.len());
    for (storage, format) in iter::once(&top).chain(backing) {
        layers.push(Layer::open(*storage, *format)?);
    }
    let (last, upper) = layers.split_last().expect("the top at least");
    if let Some(alone) = upper.iter().find(|layer| layer.info().backing_file.is_none()) {
        return Err(ImageError::NoBackingFile { image: alone.name() });
    }
    last.refuse_backing_file()?;
    layers[0].refuse_snapshots()?;
    Source::over(layers, passphrase)
}

/// The extents of an image over those of the files below it.
pub(crate) struct Overlay<U, L> {
    upper: U,
    lower: L,
    /// What of the lower's last extent is not used up.
    ahead: Option<Extent>,
    /// What the upper left to the lower, and the lower has not told yet.
    left: Option<Range<u64>>,
    /// Nothing follows an error.
    failed: bool,
}

impl<U, L> Overlay<U, L>
where
    U: Iterator<Item = Result<Mapped, ImageError>>,
    L: Iterator<Item = Result<Extent, ImageError>>,
{
    pub(crate) fn new(upper: U, lower: L) -> Self {
        Self { upper, lower, ahead: None, left: None, failed: false }
    }

    fn extent(&mut self) -> Option<Result<Extent, ImageError>> {
        if let Some(left) = self.left.take() {
            return Some(self.told_below(left));
        }
        Some(match self.upper.next()? {
            Ok(Mapped { guest, content: None }) => self.told_below(guest),
            told => told.map(Extent::from),
        })
    }

    /// The lower's first extent in `guest`, which is not empty.
    fn told_below(&mut self, guest: Range<u64>) -> Result<Extent, ImageError> {
        let Some(mut found) = self.lower_at(guest.start)? else {
            return Ok(Extent { guest, content: Content::Zero });
        };
        let first = found.take(found.len().min(guest.end - guest.start));
        self.ahead = (found.len() > 0).then_some(found);
        self.left = (first.guest.end < guest.end).then_some(first.guest.end..guest.end);
        Ok(first)
    }

    /// What the lower holds from `start` on; `None` behind its end.
    fn lower_at(&mut self, start: u64) -> Result<Option<Extent>, ImageError> {
        loop {
            let Some(mut extent) = self.ahead.take().map(Ok).or_else(|| self.lower.next()).transpose()? else {
                return Ok(None);
            };
            if extent.guest.end > start {
                extent.take(start - extent.guest.start);
                return Ok(Some(extent));
            }
        }
    }
}

impl<U, L> Iterator for Overlay<U, L>
where
    U: Iterator<Item = Result<Mapped, ImageError>>,
    L: Iterator<Item = Result<Extent, ImageError>>,
{
    type Item = Result<Extent, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = if self.failed { None } else { self.extent() };
        self.failed |= matches!(extent, Some(Err(_)));
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upper_lacks_is_the_lowers_and_zeros_behind_its_end() {
        let upper = [(0..10, None), (10..20, Some(Content::Zero)), (20..30, Some(Content::Host(500))), (30..60, None)];
        let lower = [(0..5, Content::Host(100)), (5..15, Content::Zero), (15..40, Content::Host(200))];
        let told: Vec<_> = Overlay::new(
            upper.into_iter().map(|(guest, content)| Ok(Mapped { guest, content })),
            lower.into_iter().map(|(guest, content)| Ok(Extent { guest, content })),
        )
        .map(|extent| extent.map(|extent| (extent.guest, extent.content)).expect("no errors"))
        .collect();
        let expected = [
            (0..5, Content::Host(100)),
            (5..10, Content::Zero),
            (10..20, Content::Zero),
            (20..30, Content::Host(500)),
            (30..40, Content::Host(215)),
            (40..60, Content::Zero),
        ];
        assert_eq!(told, expected);
    }
}
