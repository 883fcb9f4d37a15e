//! In-place rewrites and power cuts: whatever a cut leaves of the writes that were not flushed, on the image and on the journal,
//! the old image and the new one can both be reached, byte for byte.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use cadenas_image::{
    Format, ImageError, NoProgress, Progress, Storage, Target, Tuning,
    in_place::{InPlace, Sizes},
    storage::testing::Memory,
};

use crate::in_place::{KINDS, Kind, PAYLOAD, Zones, encrypted_in_place, image, plain};

pub(crate) const DISK: usize = 0;
pub(crate) const JOURNAL: usize = 1;

/// Contents of the image and of the journal.
pub(crate) type Media = [Vec<u8>; 2];

/// What was done to both media, in one order.
#[derive(Default)]
struct Log(Mutex<Vec<(usize, Event)>>);

enum Event {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Sync,
}

/// One of the two media, which logs what is done to it.
struct Recorder {
    medium: usize,
    now: Memory,
    log: Arc<Log>,
}

impl Recorder {
    fn pair(media: &Media) -> ([Self; 2], Arc<Log>) {
        let log = Arc::new(Log::default());
        let of = |medium: usize| Self { medium, now: Memory::from_bytes(media[medium].clone()), log: Arc::clone(&log) };
        ([of(DISK), of(JOURNAL)], log)
    }

    fn note(&self, event: Event) {
        self.log.events().push((self.medium, event));
    }
}

impl Storage for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.now.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.now.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.note(Event::Write { offset, bytes: buf.to_vec() });
        self.now.write_at(offset, buf)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Event::SetLen(len));
        self.now.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.note(Event::Sync);
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.now.next_data(from)
    }
}

impl Log {
    fn events(&self) -> MutexGuard<'_, Vec<(usize, Event)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a power cut after so many events may leave.
    fn cut(&self, before: &Media, after: usize, dice: &mut Dice) -> Media {
        let events = self.events();
        [DISK, JOURNAL].map(|medium| {
            let own = events[..after].iter().filter(|(of, _)| *of == medium).map(|(_, event)| event);
            let own: Vec<&Event> = own.collect();
            let flushed = own.iter().rposition(|event| matches!(event, Event::Sync)).map_or(0, |last| last + 1);
            let mut bytes = before[medium].clone();
            own[..flushed].iter().for_each(|event| event.apply(&mut bytes, |_| true));
            let mood = dice.roll(4);
            for event in &own[flushed..] {
                match if mood == 3 { dice.roll(3) } else { mood } {
                    0 => {}
                    1 => event.apply(&mut bytes, |_| true),
                    _ => event.apply(&mut bytes, |_| dice.roll(2) == 0),
                }
            }
            bytes
        })
    }
}

impl Event {
    /// Applies those sectors of it that `keeps` says.
    fn apply(&self, bytes: &mut Vec<u8>, mut keeps: impl FnMut(u64) -> bool) {
        let at = |offset: u64| usize::try_from(offset).expect("small");
        match self {
            Self::Sync => {}
            Self::SetLen(len) => {
                if keeps(0) {
                    bytes.resize(at(*len), 0);
                }
            }
            Self::Write { offset, bytes: written } => {
                let mut done = 0;
                while done < written.len() {
                    let start = at(*offset) + done;
                    let len = (512 - start % 512).min(written.len() - done);
                    if keeps(*offset) {
                        bytes.resize(bytes.len().max(start + len), 0);
                        bytes[start..start + len].copy_from_slice(&written[done..done + len]);
                    }
                    done += len;
                }
            }
        }
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    New,
    Old,
}

/// A rewrite that was prepared, and where it can lead.
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) prepared: Media,
    pub(crate) old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

impl Case {
    pub(crate) fn new(kind: Kind, len: usize, sizes: Sizes) -> Self {
        let plain = plain(len, 11);
        Self::of(kind, kind.old_image(&plain), &plain, sizes)
    }

