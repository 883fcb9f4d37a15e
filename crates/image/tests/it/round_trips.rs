//! Whatever the disk: what goes in comes out.

use cadenas_image::{
    ImageInfo, NewKey, NoProgress, Storage, Target, Tuning, check, convert, inspect, open_source, space_needed,
    storage::testing::Memory, usage,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::common::{noise, passphrase, rounds};

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_disk_survives_a_walk_through_any_formats(
        (len, runs) in disks(),
        walk in prop::collection::vec(targets(), 1..4),
    ) {
        let disk = Memory::new();
        disk.set_len(len).expect("in memory");
        for (start, bytes) in runs {
            disk.write_at(start, &bytes).expect("in memory");
        }
        let expected = disk.to_bytes();
        let mut image = disk;
        for target in walk {
            let source = inspect(&image).expect("inspected");
            let stored = usage(&image, &source).expect("counted");
            let next = Memory::new();
            let info = convert_to(&image, &next, &target);
            prop_assert_eq!(info.virtual_size, len.next_multiple_of(512));
            prop_assert_eq!(info.encryption.is_some(), target.is_encrypted());
            prop_assert!(taken(&next) <= space_needed(&source, &stored, &target), "{:?} of {:?}", target, source);
            let report = check(&next, target.is_encrypted().then_some(&passphrase())).expect("checked");
            prop_assert!(report.is_whole() && report.leaked_clusters == 0, "{:?}", report);
            image = next;
        }
        let back = Memory::new();
        convert_to(&image, &back, &Target::Raw { len: Some(len) });
        prop_assert!(back.to_bytes() == expected);
    }
}

/// Lengths that are not round, with runs of data and of zeros anywhere.
fn disks() -> impl Strategy<Value = (u64, Vec<(u64, Vec<u8>)>)> {
    (0_u64..3_000_000).prop_flat_map(|len| {
        let run = (0..len.max(1), 1_usize..200_000, any::<bool>()).prop_map(move |(start, count, zeros)| {
            let count = count.min(usize::try_from(len.saturating_sub(start)).expect("small"));
            (start, if zeros { vec![0; count] } else { noise(start, count) })
        });
        (Just(len), prop::collection::vec(run, 0..6))
    })
}

fn targets() -> impl Strategy<Value = Target> {
    let cluster_size = (9_u32..=21).prop_map(|bits| 1_u64 << bits);
    prop_oneof![
        Just(Target::Luks),
        cluster_size.clone().prop_map(|cluster_size| Target::Qcow2 { cluster_size }),
        cluster_size.prop_map(|cluster_size| Target::Qcow2Luks { cluster_size }),
    ]
}

fn convert_to(src: &Memory, dst: &Memory, target: &Target) -> ImageInfo {
    let passphrase = passphrase();
    let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
    let encrypted = inspect(src).expect("inspected").encryption.is_some();
    let source = open_source(src, encrypted.then_some(&passphrase)).expect("opened");
    convert(&source, dst, target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
        .expect("converted")
}

/// Bytes that are not holes.
fn taken(image: &Memory) -> u64 {
    let (mut taken, mut at) = (0, 0);
    while let Some(data) = image.next_data(at).expect("in memory") {
        taken += data.end - data.start;
        at = data.end;
    }
    taken
}
