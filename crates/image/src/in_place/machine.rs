//! The pass over all zones of a rewrite, by several threads.
//!
//! # Why a crash at any instant loses nothing
//!
//! A zone is read, its record is made durable, its new form is written and made durable; then it is *done*. `durable` is the position
//! before which all zones are done (going back, read everything mirrored). A zone may be read early, but the record of zone k is
//! written only when every zone up to k-W (W is the `window`) is done, and it says a `durable` of at least the end of zone k-W.
//!
//! **2W slots are enough.** Record k+2W goes into the slot of record k, and destroys it even if it is torn itself. It is
//! written when zone k+W is done, so record k+W is durable, stands in another slot, and says that everything up to the end of
//! zone k is done: record k is not needed any more. And record k+W is whole at that time, since only record k+3W replaces it,
//! which is not written before zone k+2W is done. So the records always tell a `durable`, and every zone behind it of which a
//! sector may have been written has its record.
//!
//! **A shifted layout needs no tags.** A zone is at most a W-th of the shift. The write of zone k therefore reaches over old places
//! of zones up to k-W alone: they are done, and record k, durable before that write, says so. After a crash the pass goes on from
//! the `durable` that the records tell; the old form of everything behind it is untouched, whatever is half written in the new
//! places, and is simply moved again. A change of direction begins at such a position too, so that the same holds.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{
    flusher::Flusher,
    records::{Direction, Record, Records, Sizes},
    zone::{Way, Worker},
};
use crate::{ImageError, Progress, Tuning, engine::step_back, throttle::Throttle};

/// One pass.
pub(super) struct Pass<'a> {
    pub(super) way: &'a Way<'a>,
    pub(super) records: &'a Records<'a>,
    pub(super) sizes: Sizes,
    pub(super) epoch: u64,
    pub(super) tuning: &'a Tuning,
    pub(super) progress: &'a dyn Progress,
}

impl Pass<'_> {
    /// Rewrites all zones from a position on, to the end or, going back, to the start; durable on return. After an error no
    /// zone is under way any more.
    pub(super) fn run(&self, from: u64) -> Result<(), ImageError> {
        let window = usize::try_from(self.sizes.window).expect("at most 64");
        // More threads than may write: some read ahead.
        let ahead = window.div_ceil(2);
        let threads = self.tuning.jobs.map_or(window + ahead, NonZeroUsize::get).min(window + ahead);
        let shared = Shared {
            line: Line::new(from),
            throttle: Throttle::new(self.tuning.rate_limit),
            journal: self.records.flusher(),
            disk: Flusher::new(self.way.disk),
        };
        self.tell_done(from);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work(&shared));
            }
        });
        shared.line.into_result()
    }

    /// What earlier passes did counts too.
    fn tell_done(&self, from: u64) {
        let (total, before) = (self.way.layout.total_bytes(), self.way.bytes_in(0..from, self.sizes.zone));
        self.progress.advance(match self.way.direction {
            Direction::Forward => before,
            Direction::Back => total.saturating_sub(before),
        });
    }

    fn work(&self, shared: &Shared<'_>) {
        step_back();
        let mut worker = self.way.worker();
        while let Some((zone, positions)) = shared.line.take(self) {
            match self.rewrite(&mut worker, zone, positions, shared) {
                Ok(true) => shared.line.done(zone),
                Ok(false) => return,
                Err(error) => shared.line.fail(error),
            }
        }
    }

    /// Rewrites one zone; false if something else has failed before it could.
    fn rewrite(
        &self,
        worker: &mut Worker,
        zone: u64,
        positions: Range<u64>,
        shared: &Shared<'_>,
    ) -> Result<bool, ImageError> {
        let loaded = self.way.load(worker, positions.clone())?;
        shared.throttle.take(loaded.bytes());
        let mut record = Record::of_zone(self.epoch, zone, self.way.direction, 0, positions);
        if self.sizes.tagged {
            record.tags = self.way.tags(worker, &record.salt);
        }
        Way::transform(worker, &loaded);
        let Some(durable) = shared.line.wait_for(zone, self.sizes.window) else { return Ok(false) };
        record.durable = durable;
        self.records.put(&record)?;
        shared.journal.flush()?;
        self.way.store(worker, &loaded)?;
        shared.disk.flush()?;
        self.progress.advance(loaded.bytes());
        Ok(true)
    }

    /// Where the zone ends, or going back begins, that the pass comes to at `at`; `None` if there is none any more.
    fn next(&self, at: u64) -> Option<u64> {
        let layout = self.way.layout;
        match self.way.direction {
            Direction::Forward => (at < layout.end()).then(|| layout.zone_from(at, self.sizes.zone)),
            Direction::Back => (at > 0).then(|| layout.zone_to(at, self.sizes.zone)),
        }
    }
}

/// What the threads of a pass have in common.
struct Shared<'a> {
    line: Line,
    throttle: Throttle,
    journal: Flusher<'a>,
    disk: Flusher<'a>,
}

/// Hands out the zones in their order.
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Where the next zone begins.
    at: u64,
    /// All zones before are done.
    durable: u64,
    /// Number of the first zone that is not done.
    first: u64,
    /// The zones from there on, as far as somebody has taken them.
    taken: VecDeque<Taken>,
    failed: Option<ImageError>,
}

struct Taken {
    reaches: u64,
    done: bool,
}

impl Line {
    fn new(at: u64) -> Self {
        let state = State { at, durable: at, first: 0, taken: VecDeque::new(), failed: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next zone's number and positions; `None` when there is nothing left to do, or something failed.
    fn take(&self, pass: &Pass<'_>) -> Option<(u64, Range<u64>)> {
        let mut state = self.state();
        if state.failed.is_some() {
            return None;
        }
        let reaches = pass.next(state.at)?;
        if pass.progress.cancelled() {
            drop(state);
            self.fail(ImageError::Cancelled);
            return None;
        }
        let number = state.first + u64::try_from(state.taken.len()).expect("one for each thread");
        let positions = state.at.min(reaches)..state.at.max(reaches);
        state.taken.push_back(Taken { reaches, done: false });
        state.at = reaches;
        Some((number, positions))
    }

    /// Waits until a zone's record may be written, and gives the position before which everything is done; `None` if something
    /// failed.
    fn wait_for(&self, zone: u64, window: u32) -> Option<u64> {
        let mut state = self.state();
        while state.failed.is_none() && zone - state.first >= u64::from(window) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failed.is_none().then_some(state.durable)
    }

    fn done(&self, zone: u64) {
        let mut state = self.state();
        let place = usize::try_from(zone - state.first).expect("one for each thread");
        state.taken[place].done = true;
        while let Some(taken) = state.taken.pop_front_if(|taken| taken.done) {
            state.durable = taken.reaches;
            state.first += 1;
        }
        self.changed.notify_all();
    }

    /// The first error counts.
    fn fail(&self, error: ImageError) {
        self.state().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    fn into_result(self) -> Result<(), ImageError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
