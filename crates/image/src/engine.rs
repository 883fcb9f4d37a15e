//! The pool: each thread takes the next segment, reads it, turns it into what the target wants, and writes it.
//!
//! No piece of work waits in a queue: a thread has one buffer and uses it again, so that memory is bounded by the number of
//! threads, and a slow disk slows down whoever reads. The first error ends everything: no thread finds a segment any more.

use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{ImageError, Tuning, plan::Segment, storage::aligned::AlignedBuf};

/// More threads only take memory: no disk answers faster.
const MOST_JOBS: usize = 32;

/// What a thread works on: a segment's bytes. Used again for the next one.
pub(crate) struct Piece {
    /// Where on the disk the buffer begins.
    start: u64,
    /// The segment's bytes, then zeros up to the target's granule.
    pub(crate) data: AlignedBuf,
    /// Compressed bytes that are yet to be unpacked into the buffer.
    pub(crate) packed: Vec<Packed>,
    /// What of the buffer goes where in the target.
    pub(crate) writes: Vec<Write>,
}

/// The bytes of a compressed cluster.
pub(crate) struct Packed {
    /// Where they come from, for messages.
    pub(crate) host: u64,
    pub(crate) bytes: Vec<u8>,
    /// So much of the unpacked cluster comes before what is wanted.
    pub(crate) skip: usize,
    /// Where in the buffer it goes.
    pub(crate) at: Range<usize>,
}

/// A run of the buffer that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) at: Range<usize>,
    /// Where on the disk it belongs.
    pub(crate) guest: u64,
    /// Where in the target's file it goes.
    pub(crate) host: u64,
}

impl Piece {
    /// Room for segments of `longest` bytes.
    pub(crate) fn with_room(longest: u64) -> Self {
        let data = AlignedBuf::zeroed(usize::try_from(longest).expect("segments of data are bounded"));
        Self { start: 0, data, packed: Vec::new(), writes: Vec::new() }
    }

    /// Makes it hold `guest`, with zeros behind that up to a multiple of `granule`.
    pub(crate) fn prepare(&mut self, guest: &Range<u64>, granule: u64) {
        let len = usize::try_from(guest.end - guest.start).expect("segments of data are bounded");
        let padded = len.next_multiple_of(usize::try_from(granule).expect("granules are small"));
        self.start = guest.start;
        self.data.resize(padded);
        self.data[len..].fill(0);
        self.packed.clear();
        self.writes.clear();
    }

    /// Where in the buffer a part of the disk is.
    pub(crate) fn range_of(&self, guest: &Range<u64>) -> Range<usize> {
        let at = |offset: u64| usize::try_from(offset - self.start).expect("parts lie in their segment");
        at(guest.start)..at(guest.end)
    }
}

/// How many threads work: as many as were asked for, or some more than there are cores, as some always wait for the disk.
pub(crate) fn jobs(tuning: &Tuning) -> usize {
    let wanted =
        tuning.jobs.map_or_else(|| thread::available_parallelism().map_or(2, NonZeroUsize::get) + 2, NonZeroUsize::get);
    wanted.min(MOST_JOBS)
}

/// Gives each segment to one of `jobs` threads, in their order, and returns when all are done or after the first error.
/// `worker` makes what a thread keeps for itself.
pub(crate) fn run<W>(
    jobs: usize,
    segments: impl Iterator<Item = Result<Segment, ImageError>> + Send,
    worker: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &Segment) -> Result<(), ImageError> + Sync,
) -> Result<(), ImageError> {
    let line = Line(Mutex::new(State { segments: Some(segments), failure: None }));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                step_back();
                let mut own = worker();
                while let Some(segment) = line.next() {
                    work(&mut own, &segment).unwrap_or_else(|error| line.fail(error));
                }
            });
        }
    });
    line.0.into_inner().unwrap_or_else(PoisonError::into_inner).failure.map_or(Ok(()), Err)
}

/// Lowers this thread's priority, for the processor and with it for the disk: running VMs come first, and an idle host is no slower.
pub(crate) fn step_back() {
    const NICER: i32 = 5;
    // Without it the work goes on as well.
    let _ = rustix::process::nice(NICER);
}

/// The segments that are still to be worked on.
struct Line<I>(Mutex<State<I>>);

struct State<I> {
    /// None after an error.
    segments: Option<I>,
    failure: Option<ImageError>,
}

impl<I: Iterator<Item = Result<Segment, ImageError>>> Line<I> {
    fn next(&self) -> Option<Segment> {
        let next = self.state().segments.as_mut()?.next()?;
        next.map_err(|error| self.fail(error)).ok()
    }

    /// Nobody gets a segment after this. The first error is the one to tell: others follow from it.
    fn fail(&self, error: ImageError) {
        let mut state = self.state();
        state.segments = None;
        state.failure.get_or_insert(error);
    }

    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn every_segment_is_worked_on_once() {
        let seen = Mutex::new(BTreeSet::new());
        let work = |(): &mut (), segment: &Segment| {
            assert!(seen.lock().expect("no panic").insert(segment.guest().start));
            Ok(())
        };
        run(4, segments(1000), || (), work).expect("no error");
        assert_eq!(seen.into_inner().expect("no panic").len(), 1000);
    }

    #[test]
    fn the_first_error_ends_it_and_is_told() {
        let worked = AtomicUsize::new(0);
        let work = |(): &mut (), segment: &Segment| {
            worked.fetch_add(1, Ordering::Relaxed);
            if segment.guest().start == 10 { Err(ImageError::Cancelled) } else { Ok(()) }
        };
        assert!(matches!(run(4, segments(1_000_000), || (), work), Err(ImageError::Cancelled)));
        assert!(worked.into_inner() < 1_000_000);
    }

    #[test]
    fn an_error_of_the_plan_is_told() {
        let plan = segments(5).chain([Err(ImageError::Cancelled)]).chain(segments(5));
        let worked = AtomicUsize::new(0);
        let work = |(): &mut (), _: &Segment| {
            worked.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        assert!(matches!(run(3, plan, || (), work), Err(ImageError::Cancelled)));
        assert_eq!(worked.into_inner(), 5);
    }

    #[test]
    fn no_wish_for_threads_is_out_of_bounds() {
        assert!(jobs(&Tuning::default()) > 2);
        assert_eq!(jobs(&Tuning { jobs: NonZeroUsize::new(1), rate_limit: None }), 1);
        assert_eq!(jobs(&Tuning { jobs: NonZeroUsize::new(usize::MAX), rate_limit: None }), MOST_JOBS);
    }

    fn segments(count: u64) -> impl Iterator<Item = Result<Segment, ImageError>> + Send {
        (0..count).map(|at| Ok(Segment::Zero(at..at + 1)))
    }
}
