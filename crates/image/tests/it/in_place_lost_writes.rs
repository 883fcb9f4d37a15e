//! In-place rewrites on a system that tells of lost writes just once: a flush fails, what was written before it is not on the medium,
//! and is read back all the same until the next power cut. So does Linux.

use std::{
    io,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use cadenas_image::{
    NoProgress, Progress, Storage, Tuning,
    in_place::{InPlace, Sizes},
    storage::testing::Memory,
};

use crate::{
    in_place::{Kind, PAYLOAD, Zones},
    in_place_crash::{Case, DISK, Goal, JOURNAL, Media},
};

/// A medium and what the system shows of it.
struct Forgetful {
    shown: Memory,
    durable: Memory,
    pending: Mutex<Vec<(u64, Vec<u8>)>>,
    /// Flushes until one fails.
    left: AtomicI64,
}

impl Forgetful {
    fn new(bytes: &[u8], left: i64) -> Self {
        let [shown, durable] = [bytes, bytes].map(|bytes| Memory::from_bytes(bytes.to_vec()));
        Self { shown, durable, pending: Mutex::default(), left: AtomicI64::new(left) }
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

impl Storage for Forgetful {
    fn len(&self) -> io::Result<u64> {
        self.shown.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.shown.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.pending.lock().expect("no panic").push((offset, buf.to_vec()));
        self.shown.write_at(offset, buf)?;
        // Lengths are the file system's own affair, and it keeps them.
        let len = self.shown.len()?;
        if self.durable.len()? < len { self.durable.set_len(len) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        for (offset, bytes) in self.pending.lock().expect("no panic").iter_mut() {
            bytes.truncate(usize::try_from(len.saturating_sub(*offset)).expect("small"));
        }
        self.shown.set_len(len)?;
        self.durable.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let pending = std::mem::take(&mut *self.pending.lock().expect("no panic"));
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(io::Error::other("some writes were lost"));
        }
        pending.iter().try_for_each(|(offset, bytes)| self.durable.write_at(*offset, bytes))
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.shown.next_data(from)
    }
}

/// Goes to a goal while one flush of a medium fails, and then again, so far as `progress` lets it; what a power cut leaves then, and
/// whether no flush failed.
fn failing_once(case: &Case, from: &Media, goal: Goal, fails: (usize, i64), progress: &dyn Progress) -> (Media, bool) {
    let (medium, left) = fails;
    let media = [DISK, JOURNAL].map(|of| Forgetful::new(&from[of], if of == medium { left } else { i64::MAX }));
    let passphrases = case.kind.passphrases();
    let go = |progress: &dyn Progress| {
        let opened = InPlace::open(&media[DISK], &media[JOURNAL], passphrases.last().expect("one"));
        let mut opened = opened.expect("opened");
        // One thread flushes in the same order every time.
        let tuning = Tuning { jobs: std::num::NonZeroUsize::new(1), ..Tuning::default() };
        match goal {
            Goal::New => opened.run(&tuning, progress),
            Goal::Old => opened.undo(&tuning, progress),
        }
    };
    let failed = go(&NoProgress).is_err();
    assert_eq!(failed, media[medium].has_failed());
    if failed {
        drop(go(progress));
    }
    (media.map(|medium| medium.durable.to_bytes()), !failed)
}

fn each_flush(case: &Case, from: &Media, goal: Goal) {
    for medium in [DISK, JOURNAL] {
        for left in 0.. {
            let when = format!("{:?}, flush {left} of medium {medium} failed", case.kind);
            let (media, is_done) = failing_once(case, from, goal, (medium, left), &NoProgress);
            let wanted = if goal == Goal::New { &case.new } else { &case.old };
            assert!(media[DISK] == *wanted, "{goal:?} is not durable, {when}");
            if is_done {
                break;
            }
            let few = Zones(AtomicUsize::new(2));
            let (media, _) = failing_once(case, from, goal, (medium, left), &few);
            for next in [Goal::New, Goal::Old] {
                case.assert_reaches(&media, next, &when);
            }
        }
    }
}

#[test]
fn a_flush_that_failed_once_is_made_good_and_not_taken_for_done() {
    for kind in [Kind::Encrypt, Kind::Decrypt, Kind::Recrypt, Kind::RawToQcow2, Kind::EncryptQcow2, Kind::RecryptQcow2]
    {
        let case = Case::new(kind, 11_300, Sizes { window: 2, zone: 4096, payload: PAYLOAD });
        each_flush(&case, &case.prepared, Goal::New);
        each_flush(&case, &case.stopped(3), Goal::Old);
        each_flush(&case, &case.stopped(1000), Goal::Old);
    }
}
