//! Wishes for threads and for a rate are honoured, and change nothing of what is written.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::{Duration, Instant},
};

use cadenas_image::{
    NewKey, NoProgress, Storage, Target, Tuning, check, convert, open_source, storage::testing::Memory,
};
use uuid::Uuid;

use crate::common::{noise, passphrase, rounds};

#[test]
fn one_thread_and_many_write_the_same_disk() {
    let disk = Memory::new();
    disk.set_len(24 << 20).expect("in memory");
    for start in [0, 5 << 20, (9 << 20) + 512, 20 << 20] {
        disk.write_at(start, &noise(start, 3 << 20)).expect("in memory");
    }
    for target in [Target::Luks, Target::Qcow2Luks { cluster_size: 512 }, Target::Qcow2Luks { cluster_size: 64 << 10 }]
    {
        for jobs in [1, 2, 16, usize::MAX] {
            let tuning = Tuning { jobs: NonZeroUsize::new(jobs), rate_limit: None };
            let image = encrypted(&disk, &target, &tuning);
            assert_eq!(
                check(&image, Some(&passphrase())).expect("checked").problems,
                [""; 0],
                "{target:?}, {jobs} jobs"
            );
            let back = Memory::new();
            let source = open_source(&image, Some(&passphrase())).expect("opened");
            convert(&source, &back, &Target::Raw { len: None }, None, &tuning, &NoProgress).expect("converted");
            assert!(back.to_bytes() == disk.to_bytes(), "{target:?}, {jobs} jobs");
        }
    }
}

#[test]
fn no_more_bytes_are_moved_in_a_second_than_allowed_and_holes_are_free() {
    let disk = Memory::new();
    disk.write_at(0, &noise(7, 4 << 20)).expect("in memory");
    disk.set_len(200 << 20).expect("in memory");
    let tuning = Tuning { jobs: None, rate_limit: NonZeroU64::new(8 << 20) };
    let start = Instant::now();
    encrypted(&disk, &Target::Qcow2Luks { cluster_size: 64 << 10 }, &tuning);
    let taken = start.elapsed();
    assert!(taken >= Duration::from_millis(400), "4 MiB at 8 MiB/s took {taken:?}");
    assert!(taken < Duration::from_secs(10), "holes were paid for: {taken:?}");
}

fn encrypted(disk: &Memory, target: &Target, tuning: &Tuning) -> Memory {
    let image = Memory::new();
    let source = open_source(disk, None).expect("opened");
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    convert(&source, &image, target, Some(key), tuning, &NoProgress).expect("converted");
    image
}
