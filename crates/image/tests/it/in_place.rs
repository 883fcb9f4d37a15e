//! In-place rewrites: there and back, in steps, whatever the sizes; and their results in cryptsetup and QEMU.

use std::sync::atomic::{AtomicUsize, Ordering};

use cadenas_image::{
    Access, File, Format, ImageError, NewKey, NoProgress, Progress, Storage, Target, Tuning, convert,
    in_place::{Change, InPlace, InPlaceState, Sizes, extra_space, is_between},
    inspect, inspect_as, open_source,
    storage::testing::Memory,
};
use cadenas_secret::SecretBytes;
use proptest::prelude::*;
use uuid::Uuid;

use crate::common::{Bench, noise, passphrase, rounds, run, text};

/// The least distance that a disk can move by: key slots end before.
pub(crate) const PAYLOAD: u64 = 2 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Encrypt,
    Decrypt,
    Recrypt,
    RawToQcow2,
    EncryptQcow2,
    DecryptQcow2,
    RecryptQcow2,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Encrypt, Kind::Decrypt, Kind::Recrypt];

/// What opens the new image.
pub(crate) fn new_passphrase() -> SecretBytes {
    SecretBytes::take_from(b"the new one".to_vec())
}

impl Kind {
    pub(crate) fn old_format(self) -> Format {
        match self {
            Self::Encrypt | Self::RawToQcow2 => Format::Raw,
            Self::Decrypt | Self::Recrypt => Format::Luks,
            Self::EncryptQcow2 | Self::DecryptQcow2 | Self::RecryptQcow2 => Format::Qcow2,
        }
    }

    /// An image for the rewrite to begin with, whose disk holds `plain`.
    pub(crate) fn old_image(self, plain: &[u8]) -> Vec<u8> {
        let target = match self {
            Self::Encrypt | Self::RawToQcow2 => return plain.to_vec(),
            Self::Decrypt | Self::Recrypt => Target::Luks,
            Self::EncryptQcow2 => Target::Qcow2 { cluster_size: 512 },
            Self::DecryptQcow2 | Self::RecryptQcow2 => Target::Qcow2Luks { cluster_size: 512 },
        };
        image(plain, &target)
    }

    pub(crate) fn prepare<'a>(
        self,
        disk: &'a dyn Storage,
        journal: &'a dyn Storage,
        len: u64,
        sizes: Sizes,
    ) -> Result<InPlace<'a>, ImageError> {
        self.with_change(len, |change| InPlace::prepare_with(disk, journal, self.old_format(), change, sizes))
    }

    fn with_change<T>(self, len: u64, with: impl FnOnce(&Change<'_>) -> T) -> T {
        let (old, new) = (passphrase(), new_passphrase());
        let key = NewKey { passphrase: &new, rounds: rounds(), uuid: Uuid::new_v4() };
        with(&match self {
            Self::Encrypt => Change::Encrypt { into: Format::Luks, key },
            Self::RawToQcow2 | Self::EncryptQcow2 => Change::Encrypt { into: Format::Qcow2, key },
            Self::Decrypt => Change::Decrypt { passphrase: &old, len: Some(len) },
            Self::DecryptQcow2 => Change::Decrypt { passphrase: &old, len: None },
            Self::Recrypt | Self::RecryptQcow2 => Change::Recrypt { passphrase: &old, key },
        })
    }

    /// What opens its journal.
    pub(crate) fn passphrases(self) -> Vec<SecretBytes> {
        match self {
            Self::Encrypt | Self::RawToQcow2 | Self::EncryptQcow2 => vec![new_passphrase()],
            Self::Decrypt | Self::DecryptQcow2 => vec![passphrase()],
            Self::Recrypt | Self::RecryptQcow2 => vec![passphrase(), new_passphrase()],
        }
    }

    /// Whether the image is the new one and its disk holds `plain`.
    pub(crate) fn assert_new(self, image: &dyn Storage, plain: &[u8]) {
        if self == Self::Decrypt {
            let mut bytes = vec![0; usize::try_from(image.len().expect("its length")).expect("small")];
            image.read_at(0, &mut bytes).expect("read");
            assert!(bytes == plain, "another disk");
            return;
        }
        let read = Memory::new();
        let passphrase = (self != Self::DecryptQcow2).then(new_passphrase);
        let source = open_source(image, passphrase.as_ref()).expect("opened");
        let target = Target::Raw { len: Some(u64::try_from(plain.len()).expect("small")) };
        convert(&source, &read, &target, None, &Tuning::default(), &NoProgress).expect("converted");
        assert!(read.to_bytes() == plain, "another disk");
    }
}

