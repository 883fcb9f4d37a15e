//! In-place rewrites that an error stopped where the image is still, or already, in use, and a guest that used it then: what it
//! wrote is never lost.

use std::{fs, num::NonZeroUsize};

use cadenas_image::{
    Format, ImageError, NoProgress, Storage, Tuning, check,
    in_place::{InPlace, InPlaceState, Sizes},
    slots,
    storage::testing::{Countdown, Memory},
};
use cadenas_secret::SecretBytes;

use crate::{
    common::{Bench, passphrase, rounds, run, text},
    in_place::{Kind, PAYLOAD, new_passphrase, plain, sizes},
    in_place_crash::Media,
    in_place_qcow2::{Image, Recipe, back, go, io, raw_image, reopened, with_rewrite},
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

    /// So early that the image is just the new one: nothing is cleaned yet.
    fn at_commit(&self) -> Stopped {
        self.after(self.calls_until(InPlaceState::New))
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

/// QEMU works on the image of a rewrite that was stopped.
fn qemu(stopped: &mut Stopped, program: &str, arguments: &[&str], options: &str) {
    let bench = Bench::new();
    let path = bench.path("disk.qcow2");
    fs::write(&path, stopped.disk.to_bytes()).expect("written");
    let image = format!("driver=qcow2{options},file.filename={}", text(&path));
    run(program, &[arguments, &["--object", "secret,id=s,data=the new one", "--image-opts", &image]].concat());
    stopped.disk = Memory::from_bytes(fs::read(&path).expect("read"));
}

fn assert_refused(stopped: &Stopped, when: &str) {
    let used = stopped.disk.to_bytes();
    for refused in [stopped.resume(), stopped.cancel()] {
        assert!(matches!(refused, Err(ImageError::ChangedSince { .. })), "{when}: {refused:?}");
        assert!(stopped.disk.to_bytes() == used, "{when}");
    }
    stopped.cancel().expect("that was told");
    assert!(stopped.disk.to_bytes() == used, "{when}");
}

#[test]
fn a_raw_disk_that_was_used_when_only_its_length_had_changed_is_left_alone() {
    let prepared = Prepared::new(Kind::Encrypt);
    for at in [700, u64::try_from(LEN).expect("small"), PAYLOAD] {
        let stopped = prepared.before_marker();
        stopped.disk.write_at(at, b"written by a guest").expect("written");
        assert_refused(&stopped, &format!("written at {at}"));
    }
    for len in [LEN - 1, LEN + 512, 3 << 20] {
        let stopped = prepared.before_marker();
        stopped.disk.set_len(u64::try_from(len).expect("small")).expect("set");
        assert_refused(&stopped, &format!("of {len} bytes"));
    }
    let stopped = prepared.before_marker();
    stopped.cancel().expect("unused");
    assert!(stopped.disk.to_bytes() == plain(LEN, 7));
}

#[test]
fn clusters_that_a_guest_got_behind_what_was_staged_are_not_cut_off() {
    let prepared = Prepared::new(Kind::EncryptQcow2);
    let mut stopped = prepared.before_marker();
    qemu(&mut stopped, "qemu-io", &["-c", "write -P 9 40000 10000"], "");
    assert_refused(&stopped, "written to");
    let stopped = prepared.before_marker();
    stopped.cancel().expect("unused");
    assert!(stopped.disk.to_bytes() == Kind::EncryptQcow2.old_image(&plain(LEN, 7)));
}

#[test]
fn a_finished_volume_that_a_guest_wrote_to_is_not_taken_back() {
    for kind in [Kind::Encrypt, Kind::RawToQcow2] {
        let prepared = Prepared::new(kind);
        let front = if kind == Kind::Encrypt { PAYLOAD } else { 128 << 10 };
        let stopped = prepared.at_commit();
        stopped.disk.write_at(front + 1024, &[7; 512]).expect("written");
        let used = stopped.disk.to_bytes();
        let refused = stopped.cancel();
        assert!(matches!(refused, Err(ImageError::ChangedSince { .. })), "{kind:?}: {refused:?}");
        assert!(stopped.disk.to_bytes() == used, "{kind:?}");
        stopped.resume().expect("it is the new one");
    }
}

#[test]
fn a_volume_that_was_grown_or_cut_since_is_not_taken_back() {
    for kind in [Kind::Encrypt, Kind::Decrypt, Kind::Recrypt] {
        let stopped = Prepared::new(kind).at_commit();
        stopped.disk.set_len(stopped.disk.len().expect("its length") + 4096).expect("grown");
        let refused = stopped.cancel();
        assert!(matches!(refused, Err(ImageError::ChangedSince { .. })), "{kind:?}: {refused:?}");
    }
}

#[test]
fn key_slots_that_were_changed_since_are_not_put_back() {
    for kind in [Kind::RecryptQcow2, Kind::Recrypt] {
        let prepared = Prepared::new(kind);
        let stopped = prepared.before_marker();
        let added = SecretBytes::take_from(b"one more".to_vec());
        slots::add_key(&stopped.disk, &passphrase(), &added, rounds()).expect("added");
        assert_refused(&stopped, &format!("{kind:?}"));
        let stopped = prepared.at_commit();
        slots::add_key(&stopped.disk, &new_passphrase(), &added, rounds()).expect("added");
        let refused = stopped.cancel();
        assert!(matches!(refused, Err(ImageError::ChangedSince { .. })), "{kind:?}: {refused:?}");
    }
}

/// What QEMU writes to an image after a rewrite, and whether the way back is refused then.
fn used_when_finished(image: &Image, format: Format, change: &str, command: &str) -> bool {
    let is_encrypted = change != "decrypt";
    with_rewrite(image, format, change, |rewrite| go(rewrite, &NoProgress)).expect(change);
    let (secret, options) = (image.bench.secret(), image.options(is_encrypted));
    run("qemu-io", &["--object", &secret, "--image-opts", "-c", command, &options]);
    let (used, disk) = (fs::read(image.path()).expect("read"), image.read(None, is_encrypted));
    match reopened(image, |rewrite| back(rewrite, &NoProgress)) {
        Ok(()) => {
            let disk_again = match format {
                Format::Raw => fs::read(image.path()).expect("read"),
                _ => image.read(None, change != "encrypt"),
            };
            assert!(disk_again == disk, "{change}, {command}: another disk");
            false
        }
        Err(ImageError::ChangedSince { .. }) => {
            assert!(fs::read(image.path()).expect("read") == used, "{change}, {command}: changed");
            assert!(image.read(None, is_encrypted) == disk);
            true
        }
        Err(error) => panic!("{change}, {command}: {error}"),
    }
}

#[test]
fn what_a_guest_wrote_into_the_finished_image_comes_along_or_there_is_no_way_back() {
    let steps = [io("write -P 1 0 200k"), io("write -P 2 1M 1000")];
    let recipe = Recipe::new("cluster_size=65536", 4 << 20, &steps);
    for (change, command, is_refused) in [
        ("encrypt", "write -P 9 64k 64k", false),
        ("encrypt", "write -P 9 2M 64k", true),
        ("recrypt", "write -P 9 2M 64k", true),
        ("decrypt", "write -P 9 64k 64k", false),
        ("decrypt", "write -P 9 2M 64k", true),
        ("decrypt", "write -c -P 9 2M 64k", true),
    ] {
        let image = recipe.make();
        if change != "encrypt" {
            with_rewrite(&image, Format::Qcow2, "encrypt", |rewrite| go(rewrite, &NoProgress)).expect("encrypted");
        }
        assert_eq!(used_when_finished(&image, Format::Qcow2, change, command), is_refused, "{change}, {command}");
    }
    for (command, is_refused) in
        [("write -P 9 65k 1k", false), ("write -P 9 0 1k", true), ("write -P 9 400k 64k", true)]
    {
        let image = raw_image(1_000_448);
        assert_eq!(used_when_finished(&image, Format::Raw, "encrypt", command), is_refused, "{command}");
    }
}

#[test]
fn plain_clusters_are_wiped_though_a_snapshot_was_made_when_the_image_was_just_encrypted() {
    // Its place is kept, and what it held with it.
    let steps = [io("write -P 0x5a 0 2M"), io("write -z 640k 64k")];
    let image = Recipe::new("cluster_size=65536", 4 << 20, &steps).make();
    let prepared = Prepared::of(Kind::EncryptQcow2, fs::read(image.path()).expect("read"), Sizes::default());
    let has_plain = |disk: &Memory| disk.to_bytes().windows(64).any(|bytes| bytes == [0x5a; 64]);
    let mut stopped = prepared.at_commit();
    assert!(has_plain(&stopped.disk));
    qemu(&mut stopped, "qemu-img", &["snapshot", "-c", "since"], ",encrypt.key-secret=s");
    stopped.resume().expect("cleaned");
    assert!(!has_plain(&stopped.disk), "plain bytes are left");
    let report = check(&stopped.disk, Some(&new_passphrase())).expect("checked");
    assert_eq!((report.problems, report.info.snapshots), (vec![], 1));

    let mut stopped = prepared.at_commit();
    stopped.disk = Memory::from_bytes(Kind::DecryptQcow2.old_image(&plain(LEN, 8)));
    let refused = stopped.resume();
    assert!(matches!(refused, Err(ImageError::NotCleaned { .. })), "{refused:?}");
}