    /// `old` is an image of the kind, and its disk holds `plain`.
    fn of(kind: Kind, old: Vec<u8>, plain: &[u8], sizes: Sizes) -> Self {
        let len = plain.len();
        let (disk, journal) = (Memory::from_bytes(old.clone()), Memory::new());
        kind.prepare(&disk, &journal, u64::try_from(len).expect("small"), sizes).expect("prepared");
        let prepared = [disk.to_bytes(), journal.to_bytes()];
        let mut case = Self { kind, prepared, old, new: Vec::new() };
        case.new.clone_from(&case.reach(&case.prepared, Goal::New, &NoProgress).1[DISK]);
        kind.assert_new(&Memory::from_bytes(case.new.clone()), plain);
        case
    }

    /// Takes the rewrite up from what is on the media.
    fn reach(&self, media: &Media, goal: Goal, progress: &dyn Progress) -> (Arc<Log>, Media) {
        let ([disk, journal], log) = Recorder::pair(media);
        let passphrases = self.kind.passphrases();
        let mut opened = InPlace::open(&disk, &journal, passphrases.last().expect("one")).expect("opened");
        let done = match goal {
            Goal::New => opened.run(&Tuning::default(), progress),
            Goal::Old => opened.undo(&Tuning::default(), progress),
        };
        assert!(matches!(done, Ok(()) | Err(ImageError::Cancelled)), "{done:?}");
        (log, [disk.now.to_bytes(), journal.now.to_bytes()])
    }

    /// Stopped on the way to the new image after so many zones.
    pub(crate) fn stopped(&self, zones: usize) -> Media {
        self.reach(&self.prepared, Goal::New, &Zones(AtomicUsize::new(zones))).1
    }

    /// What a power cut leaves in the middle of the way to the new image, with zones in flight.
    pub(crate) fn in_flight(&self, dice: &mut Dice) -> Media {
        let (log, _) = self.reach(&self.prepared, Goal::New, &NoProgress);
        let half = log.events().len() / 2;
        log.cut(&self.prepared, half, dice)
    }

    pub(crate) fn assert_reaches(&self, media: &Media, goal: Goal, when: &str) {
        let (_, media) = self.reach(media, goal, &NoProgress);
        let wanted = if goal == Goal::New { &self.new } else { &self.old };
        let differs = media[DISK].iter().zip(wanted).position(|(one, other)| one != other);
        assert!(media[DISK].len() == wanted.len() && differs.is_none(), "{goal:?} differs at {differs:?}, {when}");
    }

    /// Cuts the power at instants of a way to a goal, again while that is recovered, and looks where it still leads.
    fn torture(&self, from: &Media, goal: Goal, rolls: usize, dice: &mut Dice) {
        let (log, _) = self.reach(from, goal, &NoProgress);
        let count = log.events().len();
        // All of a short way's instants, some of a long one's.
        for after in (0..=count).step_by(count.div_ceil(60)) {
            for roll in 0..rolls {
                let left = log.cut(from, after, dice);
                let next = if dice.roll(2) == 0 { Goal::New } else { Goal::Old };
                let when = format!("{:?} to {goal:?}, cut after {after} of {count}, roll {roll}", self.kind);
                self.assert_reaches(&left, next, &when);
                let few = Zones(AtomicUsize::new(dice.roll(8)));
                let (second, _) = self.reach(&left, next, &few);
                let events = second.events().len();
                let left = second.cut(&left, dice.roll(events + 1), dice);
                let last = if dice.roll(2) == 0 { Goal::New } else { Goal::Old };
                self.assert_reaches(&left, last, &format!("{when}, then to {next:?}, cut again"));
            }
        }
    }

    fn everywhere(&self, rolls: usize, dice: &mut Dice) {
        self.torture(&self.prepared, Goal::New, rolls, dice);
        let (_, new) = self.reach(&self.prepared, Goal::New, &NoProgress);
        self.torture(&new, Goal::Old, rolls, dice);
        self.torture(&self.stopped(5), Goal::Old, rolls, dice);
    }
}

