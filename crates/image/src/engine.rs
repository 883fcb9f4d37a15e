//! The pipeline: one thread reads, several encipher, the calling one writes.
//!
//! Pieces of work travel through channels; their buffers come from a fixed pool and go back to it, which bounds memory and
//! keeps a fast stage from running ahead. The first error that reaches the writer ends everything: it drops its channel
//! ends, at which the other stages stop.

use std::{num::NonZeroUsize, ops::Range, thread};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::{ImageError, plan::Segment};

/// A segment on its way, with the buffer that it lent from the pool.
pub(crate) struct Piece {
    /// Where on the disk the buffer begins.
    start: u64,
    /// The segment's bytes, then zeros up to the target's granule.
    pub(crate) data: Vec<u8>,
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
    fn empty() -> Self {
        Self { start: 0, data: Vec::new(), packed: Vec::new(), writes: Vec::new() }
    }

    /// Makes it hold `guest`, with zeros behind that up to a multiple of `granule`.
    fn prepare(&mut self, guest: &Range<u64>, granule: u64) {
        let len = usize::try_from(guest.end - guest.start).expect("segments of data are bounded");
        let padded = len.next_multiple_of(usize::try_from(granule).expect("granules are small"));
        self.start = guest.start;
        self.data.resize(padded, 0);
        self.data[len..].fill(0);
        self.packed.clear();
        self.writes.clear();
    }

    /// What is to be written, with its offset in the target's file.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.writes.iter().map(|write| (write.host, &self.data[write.at.clone()]))
    }

    /// Where in the buffer a part of the disk is.
    pub(crate) fn range_of(&self, guest: &Range<u64>) -> Range<usize> {
        let at = |offset: u64| usize::try_from(offset - self.start).expect("parts lie in their segment");
        at(guest.start)..at(guest.end)
    }
}

/// What a conversion does at each stage.
pub(crate) trait Stages: Sync {
    /// What a cipher thread keeps for itself.
    type Worker;

    /// Buffers are padded to a multiple of this, in bytes.
    fn padding(&self) -> u64;
    /// Fills the piece from the source; on the reading thread. An error here stops the reading.
    fn read(&self, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError>;
    /// Made once on each cipher thread.
    fn worker(&self) -> Self::Worker;
    /// Deciphers and enciphers the piece and says what goes where.
    fn work(&self, worker: &mut Self::Worker, segment: &Segment, piece: &mut Piece) -> Result<(), ImageError>;
}

/// Sends every segment through the stages and gives each to `write`, on this thread, in any order. Holes come with no piece.
pub(crate) fn run<S: Stages>(
    stages: &S,
    segments: impl Iterator<Item = Result<Segment, ImageError>> + Send,
    mut write: impl FnMut(&Segment, Option<&Piece>) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let workers = thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let pool = 2 * workers + 2;
    let (free_in, free_out) = bounded(pool);
    (0..pool).for_each(|_| free_in.send(Piece::empty()).expect("the pool has room for all its pieces"));
    let (read_in, read_out) = bounded(pool);
    let (done_in, done_out) = unbounded();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (read_out, done_in) = (read_out.clone(), done_in.clone());
            scope.spawn(move || work_all(stages, &read_out, &done_in));
        }
        drop(read_out);
        scope.spawn(move || read_all(stages, segments, &free_out, &read_in, &done_in));
        let written = write_all(&done_out, &free_in, &mut write);
        // Without the writer's ends of the channels the other stages stop.
        drop((done_out, free_in));
        written
    })
}

/// A segment, and the piece that holds its bytes unless it is a hole.
type Item = (Segment, Option<Piece>);

fn read_all<S: Stages>(
    stages: &S,
    segments: impl Iterator<Item = Result<Segment, ImageError>>,
    free: &Receiver<Piece>,
    read: &Sender<Item>,
    done: &Sender<Result<Item, ImageError>>,
) {
    for segment in segments {
        let item = segment.and_then(|segment| match &segment {
            Segment::Zero(_) => Ok(Some((segment, None))),
            Segment::Data(_) => {
                let Ok(mut piece) = free.recv() else { return Ok(None) };
                piece.prepare(&segment.guest(), stages.padding());
                stages.read(&segment, &mut piece)?;
                Ok(Some((segment, Some(piece))))
            }
        });
        let sent = match item {
            Ok(Some(item @ (_, Some(_)))) => read.send(item).is_ok(),
            Ok(Some(hole)) => done.send(Ok(hole)).is_ok(),
            // The writer has stopped.
            Ok(None) => false,
            Err(error) => {
                drop(done.send(Err(error)));
                false
            }
        };
        if !sent {
            return;
        }
    }
}

fn work_all<S: Stages>(stages: &S, read: &Receiver<Item>, done: &Sender<Result<Item, ImageError>>) {
    let mut worker = stages.worker();
    for (segment, mut piece) in read {
        let outcome = piece.as_mut().map_or(Ok(()), |piece| stages.work(&mut worker, &segment, piece));
        if done.send(outcome.map(|()| (segment, piece))).is_err() {
            return;
        }
    }
}

fn write_all(
    done: &Receiver<Result<Item, ImageError>>,
    free: &Sender<Piece>,
    write: &mut impl FnMut(&Segment, Option<&Piece>) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    for item in done {
        let (segment, piece) = item?;
        write(&segment, piece.as_ref())?;
        if let Some(piece) = piece {
            // The reader may have ended already; then nobody needs the buffer.
            drop(free.send(piece));
        }
    }
    Ok(())
}
