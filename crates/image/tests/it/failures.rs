//! Storage that fails, at whichever call: an error that says where, nothing lost, nothing that looks finished.

use std::sync::atomic::{AtomicU64, Ordering};

use cadenas_image::{
    Format, ImageError, ImageInfo, NewKey, NoProgress, Progress, Storage, Target, Tuning, check, convert, inspect,
    open_source, slots,
    storage::testing::{Countdown, Crash, Memory},
};
use uuid::Uuid;

use crate::common::{noise, passphrase, rounds};

const TARGETS: [Target; 4] = [
    Target::Raw { len: None },
    Target::Luks,
    Target::Qcow2 { cluster_size: 512 },
    Target::Qcow2Luks { cluster_size: 4096 },
];

#[test]
fn any_call_on_the_target_may_fail() {
    let disk = Memory::from_bytes(noise(1, 40_000));
    for target in TARGETS {
        for calls in 0.. {
            let dst = Countdown::new(Memory::new(), calls);
            match convert_to(&disk, &dst, &target) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("memory"), "{error}"),
            }
            assert!(calls < 1000, "it never succeeds");
            assert_not_half_made(dst.inner(), &target, &disk);
        }
    }
    assert!(disk.to_bytes() == noise(1, 40_000));
}

#[test]
fn any_call_on_the_source_may_fail() {
    for source_format in TARGETS {
        let image = image(&source_format);
        let before = image.to_bytes();
        for calls in 0.. {
            let src = Countdown::new(Memory::from_bytes(before.clone()), calls);
            if convert_to(&src, &Memory::new(), &Target::Luks).is_ok() {
                break;
            }
            assert!(calls < 1000, "it never succeeds");
            assert!(src.inner().to_bytes() == before);
        }
    }
}

#[test]
fn any_call_while_slots_change_may_fail_and_the_first_passphrase_stays() {
    for target in [Target::Luks, Target::Qcow2Luks { cluster_size: 512 }] {
        let before = image(&target).to_bytes();
        for calls in 0.. {
            let storage = Countdown::new(Memory::from_bytes(before.clone()), calls);
            let new = cadenas_secret::SecretBytes::take_from(b"new".to_vec());
            let done = slots::add_key(&storage, &passphrase(), &new, rounds())
                .and_then(|slot| slots::erase(&storage, slot))
                .and_then(|_| slots::erase_all_but(&storage, &passphrase()));
            let left = Memory::from_bytes(storage.inner().to_bytes());
            assert!(slots::find(&left, &passphrase()).expect("a whole header").is_some());
            if done.is_ok() {
                break;
            }
            assert!(calls < 1000, "it never succeeds");
        }
    }
}

#[test]
fn what_convert_has_returned_survives_a_power_cut() {
    let disk = Memory::from_bytes(noise(2, 300_000));
    for target in TARGETS {
        let dst = Crash::default();
        convert_to(&disk, &dst, &target).expect("converted");
        let left = Memory::from_bytes(dst.durable_bytes());
        assert!(left.to_bytes().len() as u64 == dst.len().expect("in memory"));
        let back = Memory::new();
        convert_to(&left, &back, &Target::Raw { len: Some(300_000) }).expect("whole");
        assert!(back.to_bytes() == disk.to_bytes(), "{target:?}");
    }
}

#[test]
fn a_target_that_holds_something_is_refused_and_kept() {
    let disk = Memory::from_bytes(vec![1; 512]);
    let dst = Memory::from_bytes(b"precious".to_vec());
    assert!(matches!(convert_to(&disk, &dst, &Target::Raw { len: None }), Err(ImageError::NotEmpty { .. })));
    assert_eq!(dst.to_bytes(), b"precious");
}

