//! Forged and damaged images: refused, or read as what they say, but never a panic, a hang or memory without end.

use cadenas_image::{
    Format, ImageError, NewKey, NoProgress, Storage, Target, Tuning, check, convert,
    in_place::{Change, extra_space},
    inspect, open_source, sample,
    storage::testing::{BitFlip, Memory},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    common::{Bench, noise, passphrase, rounds, run, text},
    in_place_crash::Dice,
};

const CLUSTER: u64 = 512;

#[test]
fn every_bit_of_a_qcow2_header_may_be_wrong() {
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    for bit in 0..160 * 8 {
        try_everything(image.clone(), vec![(bit / 8, 1 << (bit % 8))]);
    }
}

#[test]
fn every_bit_of_an_encrypted_qcow2_header_may_be_wrong() {
    let image = qcow2(&Target::Qcow2Luks { cluster_size: CLUSTER });
    for bit in 0..160 * 8 {
        try_headers(image.clone(), vec![(bit / 8, 1 << (bit % 8))]);
    }
}

#[test]
fn every_byte_of_every_table_may_be_wrong() {
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    let len = u64::try_from(image.len()).expect("small");
    for byte in 0..len {
        // Data is not looked at: the header, the tables and the refcounts at the end are.
        if byte < 3 * CLUSTER || byte > len - 4 * CLUSTER {
            try_everything(image.clone(), vec![(byte, 0xff)]);
            try_everything(image.clone(), vec![(byte, 1)]);
        }
    }
}

#[test]
fn a_cut_image_is_an_error_at_every_length() {
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    let disk = convert_back(&Memory::from_bytes(image.clone())).expect("whole");
    for len in (0..image.len()).step_by(97) {
        match convert_back(&Memory::from_bytes(image[..len].to_vec())) {
            // Too short to be told from raw.
            Ok(_) if len < 4 => {}
            Ok(read) => panic!("{} of {} bytes read as {} bytes, {}", len, image.len(), read.len(), read == disk),
            Err(_) => {}
        }
    }
}

#[test]
fn metadata_is_not_read_as_a_disk() {
    // The first L2 entry is made to point to each cluster of metadata in turn.
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    let l1 = be64(&image, usize::try_from(CLUSTER).expect("small"));
    let l2 = l1 & 0x00ff_ffff_ffff_fe00;
    let refcount_table = be64(&image, 48);
    for place in [CLUSTER, l2, refcount_table] {
        let mut forged = image.clone();
        let at = usize::try_from(l2).expect("small");
        forged[at..at + 8].copy_from_slice(&(1 << 63 | place).to_be_bytes());
        let error = convert_back(&Memory::from_bytes(forged)).expect_err("forged");
        assert!(matches!(&error, ImageError::Damaged { what, .. } if what.contains("own tables")), "{error}");
    }
}

#[test]
fn one_cluster_is_not_a_disk_of_many() {
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    let l2 = usize::try_from(be64(&image, 512) & 0x00ff_ffff_ffff_fe00).expect("small");
    let mut forged = image.clone();
    let data = forged[l2..l2 + 8].to_vec();
    forged[l2..l2 + 512].chunks_exact_mut(8).for_each(|entry| entry.copy_from_slice(&data));
    let report = check(&Memory::from_bytes(forged), None).expect("checked");
    assert!(!report.is_whole() && report.leaked_clusters > 0, "{report:?}");
}

#[test]
fn sizes_beyond_reason_are_refused_before_memory_is_taken() {
    let image = qcow2(&Target::Qcow2 { cluster_size: CLUSTER });
    let forge = |at: usize, bytes: &[u8]| {
        let mut forged = image.clone();
        forged[at..at + bytes.len()].copy_from_slice(bytes);
        inspect(&Memory::from_bytes(forged)).expect_err("forged").to_string()
    };
    assert!(forge(24, &u64::MAX.to_be_bytes()).contains("sectors"));
    assert!(forge(24, &(1_u64 << 62).to_be_bytes()).contains("L1 table"));
    assert!(forge(36, &u32::MAX.to_be_bytes()).contains("L1 table"));
    assert!(forge(56, &u32::MAX.to_be_bytes()).contains("refcount table"));
    assert!(forge(20, &63_u32.to_be_bytes()).contains("cluster size"));
    assert!(forge(40, &(u64::MAX - 511).to_be_bytes()).contains("L1 table"));
    assert!(forge(48, &(1_u64 << 40).to_be_bytes()).contains("refcount table"));
    assert!(forge(40, &0_u64.to_be_bytes()).contains("L1 entry"));
    assert!(forge(40, &be64(&image, 48).to_be_bytes()).contains("damaged"));
    assert!(forge(100, &u32::MAX.to_be_bytes()).contains("header"));
    assert!(forge(72, &(1_u64 << 40).to_be_bytes()).contains("incompatible feature 40"));
    assert!(forge(8, &(1_u64 << 50).to_be_bytes()).contains("backing file"));
    assert!(forge(4, &9_u32.to_be_bytes()).contains("version 9"));
    assert!(forge(112, &[0x12, 0x34, 0x56, 0x78, 0xff, 0xff, 0xff, 0xff]).contains("header extension"));
}

