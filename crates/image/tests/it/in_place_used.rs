//! In-place rewrites that an error stopped where the image is still, or already, in use, and a guest that used it then: what it
//! wrote is never lost.

use std::num::NonZeroUsize;

use cadenas_image::{
    ImageError, NoProgress, Storage, Tuning,
    in_place::{InPlace, InPlaceState, Sizes},
    storage::testing::{Countdown, Memory},
};

use crate::{
    in_place::{Kind, PAYLOAD, plain, sizes},
    in_place_crash::Media,
};

const LEN: usize = 100_000;

/// A rewrite that was prepared: its image and its journal.
struct Prepared {
    kind: Kind,
    media: Media,
}

/// A rewrite that was stopped.
struct Stopped {
    kind: Kind,
    disk: Memory,
    journal: Memory,
}

impl Prepared {
    fn new(kind: Kind) -> Self {
        Self::of(kind, kind.old_image(&plain(LEN, 7)), sizes(4, 64 << 10))
    }

    fn of(kind: Kind, image: Vec<u8>, sizes: Sizes) -> Self {
        let (disk, journal) = (Memory::from_bytes(image), Memory::new());
        kind.prepare(&disk, &journal, u64::try_from(LEN).expect("small"), sizes).expect("prepared");
        Self { kind, media: [disk.to_bytes(), journal.to_bytes()] }
    }

    /// So late that the image is still the old one: all is staged, and the marker could not be written.
    fn before_marker(&self) -> Stopped {
        self.after(self.calls_until(InPlaceState::Between) - 1)
    }

    /// How many calls on the image bring it to a state.
    fn calls_until(&self, wanted: InPlaceState) -> u64 {
        let (mut before, mut reached) = (0, 1 << 14);
        while reached - before > 1 {
            let calls = u64::midpoint(before, reached);
            let state = self.after(calls).open(|opened| opened.state().expect("a state"));
            let is_there = state == wanted || state == InPlaceState::New;
            *(if is_there { &mut reached } else { &mut before }) = calls;
        }
        reached
    }

    /// The image fails after so many calls.
    fn after(&self, calls: u64) -> Stopped {
        let [disk, journal] = self.media.each_ref().map(|bytes| Memory::from_bytes(bytes.clone()));
        let failing = Countdown::new(disk, calls);
        // One thread makes the same calls every time.
        let tuning = Tuning { jobs: NonZeroUsize::new(1), ..Tuning::default() };
        let opened = InPlace::open(&failing, &journal, &self.kind.passphrases()[0]);
        drop(opened.and_then(|mut opened| opened.run(&tuning, &NoProgress)));
        Stopped { kind: self.kind, disk: Memory::from_bytes(failing.inner().to_bytes()), journal }
    }
}

impl Stopped {
    fn open<T>(&self, with: impl FnOnce(&mut InPlace<'_>) -> T) -> T {
        let passphrase = &self.kind.passphrases()[0];
        with(&mut InPlace::open(&self.disk, &self.journal, passphrase).expect("opened"))
    }

    fn resume(&self) -> Result<(), ImageError> {
        self.open(|opened| opened.run(&Tuning::default(), &NoProgress))
    }

    fn cancel(&self) -> Result<(), ImageError> {
        self.open(|opened| opened.undo(&Tuning::default(), &NoProgress))
    }
}

#[test]
fn what_a_guest_wrote_in_an_encrypted_disk_is_not_replaced_by_what_the_journal_kept() {
    let prepared = Prepared::new(Kind::Decrypt);
    for at in [PAYLOAD + 700, PAYLOAD + (64 << 10) - 512] {
        let stopped = prepared.before_marker();
        stopped.disk.write_at(at, &[7; 512]).expect("written");
        let used = stopped.disk.to_bytes();
        let refused = stopped.resume().expect_err("refused");
        assert!(matches!(refused, ImageError::ChangedSince { .. }), "{refused}");
        stopped.cancel().expect("it is the old one");
        assert!(stopped.disk.to_bytes() == used);
    }
    prepared.before_marker().resume().expect("unused, it goes on");
}