#[test]
fn a_key_where_none_belongs_and_none_where_one_does_are_refused() {
    let disk = Memory::from_bytes(vec![1; 512]);
    let source = open_source(&disk, None).expect("opened");
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    let refused = convert(&source, &Memory::new(), &Target::Luks, None, &Tuning::default(), &NoProgress);
    assert!(matches!(refused, Err(ImageError::KeyForTarget { needed: true })));
    let refused =
        convert(&source, &Memory::new(), &Target::Raw { len: None }, Some(key), &Tuning::default(), &NoProgress);
    assert!(matches!(refused, Err(ImageError::KeyForTarget { needed: false })));
    for bytes in [0, 256, 1000, 4 << 20] {
        let refused = convert(
            &source,
            &Memory::new(),
            &Target::Qcow2 { cluster_size: bytes },
            None,
            &Tuning::default(),
            &NoProgress,
        );
        assert!(matches!(refused, Err(ImageError::ClusterSize { .. })));
    }
    for len in [0, 513, 1 << 40] {
        let refused =
            convert(&source, &Memory::new(), &Target::Raw { len: Some(len) }, None, &Tuning::default(), &NoProgress);
        assert!(matches!(refused, Err(ImageError::LengthMismatch { .. })));
    }
}

#[test]
fn the_wrong_passphrase_or_one_too_many_or_too_few_is_refused() {
    let encrypted = image(&Target::Luks);
    let wrong = cadenas_secret::SecretBytes::take_from(b"wrong".to_vec());
    assert!(matches!(open_source(&encrypted, Some(&wrong)), Err(ImageError::WrongPassphrase { .. })));
    assert!(matches!(open_source(&encrypted, None), Err(ImageError::PassphraseNeeded { .. })));
    let plain = image(&Target::Raw { len: None });
    assert!(matches!(open_source(&plain, Some(&wrong)), Err(ImageError::NotEncrypted { .. })));
    assert!(matches!(check(&plain, Some(&wrong)), Err(ImageError::NotEncrypted { .. })));
}

#[test]
fn progress_adds_up_and_cancelling_stops() {
    #[derive(Default)]
    struct Watch {
        total: AtomicU64,
        done: AtomicU64,
        stop_at: u64,
    }
    impl Progress for Watch {
        fn begin(&self, total_bytes: u64) {
            self.total.store(total_bytes, Ordering::SeqCst);
        }
        fn advance(&self, bytes: u64) {
            self.done.fetch_add(bytes, Ordering::SeqCst);
        }
        fn cancelled(&self) -> bool {
            self.done.load(Ordering::SeqCst) > self.stop_at
        }
    }
    let disk = Memory::new();
    disk.set_len(40 << 20).expect("in memory");
    disk.write_at(3 << 20, &noise(3, 30 << 20)).expect("in memory");
    let source = open_source(&disk, None).expect("opened");
    let (target, all) = (Target::Qcow2 { cluster_size: 64 << 10 }, Watch { stop_at: u64::MAX, ..Watch::default() });
    convert(&source, &Memory::new(), &target, None, &Tuning::default(), &all).expect("converted");
    assert_eq!(all.total.load(Ordering::SeqCst), 40 << 20);
    assert_eq!(all.done.load(Ordering::SeqCst), 40 << 20);
    let (dst, some) = (Memory::new(), Watch { stop_at: 5 << 20, ..Watch::default() });
    assert!(matches!(convert(&source, &dst, &target, None, &Tuning::default(), &some), Err(ImageError::Cancelled)));
    assert!(some.done.load(Ordering::SeqCst) < 40 << 20);
    assert_not_half_made(&dst, &target, &disk);
}

fn convert_to(src: &dyn Storage, dst: &dyn Storage, target: &Target) -> Result<ImageInfo, ImageError> {
    let passphrase = passphrase();
    let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
    let encrypted = inspect(src)?.encryption.is_some();
    let source = open_source(src, encrypted.then_some(&passphrase))?;
    convert(&source, dst, target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
}

fn image(target: &Target) -> Memory {
    let image = Memory::new();
    convert_to(&Memory::from_bytes(noise(1, 40_000)), &image, target).expect("converted");
    image
}

/// What can be taken for a finished image is one. A raw one has nothing that says so; its maker knows.
fn assert_not_half_made(image: &Memory, target: &Target, disk: &Memory) {
    if target.format() != Format::Raw && inspect(image).is_ok_and(|info| info.format == target.format()) {
        let back = Memory::new();
        convert_to(image, &back, &Target::Raw { len: Some(disk.len().expect("in memory")) }).expect("whole");
        assert!(back.to_bytes() == disk.to_bytes(), "{target:?} looks finished and is not");
    }
}
