//! Verify tells what is encrypted, and what is not.

use std::{fs, os::unix::fs::FileExt as _};

use cadenas_keys::KeyRing;
use cadenas_vmhome::VmHome;

use crate::common::{Bed, full_bytes};

const SAMPLES: usize = 200;

#[test]
fn a_sound_vm_is_sound_with_and_without_its_keys() {
    let bed = Bed::plain();
    let home = bed.encrypt();
    let report = home.verify(&bed.keyring, SAMPLES);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.objects.len(), 4);
    assert!(report.objects.iter().all(|object| object.key == bed.needed()));
    let locked = home.verify(&KeyRing::new(), SAMPLES);
    assert!(locked.is_sound(), "{locked:?}");
    assert!(locked.objects.iter().all(|object| object.detail.contains("key is not here")));
}

#[test]
fn plain_bytes_in_an_encrypted_disk_are_found() {
    let mut bed = Bed::without_disks();
    bed.add_raw("vda", &full_bytes(256 << 10));
    let home = bed.encrypt();
    let disk = fs::OpenOptions::new().write(true).open(home.disk_path(&home.disks()[0])).expect("opened");
    disk.write_all_at(&b"plain text, readable to all. ".repeat(8_000), 2 << 20).expect("written");
    let report = home.verify(&bed.keyring, 2_000);
    assert!(!report.objects[1].encrypted && report.objects[1].problem.is_some(), "{report:?}");
}

#[test]
fn a_missing_disk_and_a_plain_one_are_found() {
    let bed = Bed::small();
    let home = bed.encrypt();
    let paths: Vec<_> = home.disks().iter().map(|disk| home.disk_path(disk)).collect();
    fs::remove_file(&paths[0]).expect("removed");
    fs::write(&paths[1], vec![7; 1 << 20]).expect("written");
    for keyring in [&bed.keyring, &KeyRing::new()] {
        let report = VmHome::open(&bed.home()).expect("a home").verify(keyring, SAMPLES);
        let problem = |at: usize| report.objects[at].problem.clone().unwrap_or_default();
        assert!(report.objects[0].encrypted && problem(0).is_empty());
        assert!(problem(1).contains("missing"), "{}", problem(1));
        assert!(!report.objects[2].encrypted && problem(2).contains("not encrypted"), "{}", problem(2));
    }
}