/// An image whose disk holds `plain`.
pub(crate) fn image(plain: &[u8], target: &Target) -> Vec<u8> {
    let (src, dst) = (Memory::from_bytes(plain.to_vec()), Memory::new());
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    let source = cadenas_image::open_source_as(&src, Format::Raw, None).expect("opened");
    let key = target.is_encrypted().then_some(key);
    // Clusters are handed out as threads come: one thread makes the same image every time.
    let tuning = Tuning { jobs: std::num::NonZeroUsize::new(1), ..Tuning::default() };
    convert(&source, &dst, target, key, &tuning, &NoProgress).expect("converted");
    dst.to_bytes()
}

/// An image encrypted where it lies, into a volume that [`passphrase`] opens.
pub(crate) fn encrypted_in_place(image: Vec<u8>, format: Format, sizes: Sizes) -> Vec<u8> {
    let (disk, journal, passphrase) = (Memory::from_bytes(image), Memory::new(), passphrase());
    let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
    let into = if format == Format::Raw { Format::Luks } else { format };
    let made = InPlace::prepare_with(&disk, &journal, format, &Change::Encrypt { into, key }, sizes);
    made.and_then(|mut made| made.run(&Tuning::default(), &NoProgress)).expect("encrypted");
    disk.to_bytes()
}

/// Lets so many zones begin.
pub(crate) struct Zones(pub(crate) AtomicUsize);

impl Progress for Zones {
    fn begin(&self, _total_bytes: u64) {}

    fn advance(&self, _bytes: u64) {}

    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

pub(crate) fn sizes(window: u32, zone: u64) -> Sizes {
    Sizes { window, zone, payload: PAYLOAD }
}

/// Data with zeros of different lengths in it.
pub(crate) fn plain(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = noise(seed, len);
    for (start, count) in [(len / 3, len / 4), (10_000, 3_000), (200_000, 200_000)] {
        let end = (start + count).min(len);
        bytes[start.min(end)..end].fill(0);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any walk to and fro, each step cut off after some zones and taken up by another process, ends where it is told to, byte
    /// for byte, and says on the way what it is.
    #[test]
    fn any_walk_ends_at_the_old_or_the_new_image(
        kind in prop::sample::select(KINDS.to_vec()),
        len in prop_oneof![1_usize..4096, 60_000_usize..140_000, (2_usize << 20)..(4 << 20)],
        window in 1_u32..5,
        zone in prop::sample::select(vec![512_u64, 4096, 12 << 10, 128 << 10, 1 << 20]),
        steps in prop::collection::vec((any::<bool>(), 0_usize..40), 0..6),
        to_new: bool,
    ) {
        // The smallest zones for the smaller disks alone: this is not a test of patience.
        let zone = if len > 1 << 20 { zone.max(4096) } else { zone };
        let plain = plain(len, 7);
        let old = kind.old_image(&plain);
        let (disk, journal) = (Memory::from_bytes(old.clone()), Memory::new());
        let made = kind.prepare(&disk, &journal, u64::try_from(len).expect("small"), sizes(window, zone));
        made.expect("prepared");
        prop_assert!(disk.to_bytes() == old);
        for (number, (forward, zones)) in steps.into_iter().enumerate() {
            let passphrases = kind.passphrases();
            let mut opened = InPlace::open(&disk, &journal, &passphrases[number % passphrases.len()]).expect("opened");
            let zones = Zones(AtomicUsize::new(zones));
            let step = if forward {
                opened.run(&Tuning::default(), &zones)
            } else {
                opened.undo(&Tuning::default(), &zones)
            };
            let state = opened.state().expect("a state");
            match step {
                Err(ImageError::Cancelled) => prop_assert_eq!(state, InPlaceState::Between),
                Err(error) => panic!("{error}"),
                Ok(()) => prop_assert_eq!(state, if forward { InPlaceState::New } else { InPlaceState::Old }),
            }
            prop_assert_eq!(is_between(&disk).expect("told"), state == InPlaceState::Between);
            if state == InPlaceState::Between {
                prop_assert!(matches!(inspect(&disk), Err(ImageError::Between { .. })), "a marker");
                prop_assert!(matches!(inspect_as(&disk, Format::Raw), Err(ImageError::Between { .. })), "a marker");
            }
        }
        let mut opened = InPlace::open(&disk, &journal, &kind.passphrases()[0]).expect("opened");
        if to_new {
            opened.run(&Tuning::default(), &NoProgress).expect("done");
            kind.assert_new(&disk, &plain);
            let format = opened.new_info().format;
            prop_assert_eq!(opened.new_info(), &inspect_as(&disk, format).expect("inspected"));
        } else {
            opened.undo(&Tuning::default(), &NoProgress).expect("undone");
            prop_assert!(disk.to_bytes() == old, "the old image has changed");
        }
    }
}

#[test]
fn plain_bytes_are_nowhere_in_an_encrypted_disk_nor_in_its_journal() {
    let plain = b"a secret of thirty-two bytes ok!".repeat(100_000);
    for kind in [Kind::Encrypt, Kind::Recrypt] {
        let (disk, journal) = (Memory::from_bytes(kind.old_image(&plain)), Memory::new());
        let len = u64::try_from(plain.len()).expect("small");
        let mut made =
            kind.prepare(&disk, &journal, len, Sizes { payload: 3 << 20, ..Sizes::default() }).expect("made");
        made.run(&Tuning::default(), &NoProgress).expect("done");
        for bytes in [disk.to_bytes(), journal.to_bytes()] {
            assert!(!bytes.windows(32).any(|window| window == &plain[..32]), "{kind:?}");
        }
    }
}

#[test]
fn zeros_become_holes_when_a_disk_is_decrypted_or_an_encryption_undone() {
    let bench = Bench::new();
    let disk = bench.raw_disk(24 << 20);
    let stored = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).expect("there").blocks() * 512
    };
    let before = stored(&disk);
    let original = std::fs::read(&disk).expect("read");
    for undone in [true, false] {
        let file = File::open(&disk, Access::Write).expect("opened");
        let journal = File::create_new(&bench.path(&format!("journal-{undone}"))).expect("created");
        let len = u64::try_from(original.len()).expect("small");
        let mut made = Kind::Encrypt.with_change(len, |change| {
            let space = extra_space(&file, Format::Raw, change).expect("told");
            assert!(space.during >= (32 << 20) + (24 << 20) - before && space.during < 80 << 20, "{space:?}");
            assert!(space.after >= (24 << 20) - before, "{space:?}");
            InPlace::prepare(&file, &journal, Format::Raw, change).expect("prepared")
        });
        made.run(&Tuning::default(), &NoProgress).expect("encrypted");
        assert!(stored(&disk) <= (26 << 20) + (64 << 10), "the room between header and payload is a hole");
        if undone {
            made.undo(&Tuning::default(), &NoProgress).expect("undone");
        } else {
            let back = File::create_new(&bench.path("journal-back")).expect("created");
            let passphrase = new_passphrase();
            let change = Change::Decrypt { passphrase: &passphrase, len: None };
            let mut made = InPlace::prepare(&file, &back, Format::Luks, &change).expect("prepared");
            made.run(&Tuning::default(), &NoProgress).expect("decrypted");
        }
        assert!(std::fs::read(&disk).expect("read") == original);
        assert!(stored(&disk) <= before + (256 << 10), "{} bytes are stored, {before} were", stored(&disk));
    }
}