#[test]
fn a_guest_that_writes_a_header_on_its_raw_disk_is_not_believed_by_who_knows_better() {
    let forged = Memory::from_bytes(qcow2(&Target::Qcow2 { cluster_size: CLUSTER }));
    let info = cadenas_image::inspect_as(&forged, Format::Raw).expect("raw");
    assert_eq!(info.virtual_size, forged.len().expect("in memory"));
    let raw = Memory::from_bytes(vec![7; 512]);
    let refused = cadenas_image::open_source_as(&raw, Format::Qcow2, None);
    assert!(matches!(refused.err(), Some(ImageError::WrongFormat { .. })));
}

/// An image of QEMU's with all that is beside the disk itself.
fn image_with_everything() -> Vec<u8> {
    let bench = Bench::new();
    let path = bench.path("disk.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", text(&path), "100k"]);
    run("qemu-io", &["-c", "write -c -P 1 0 4k", "-c", "write -P 2 4k 20k", text(&path)]);
    run("qemu-img", &["snapshot", "-c", "one", text(&path)]);
    run("qemu-img", &["bitmap", "--add", text(&path), "since"]);
    run("qemu-io", &["-c", "write -P 3 2k 9k", "-c", "write -z 12k 2k", text(&path)]);
    run("qemu-img", &["snapshot", "-c", "two", text(&path)]);
    std::fs::read(path).expect("read")
}

#[test]
fn any_bytes_of_an_image_with_snapshots_and_bitmaps_may_be_wrong() {
    let image = image_with_everything();
    let mut dice = Dice(7);
    assert!(check(&Memory::from_bytes(image.clone()), None).expect("checked").is_whole());
    for _ in 0..3000 {
        let flips = (0..=dice.roll(3)).map(|_| {
            let at = u64::try_from(dice.roll(image.len())).expect("small");
            (at, [1, 0x80, 0xff][dice.roll(3)])
        });
        try_everything(image.clone(), flips.collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn several_wrong_bytes_anywhere(flips in prop::collection::vec((0_u64..5 * 512, 1_u8..), 1..20)) {
        try_everything(qcow2(&Target::Qcow2 { cluster_size: CLUSTER }), flips);
    }

    #[test]
    fn noise_behind_a_magic_number(bytes in prop::collection::vec(any::<u8>(), 0..2000), luks: bool) {
        let magic: &[u8] = if luks { b"LUKS\xba\xbe\0\x01" } else { b"QFI\xfb\0\0\0\x03" };
        try_everything([magic, &bytes].concat(), vec![]);
    }
}

fn try_everything(image: Vec<u8>, flips: Vec<(u64, u8)>) {
    let image = BitFlip::new(Memory::from_bytes(image), flips);
    drop(check(&image, None));
    drop(sample(&image, None, 10));
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    drop(extra_space(&image, Format::Qcow2, &Change::Encrypt { into: Format::Qcow2, key }));
    if inspect(&image).is_ok_and(|info| info.virtual_size < 1 << 30) {
        drop(convert_back(&image));
    }
}

fn try_headers(image: Vec<u8>, flips: Vec<(u64, u8)>) {
    let image = BitFlip::new(Memory::from_bytes(image), flips);
    drop(check(&image, None));
    drop(inspect(&image));
}

fn convert_back(image: &dyn Storage) -> Result<Vec<u8>, ImageError> {
    let back = Memory::new();
    convert(&open_source(image, None)?, &back, &Target::Raw { len: None }, None, &Tuning::default(), &NoProgress)?;
    Ok(back.to_bytes())
}

fn qcow2(target: &Target) -> Vec<u8> {
    let (disk, image) = (Memory::from_bytes(noise(5, 9_000)), Memory::new());
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    let source = open_source(&disk, None).expect("plain");
    convert(&source, &image, target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
        .expect("converted");
    image.to_bytes()
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
