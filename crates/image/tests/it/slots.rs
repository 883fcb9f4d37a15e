//! Key slots come and go in images that stay whole, at every instant.

use std::num::NonZeroU32;

use cadenas_image::{
    Access, File, ImageError, NewKey, NoProgress, SlotIndex, Storage, Target, Tuning, convert, inspect, open_source,
    slots::{self, Outcome},
    storage::testing::{Crash, Memory},
};
use cadenas_secret::SecretBytes;
use uuid::Uuid;

use crate::common::{Bench, passphrase, rounds, run, text, try_run};

#[test]
fn qemu_and_cryptsetup_open_a_slot_we_added_until_we_erase_it() {
    for target in [Target::Luks, Target::Qcow2Luks { cluster_size: 64 << 10 }] {
        let bench = Bench::new();
        let (plain, image) = (bench.raw_disk(1 << 20), bench.path("ours"));
        Bench::ours(&plain, &image, target);
        let file = File::open(&image, Access::Write).expect("opened");
        let slot = slots::add_key(&file, &passphrase(), &secret("another"), rounds()).expect("added");
        assert_eq!(slot.number(), 1);
        std::fs::write(bench.path("passphrase"), "another").expect("written");
        let options = if target == Target::Luks { Bench::luks_options(&image) } else { Bench::qcow2_options(&image) };
        bench.assert_qemu_reads(&options, &plain);
        if target == Target::Luks {
            let key_file = bench.path("passphrase");
            run("cryptsetup", &["open", "--test-passphrase", "--key-file", text(&key_file), text(&image)]);
        }
        assert_eq!(slots::erase(&file, slot).expect("erased"), Outcome::Changed);
        assert_eq!(slots::erase(&file, slot).expect("erased"), Outcome::AlreadySo);
        let refused = try_run("qemu-io", &["--object", &bench.secret(), "--image-opts", &options, "-c", "read 0 512"]);
        assert!(!refused.status.success());
        std::fs::write(bench.path("passphrase"), crate::common::PASSPHRASE).expect("written");
        bench.assert_qemu_reads(&options, &plain);
        // Whoever kept the old header finds noise.
        assert!(matches!(open_source(&file, Some(&secret("another"))), Err(ImageError::WrongPassphrase { .. })));
    }
}

#[test]
fn the_only_slot_is_kept_and_a_full_header_takes_no_more() {
    let image = encrypted(&Target::Luks);
    let first = SlotIndex::try_from(0).expect("a slot");
    assert!(matches!(slots::erase(&image, first), Err(ImageError::LastSlot { slot: 0, .. })));
    for number in 1..8 {
        slots::add_key(&image, &passphrase(), &secret(&number.to_string()), rounds()).expect("room");
    }
    assert!(matches!(
        slots::add_key(&image, &passphrase(), &secret("ninth"), rounds()),
        Err(ImageError::NoFreeSlot { .. })
    ));
    assert!(slots::find(&image, &secret("7")).expect("looked").is_some_and(|slot| slot.number() == 7));
    let erased = slots::erase_all_but(&image, &secret("3")).expect("erased");
    assert_eq!(erased.len(), 7);
    assert_eq!(inspect(&image).expect("inspected").encryption.expect("encrypted").active_slots, [3]);
    assert_eq!(slots::find(&image, &passphrase()).expect("looked"), None);
}

#[test]
fn a_repair_without_the_right_passphrase_changes_nothing() {
    let image = encrypted(&Target::Qcow2Luks { cluster_size: 4096 });
    slots::add_key(&image, &passphrase(), &secret("one-time"), rounds()).expect("added");
    let before = image.to_bytes();
    assert!(matches!(slots::erase_all_but(&image, &secret("wrong")), Err(ImageError::WrongPassphrase { .. })));
    assert!(matches!(
        slots::add_key(&image, &secret("wrong"), &secret("new"), rounds()),
        Err(ImageError::WrongPassphrase { .. })
    ));
    assert!(image.to_bytes() == before);
}

#[test]
fn a_plain_image_has_no_slots() {
    for image in [vec![7; 8192], vec![]] {
        let image = Memory::from_bytes(image);
        assert!(matches!(slots::erase_all_but(&image, &passphrase()), Err(ImageError::NotEncrypted { .. })));
    }
}

#[test]
fn a_power_cut_while_a_slot_comes_or_goes_leaves_the_others() {
    let fresh = Crash::from_bytes(encrypted(&Target::Luks).to_bytes());
    slots::add_key(&fresh, &passphrase(), &secret("one-time"), NonZeroU32::MIN).expect("added");
    slots::erase(&fresh, SlotIndex::try_from(1).expect("a slot")).expect("erased");
    let cuts = fresh.every_power_cut();
    // Material, header, noise, header: each is there, or not, or torn, and flushed before the next.
    assert!(cuts.len() > 16, "{}", cuts.len());
    for cut in cuts {
        assert!(slots::find(&Memory::from_bytes(cut), &passphrase()).expect("a whole header").is_some());
    }
}

#[test]
fn a_slot_can_be_erased_while_qemu_has_the_image_open() {
    use std::{io::Write, process::Stdio};
    let bench = Bench::new();
    let (plain, image) = (bench.raw_disk(1 << 20), bench.path("ours.qcow2"));
    Bench::ours(&plain, &image, Target::Qcow2Luks { cluster_size: 64 << 10 });
    let file = File::open(&image, Access::Write).expect("opened");
    let slot = slots::add_key(&file, &passphrase(), &secret("one-time"), rounds()).expect("added");
    std::fs::write(bench.path("passphrase"), "one-time").expect("written");
    let mut qemu = std::process::Command::new("qemu-io")
        .args(["--object", &bench.secret(), "--image-opts", &Bench::qcow2_options(&image)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("qemu-io starts");
    let mut input = qemu.stdin.take().expect("piped");
    input.write_all(b"write -P 1 0 64k\n").expect("it listens");
    // It answers when it has opened the image and written.
    let mut output = std::io::BufReader::new(qemu.stdout.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).expect("it answers");
    assert!(line.contains("wrote"), "{line}");
    assert_eq!(slots::erase(&file, slot).expect("erased"), Outcome::Changed);
    input.write_all(b"write -P 2 512k 64k\n").expect("it listens");
    // The end of its input is its end.
    drop(input);
    assert!(qemu.wait().expect("it ends").success());
    std::fs::write(bench.path("passphrase"), crate::common::PASSPHRASE).expect("written");
    let reads = ["-c", "read -P 1 0 64k", "-c", "read -P 2 512k 64k"];
    let said = run(
        "qemu-io",
        &[&["--object", &bench.secret(), "--image-opts", &Bench::qcow2_options(&image)], &reads[..]].concat(),
    );
    assert!(!said.contains("failed"), "{said}");
}

fn encrypted(target: &Target) -> Memory {
    let plain = Memory::from_bytes(vec![7; 10_000]);
    let image = Memory::new();
    let key = NewKey { passphrase: &passphrase(), rounds: rounds(), uuid: Uuid::new_v4() };
    let source = open_source(&plain, None).expect("plain");
    convert(&source, &image, target, Some(key), &Tuning::default(), &NoProgress).expect("converted");
    assert!(image.len().expect("in memory") > 10_000);
    image
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::take_from(text.as_bytes().to_vec())
}