#[test]
fn every_power_cut_of_an_encryption_leaves_the_way_to_both_images() {
    small_disks(Kind::Encrypt);
}

#[test]
fn every_power_cut_of_a_decryption_leaves_the_way_to_both_images() {
    small_disks(Kind::Decrypt);
}

#[test]
fn every_power_cut_of_a_change_of_key_leaves_the_way_to_both_images() {
    small_disks(Kind::Recrypt);
}

fn small_disks(kind: Kind) {
    for (len, window, zone) in [(50_300, 3, 4096), (700, 2, 512)] {
        let payload = PAYLOAD + (64 << 10);
        Case::new(kind, len, Sizes { window, zone, payload }).everywhere(1, &mut Dice(1));
    }
}

#[test]
fn every_power_cut_of_an_encryption_leaves_the_way_to_both_images_of_qcow2() {
    qcow2_disk(Kind::EncryptQcow2);
}

#[test]
fn every_power_cut_of_a_decryption_leaves_the_way_to_both_images_of_qcow2() {
    qcow2_disk(Kind::DecryptQcow2);
}

#[test]
fn every_power_cut_of_a_change_of_key_leaves_the_way_to_both_images_of_qcow2() {
    qcow2_disk(Kind::RecryptQcow2);
}

#[test]
fn every_power_cut_leaves_the_way_to_a_raw_disk_and_to_qcow2() {
    qcow2_disk(Kind::RawToQcow2);
}

fn qcow2_disk(kind: Kind) {
    let sizes = Sizes { window: 3, zone: 16 << 10, payload: PAYLOAD };
    Case::new(kind, 150_300, sizes).everywhere(1, &mut Dice(3));
}

#[test]
fn every_power_cut_leaves_the_way_to_both_images_of_qcow2_whose_key_slots_lay_last() {
    let (plain, sizes) = (plain(150_300, 11), Sizes { window: 3, zone: 16 << 10, payload: PAYLOAD });
    let image = image(&plain, &Target::Qcow2 { cluster_size: 64 << 10 });
    let case = Case::of(Kind::DecryptQcow2, encrypted_in_place(image, Format::Qcow2, sizes), &plain, sizes);
    assert!(case.new.len() + 1_000_000 < case.old.len(), "the file was not cut");
    let finished = case.stopped(1000);
    case.torture(&finished, Goal::Old, 3, &mut Dice(4));
}

#[test]
fn every_power_cut_leaves_the_way_to_both_images_of_a_disk_that_moves_over_itself() {
    let dice = &mut Dice(2);
    for kind in [Kind::Encrypt, Kind::Decrypt] {
        let sizes = Sizes { window: 4, zone: 1 << 20, payload: PAYLOAD };
        Case::new(kind, (3 << 20) + 4_444, sizes).everywhere(1, dice);
    }
}

#[test]
fn a_power_cut_while_the_journal_is_made_leaves_the_image_alone() {
    let dice = &mut Dice(3);
    for kind in KINDS {
        let old = kind.old_image(&plain(20_000, 5));
        let before = [old.clone(), Vec::new()];
        let ([disk, journal], log) = Recorder::pair(&before);
        kind.prepare(&disk, &journal, 20_000, Sizes::default()).expect("prepared");
        let events = log.events().len();
        for _ in 0..20 {
            let left = log.cut(&before, dice.roll(events), dice);
            assert!(left[DISK] == old);
            let (disk, journal) = (Memory::from_bytes(left[DISK].clone()), Memory::from_bytes(left[JOURNAL].clone()));
            if let Ok(mut opened) = InPlace::open(&disk, &journal, &kind.passphrases()[0]) {
                opened.undo(&Tuning::default(), &NoProgress).expect("nothing to undo");
            }
            assert!(disk.to_bytes() == old);
        }
    }
}
