//! In-place rewrites on media that fail, and journals that somebody has changed.

use cadenas_image::{
    ImageError, NoProgress, Tuning,
    in_place::{InPlace, Sizes},
    storage::testing::{Countdown, Memory},
};

use crate::{
    in_place::{KINDS, Kind, PAYLOAD},
    in_place_crash::{Case, DISK, Dice, Goal, JOURNAL, Media},
};

const SMALL: Sizes = Sizes { window: 2, zone: 4096, payload: PAYLOAD };

#[test]
fn any_call_on_the_image_or_the_journal_may_fail_and_both_ways_stay_open() {
    for kind in KINDS {
        let case = Case::new(kind, 11_000, SMALL);
        for failing in [DISK, JOURNAL] {
            let mut goal = Goal::Old;
            for calls in 0.. {
                assert!(calls < 500, "it never succeeds");
                let (done, left) = with_countdown(&case, &case.prepared, Goal::New, failing, calls);
                goal = if goal == Goal::Old { Goal::New } else { Goal::Old };
                case.assert_reaches(&left, goal, &format!("{kind:?}, medium {failing} failed after {calls} calls"));
                if done.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn any_call_may_fail_on_the_way_back() {
    for kind in KINDS {
        let case = Case::new(kind, 11_000, SMALL);
        let half = case.in_flight(&mut Dice(4));
        for failing in [DISK, JOURNAL] {
            let mut goal = Goal::Old;
            for calls in 0.. {
                assert!(calls < 500, "it never succeeds");
                let (done, left) = with_countdown(&case, &half, Goal::Old, failing, calls);
                goal = if goal == Goal::Old { Goal::New } else { Goal::Old };
                case.assert_reaches(&left, goal, &format!("{kind:?}, medium {failing} failed after {calls} calls"));
                if done.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn any_call_may_fail_while_the_journal_is_made_and_the_image_stays() {
    for kind in KINDS {
        let case = Case::new(kind, 5_000, SMALL);
        for failing in [DISK, JOURNAL] {
            for calls in 0.. {
                let media = [case.old.clone(), Vec::new()];
                let [disk, journal] = counting(&media, failing, calls);
                let done = kind.prepare(&disk, &journal, 5_000, SMALL).map(|_| ());
                assert!(disk.inner().to_bytes() == case.old);
                if done.is_ok() {
                    break;
                }
                assert!(calls < 100, "it never succeeds");
            }
        }
    }
}

#[test]
fn a_changed_byte_of_the_journal_never_makes_another_image() {
    for kind in KINDS {
        let case = Case::new(kind, 20_000, SMALL);
        let half = case.in_flight(&mut Dice(9));
        let records_at = half[JOURNAL].len() - records_len(kind);
        let fixed = (0..160).chain((160..records_at).step_by(records_at / 150));
        let records = (records_at..half[JOURNAL].len()).filter(|at| half[JOURNAL][*at] != 0);
        let records: Vec<usize> = records.collect();
        let step = records.len().div_ceil(250);
        for at in fixed.chain(records.into_iter().step_by(step)) {
            let mut media = half.clone();
            media[JOURNAL][at] ^= 1 << (at % 8);
            assert_refused_or_the_same(&case, &media, at);
        }
    }
}

#[test]
fn a_journal_that_is_cut_off_is_refused() {
    let case = Case::new(Kind::Encrypt, 5_000, SMALL);
    for len in [0, 1, 24, 56, 4096, case.prepared[JOURNAL].len() / 2, case.prepared[JOURNAL].len() - 4096] {
        let journal = Memory::from_bytes(case.prepared[JOURNAL][..len].to_vec());
        let disk = Memory::from_bytes(case.old.clone());
        assert!(InPlace::open(&disk, &journal, &case.kind.passphrases()[0]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_sector_that_was_changed_while_it_was_in_flight_is_named_and_nothing_is_written() {
    let case = Case::new(Kind::Recrypt, 20_000, SMALL);
    let mut named = 0;
    for roll in 0..40 {
        let mut half = case.in_flight(&mut Dice(roll));
        // Zones in flight are behind the payload's start; the rest is read as it is.
        let at = usize::try_from(PAYLOAD).expect("small") + 512 * usize::try_from(roll).expect("small") % 20_000;
        half[DISK][at] ^= 1;
        let (disk, journal) = (Memory::from_bytes(half[DISK].clone()), Memory::from_bytes(half[JOURNAL].clone()));
        let mut opened = InPlace::open(&disk, &journal, &case.kind.passphrases()[0]).expect("opened");
        match opened.run(&Tuning::default(), &NoProgress) {
            Ok(()) => assert!(disk.to_bytes() != case.new, "the changed bit is gone"),
            Err(ImageError::Damaged { what, .. }) => {
                assert!(what.contains(&(at / 512 * 512).to_string()), "{what}");
                named += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(named > 0, "none was in flight");
}

/// Bytes of the journal's progress area.
fn records_len(kind: Kind) -> usize {
    let copy = |tags: usize| (135 + tags * 16_usize).next_multiple_of(4096);
    let tags = if kind == Kind::Recrypt { 4096 / 512 } else { 0 };
    2 * 2 * 4096 + 4 * 2 * copy(tags)
}

fn assert_refused_or_the_same(case: &Case, media: &Media, at: usize) {
    let (disk, journal) = (Memory::from_bytes(media[DISK].clone()), Memory::from_bytes(media[JOURNAL].clone()));
    let passphrases = case.kind.passphrases();
    let done = InPlace::open(&disk, &journal, passphrases.last().expect("one"))
        .and_then(|mut opened| opened.run(&Tuning::default(), &NoProgress));
    match done {
        Ok(()) => assert!(disk.to_bytes() == case.new, "{:?}: another image, byte {at} changed", case.kind),
        Err(error) => assert!(disk.to_bytes() == media[DISK], "{error}, and the image was changed"),
    }
}

fn counting(media: &Media, failing: usize, calls: u64) -> [Countdown<Memory>; 2] {
    let calls_of = |medium| if medium == failing { calls } else { u64::MAX };
    [DISK, JOURNAL].map(|medium| Countdown::new(Memory::from_bytes(media[medium].clone()), calls_of(medium)))
}

fn with_countdown(
    case: &Case,
    media: &Media,
    goal: Goal,
    failing: usize,
    calls: u64,
) -> (Result<(), ImageError>, Media) {
    let [disk, journal] = counting(media, failing, calls);
    let passphrases = case.kind.passphrases();
    let done = InPlace::open(&disk, &journal, passphrases.last().expect("one")).and_then(|mut opened| match goal {
        Goal::New => opened.run(&Tuning::default(), &NoProgress),
        Goal::Old => opened.undo(&Tuning::default(), &NoProgress),
    });
    let left = [disk.inner().to_bytes(), journal.inner().to_bytes()];
    (done, left)
}
