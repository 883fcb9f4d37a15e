//! What to move in which order: a state machine without I/O.
//!
//! An image is told as [`Extent`]s, which follow each other without gaps. [`Plan`] cuts them into [`Segment`]s of bounded
//! size that begin at the target's granules (clusters, say), so that each can be read, enciphered and written by itself.

use std::{collections::VecDeque, ops::Range};

/// A run of the disk and where its bytes come from. Offsets in bytes; `guest` counts on the disk, the rest in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) guest: Range<u64>,
    pub(crate) content: Content,
}

/// Where the bytes of an [`Extent`] come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nowhere: they are zeros.
    Zero,
    /// From this offset of the file on, as they are.
    Host(u64),
    /// From a part of a cluster that is compressed in this range of the file.
    Packed { host: Range<u64>, skip: u64 },
}

impl Extent {
    pub(crate) fn len(&self) -> u64 {
        self.guest.end - self.guest.start
    }

    /// Cuts off and returns the first `len` bytes.
    pub(crate) fn take(&mut self, len: u64) -> Self {
        let at = self.guest.start + len;
        let first = Self { guest: self.guest.start..at, content: self.content.clone() };
        self.guest.start = at;
        match &mut self.content {
            Content::Zero => {}
            Content::Host(host) => *host += len,
            Content::Packed { skip, .. } => *skip += len,
        }
        first
    }

    fn continues(&self, before: &Self) -> bool {
        match (&before.content, &self.content) {
            (Content::Zero, Content::Zero) => true,
            (Content::Host(start), Content::Host(next)) => start + before.len() == *next,
            _ => false,
        }
    }
}

/// A piece of work: a run of the disk that begins at a granule of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A hole, of any length.
    Zero(Range<u64>),
    /// Bytes to be moved, of bounded length.
    Data(Vec<Extent>),
}