#[test]
fn what_was_rewritten_opens_in_cryptsetup_and_qemu() {
    let bench = Bench::new();
    let original = bench.raw_disk((5 << 20) + 300);
    let disk = bench.path("disk");
    std::fs::copy(&original, &disk).expect("copied");
    let file = File::open(&disk, Access::Write).expect("opened");
    let passphrase = passphrase();
    let key = || NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
    let encrypt = Change::Encrypt { into: Format::Luks, key: key() };
    let recrypt = Change::Recrypt { passphrase: &passphrase, key: key() };
    for (number, (format, change)) in [(Format::Raw, encrypt), (Format::Luks, recrypt)].into_iter().enumerate() {
        let journal = File::create_new(&bench.path(&format!("journal-{number}"))).expect("created");
        let mut made = InPlace::prepare(&file, &journal, format, &change).expect("prepared");
        made.run(&Tuning::default(), &NoProgress).expect("done");
        let key_file = bench.path("passphrase");
        run("cryptsetup", &["open", "--test-passphrase", "--key-file", text(&key_file), text(&disk)]);
        assert!(run("cryptsetup", &["luksDump", text(&disk)]).contains("Payload offset:\t65536"));
        bench.assert_qemu_reads(&Bench::luks_options(&disk), &original);
    }
}

#[test]
fn volumes_of_cryptsetup_and_qemu_are_decrypted_and_get_another_key() {
    let bench = Bench::new();
    let original = bench.raw_disk((5 << 20) + 512);
    let plain = std::fs::read(&original).expect("read");
    let theirs = bench.path("theirs.luks");
    let options = "key-secret=s,iter-time=10";
    let convert = ["convert", "-O", "luks", "-o", options, "--object"];
    run("qemu-img", &[&convert[..], &[&bench.secret(), text(&original), text(&theirs)]].concat());
    let image = std::fs::read(&theirs).expect("read");
    for kind in [Kind::Recrypt, Kind::Decrypt] {
        let (disk, journal) = (Memory::from_bytes(image.clone()), Memory::new());
        let len = u64::try_from(plain.len()).expect("small");
        let mut made = kind.prepare(&disk, &journal, len, Sizes::default()).expect("prepared");
        made.run(&Tuning::default(), &NoProgress).expect("done");
        kind.assert_new(&disk, &plain);
        made.undo(&Tuning::default(), &NoProgress).expect("undone");
        assert!(disk.to_bytes() == image, "{kind:?}");
    }
}

#[test]
fn a_disk_that_was_used_since_its_journal_was_made_is_left_alone() {
    let plain = plain(100_000, 3);
    for kind in KINDS {
        let old = kind.old_image(&plain);
        let (disk, journal) = (Memory::from_bytes(old), Memory::new());
        let mut made = kind.prepare(&disk, &journal, 100_000, sizes(4, 4096)).expect("prepared");
        disk.write_at(700, b"written by a guest").expect("written");
        let used = disk.to_bytes();
        let error = made.run(&Tuning::default(), &NoProgress).expect_err("refused");
        assert!(matches!(error, ImageError::ChangedSince { .. }), "{error}");
        made.undo(&Tuning::default(), &NoProgress).expect("nothing to undo");
        assert!(disk.to_bytes() == used, "{kind:?}");
    }
}

#[test]
fn a_new_image_that_was_used_is_not_taken_back() {
    let plain = plain(100_000, 3);
    for kind in KINDS {
        let (disk, journal) = (Memory::from_bytes(kind.old_image(&plain)), Memory::new());
        let mut made = kind.prepare(&disk, &journal, 100_000, sizes(4, 4096)).expect("prepared");
        made.run(&Tuning::default(), &NoProgress).expect("done");
        disk.write_at(700, b"written by a guest").expect("written");
        let used = disk.to_bytes();
        let error = made.undo(&Tuning::default(), &NoProgress).expect_err("refused");
        assert!(matches!(error, ImageError::ChangedSince { .. }), "{error}");
        made.run(&Tuning::default(), &NoProgress).expect("already so");
        assert!(disk.to_bytes() == used, "{kind:?}");
    }
}

#[test]
fn nothing_plain_stays_before_the_payload_of_a_disk_whose_decryption_was_undone() {
    let sizes = Sizes { payload: 3 << 20, ..sizes(2, 256 << 10) };
    let plain = noise(5, 4 << 20);
    let old = encrypted_in_place(plain.clone(), Format::Raw, sizes);
    for zones in [3, 12, 1000] {
        let (disk, journal) = (Memory::from_bytes(old.clone()), Memory::new());
        let mut made = Kind::Decrypt.prepare(&disk, &journal, 4 << 20, sizes).expect("prepared");
        let stopped = made.run(&Tuning::default(), &Zones(AtomicUsize::new(zones)));
        assert_eq!(stopped.is_ok(), zones == 1000);
        made.undo(&Tuning::default(), &NoProgress).expect("undone");
        assert!(disk.to_bytes() == old, "after {zones} zones");
    }
}

#[test]
fn the_journal_of_another_rewrite_is_refused() {
    let plain = plain(50_000, 4);
    let kind = Kind::Encrypt;
    let (disk, journal, other) = (Memory::from_bytes(plain.clone()), Memory::new(), Memory::new());
    kind.prepare(&disk, &other, 50_000, sizes(4, 4096)).expect("prepared");
    let mut made = kind.prepare(&disk, &journal, 50_000, sizes(4, 4096)).expect("prepared");
    let few = Zones(AtomicUsize::new(3));
    assert!(matches!(made.run(&Tuning::default(), &few), Err(ImageError::Cancelled)));
    let opened = InPlace::open(&disk, &other, &new_passphrase());
    assert!(matches!(opened.err(), Some(ImageError::JournalOfAnotherImage { .. })));
    let opened = InPlace::open(&disk, &journal, &passphrase());
    assert!(matches!(opened.err(), Some(ImageError::WrongPassphrase { .. })));
}

#[test]
fn what_cannot_be_rewritten_is_refused_before_anything_is_written() {
    let journal = Memory::new();
    let refused = |disk: &Memory, kind: Kind| kind.prepare(disk, &journal, 0, Sizes::default()).err().expect("refused");
    assert!(matches!(refused(&Memory::new(), Kind::Encrypt), ImageError::Unsupported { .. }));
    let text = Memory::from_bytes(b"no volume".repeat(1000));
    assert!(matches!(refused(&text, Kind::Decrypt), ImageError::WrongFormat { .. }));
    let volume = Memory::from_bytes(Kind::Decrypt.old_image(&plain(5000, 1)));
    assert!(matches!(refused(&volume, Kind::Decrypt), ImageError::LengthMismatch { .. }));
    assert_eq!(journal.len().expect("its length"), 0);
    let full = Memory::from_bytes(vec![1]);
    let error = Kind::Recrypt.prepare(&volume, &full, 0, Sizes::default()).err().expect("refused");
    assert!(matches!(error, ImageError::NotEmpty { .. }));
}