impl Segment {
    pub(crate) fn guest(&self) -> Range<u64> {
        match self {
            Self::Zero(range) => range.clone(),
            Self::Data(parts) => {
                let first = parts.first().map_or(0, |part| part.guest.start);
                first..parts.last().map_or(first, |part| part.guest.end)
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        let guest = self.guest();
        guest.end - guest.start
    }
}

/// How a target wants its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Segments begin at multiples of this; a granule is a hole or not, as a whole.
    pub(crate) granule: u64,
    /// No data segment is longer; a multiple of the granule.
    pub(crate) longest: u64,
    /// Whether holes stay holes; otherwise they are data segments of zeros.
    pub(crate) keeps_holes: bool,
}

/// Cuts extents into segments.
pub(crate) struct Plan<I> {
    extents: I,
    cut: Cut,
    /// Extents that are drawn and not yet used up.
    ahead: VecDeque<Extent>,
    /// A segment that the next one did not fit on.
    held: Option<Segment>,
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Plan<I> {
    pub(crate) fn new(extents: I, cut: Cut) -> Self {
        debug_assert!(cut.longest >= cut.granule && cut.longest.is_multiple_of(cut.granule));
        Self { extents, cut, ahead: VecDeque::new(), held: None }
    }

    /// The next granules, as many as need no joining of extents.
    fn piece(&mut self) -> Result<Option<Segment>, E> {
        let Some(mut head) = self.draw()? else { return Ok(None) };
        let longest = if self.is_hole(&head) { u64::MAX } else { self.cut.longest };
        let whole = head.len().min(longest) / self.cut.granule * self.cut.granule;
        if whole > 0 {
            let first = head.take(whole);
            self.put_back(head);
            return Ok(Some(self.segment(vec![first])));
        }
        self.put_back(head);
        self.joined_granule().map(Some)
    }

    /// One granule out of several extents; the last of the disk may be short.
    fn joined_granule(&mut self) -> Result<Segment, E> {
        let (mut parts, mut missing) = (Vec::new(), self.cut.granule);
        while missing > 0
            && let Some(mut head) = self.draw()?
        {
            let part = head.take(head.len().min(missing));
            self.put_back(head);
            missing -= part.len();
            append(&mut parts, part);
        }
        Ok(self.segment(parts))
    }

    fn segment(&self, parts: Vec<Extent>) -> Segment {
        let segment = Segment::Data(parts);
        match &segment {
            Segment::Data(parts) if parts.iter().all(|part| self.is_hole(part)) => Segment::Zero(segment.guest()),
            _ => segment,
        }
    }

    fn is_hole(&self, extent: &Extent) -> bool {
        self.cut.keeps_holes && extent.content == Content::Zero
    }

    fn draw(&mut self) -> Result<Option<Extent>, E> {
        match self.ahead.pop_front() {
            Some(extent) => Ok(Some(extent)),
            None => {
                self.extents.by_ref().find(|extent| !extent.as_ref().is_ok_and(|extent| extent.len() == 0)).transpose()
            }
        }
    }

    fn put_back(&mut self, rest: Extent) {
        if rest.len() > 0 {
            self.ahead.push_front(rest);
        }
    }

    /// Joins `next` to `segment` if both are of a kind and fit together; else gives it back.
    fn join(&self, segment: &mut Segment, next: Segment) -> Option<Segment> {
        match (segment, next) {
            (Segment::Zero(range), Segment::Zero(more)) => range.end = more.end,
            (segment @ Segment::Data(_), Segment::Data(more)) => {
                if segment.len() + span(&more) > self.cut.longest {
                    return Some(Segment::Data(more));
                }
                let Segment::Data(parts) = segment else { unreachable!("matched above") };
                for part in more {
                    append(parts, part);
                }
            }
            (_, next) => return Some(next),
        }
        None
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Iterator for Plan<I> {
    type Item = Result<Segment, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut segment = match self.held.take().map_or_else(|| self.piece(), |held| Ok(Some(held))) {
            Ok(segment) => segment?,
            Err(error) => return Some(Err(error)),
        };
        loop {
            match self.piece() {
                Ok(Some(next)) => self.held = self.join(&mut segment, next),
                Ok(None) => return Some(Ok(segment)),
                Err(error) => return Some(Err(error)),
            }
            if self.held.is_some() {
                return Some(Ok(segment));
            }
        }
    }
}

fn append(parts: &mut Vec<Extent>, part: Extent) {
    match parts.last_mut() {
        Some(last) if part.continues(last) => last.guest.end = part.guest.end,
        _ => parts.push(part),
    }
}

fn span(parts: &[Extent]) -> u64 {
    parts.iter().map(Extent::len).sum()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_granule_with_one_byte_of_data_is_data() {
        let extents = [zero(0..100), host(100..101, 7), zero(101..300)];
        let cut = Cut { granule: 128, longest: 128, keeps_holes: true };
        assert_eq!(
            plan(&extents, cut),
            [Segment::Data(vec![zero(0..100), host(100..101, 7), zero(101..128)]), Segment::Zero(128..300),]
        );
    }

    #[test]
    fn neighbours_in_the_file_are_read_at_once() {
        let extents = [host(0..64, 1000), host(64..128, 1064), host(128..192, 5000)];
        let cut = Cut { granule: 64, longest: 1024, keeps_holes: true };
        assert_eq!(plan(&extents, cut), [Segment::Data(vec![host(0..128, 1000), host(128..192, 5000)])]);
    }

    #[test]
    fn without_holes_everything_is_data_of_bounded_length() {
        let cut = Cut { granule: 64, longest: 128, keeps_holes: false };
        assert_eq!(
            plan(&[zero(0..300)], cut),
            [
                Segment::Data(vec![zero(0..128)]),
                Segment::Data(vec![zero(128..256)]),
                Segment::Data(vec![zero(256..300)]),
            ]
        );
    }

    #[test]
    fn a_hole_of_an_exbibyte_is_one_segment() {
        let cut = Cut { granule: 512, longest: 1 << 20, keeps_holes: true };
        assert_eq!(plan(&[zero(0..1 << 60)], cut), [Segment::Zero(0..1 << 60)]);
    }

    proptest! {
        /// Whatever the extents: the segments follow each other without gaps, begin at granules, are bounded, hold the
        /// same bytes from the same places, and are holes exactly where whole granules are.
        #[test]
        fn segments_are_the_extents_cut_anew(
            extents in extents(),
            granule in prop::sample::select(vec![1_u64, 4, 16, 64]),
            longest in 1_u64..8,
            keeps_holes: bool,
        ) {
            let cut = Cut { granule, longest: granule * longest, keeps_holes };
            let segments = plan(&extents, cut);
            let mut at = 0;
            for segment in &segments {
                prop_assert_eq!(segment.guest().start, at);
                prop_assert!(at.is_multiple_of(granule));
                at = segment.guest().end;
                prop_assert!(matches!(segment, Segment::Zero(_)) || segment.len() <= cut.longest);
                prop_assert!(keeps_holes || matches!(segment, Segment::Data(_)));
            }
            let parts: Vec<Extent> = segments.iter().cloned().flat_map(parts).collect();
            prop_assert_eq!(bytes(&parts), bytes(&extents));
            if keeps_holes {
                for granule_bytes in bytes(&extents).chunks(usize::try_from(granule).expect("small")).enumerate() {
                    let start = u64::try_from(granule_bytes.0).expect("small") * granule;
                    let hole = granule_bytes.1.iter().all(|byte| *byte == Content::Zero);
                    let found = segments.iter().find(|segment| segment.guest().contains(&start)).expect("covered");
                    prop_assert_eq!(matches!(found, Segment::Zero(_)), hole);
                }
            }
        }
    }

    fn plan(extents: &[Extent], cut: Cut) -> Vec<Segment> {
        let extents = extents.iter().cloned().map(Ok::<_, Infallible>);
        Plan::new(extents, cut).map(|segment| segment.expect("infallible")).collect()
    }

    fn extents() -> impl Strategy<Value = Vec<Extent>> {
        prop::collection::vec((0_u64..200, 0_u8..3, 0_u64..10_000), 0..20).prop_map(|runs| {
            let mut at = 0;
            runs.into_iter()
                .map(|(len, kind, place)| {
                    let guest = at..at + len;
                    at += len;
                    match kind {
                        0 => zero(guest),
                        1 => host(guest, place),
                        _ => Extent { guest, content: Content::Packed { host: place..place + 9, skip: 0 } },
                    }
                })
                .collect()
        })
    }

    fn parts(segment: Segment) -> Vec<Extent> {
        match segment {
            Segment::Zero(range) => vec![zero(range)],
            Segment::Data(parts) => parts,
        }
    }

    /// Where each single byte of the disk comes from.
    fn bytes(extents: &[Extent]) -> Vec<Content> {
        let mut bytes = Vec::new();
        for extent in extents {
            let mut rest = extent.clone();
            while rest.len() > 0 {
                bytes.push(rest.take(1).content);
            }
        }
        bytes
    }

    fn zero(guest: Range<u64>) -> Extent {
        Extent { guest, content: Content::Zero }
    }

    fn host(guest: Range<u64>, at: u64) -> Extent {
        Extent { guest, content: Content::Host(at) }
    }
}
