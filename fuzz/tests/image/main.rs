//! Disk images: qcow2 in its variants, and LUKS in raw and in qcow2.

mod corpus;
mod in_place;
mod memory;
mod seeds;

use std::{num::NonZeroU32, panic::RefUnwindSafe, time::Duration};

use bolero::{ValueGenerator, produce};
use cadenas_fuzz::{Edit, edited, edits, in_bounds, in_time};
use cadenas_image::{
    Format, ImageError, NoProgress, Source, Target, Tuning, check, convert, foreign::ForeignFormat,
    in_place::is_between, inspect, open_chain, open_source, sample,
};
use cadenas_luks::{Header, SlotIndex, SlotState};
use cadenas_secret::SecretBytes;
use memory::Memory;

#[test]
fn any_bytes_that_begin_as_qcow2() {
    bolero::check!().with_test_time(Duration::from_secs(2)).for_each(|bytes| {
        in_time(|| examine(&[b"QFI\xfb\0\0\0\x03", bytes].concat(), None));
    });
}

#[test]
fn changed_qcow2() {
    change(&[seeds::plain_qcow2()], None);
}

#[test]
fn changed_compressed_qcow2() {
    change(&[seeds::compressed_qcow2("zlib"), seeds::compressed_qcow2("zstd")], None);
}

#[test]
fn changed_extended_qcow2() {
    change(&[seeds::extended_qcow2()], None);
}

#[test]
fn changed_qcow2_with_snapshots() {
    change(&[seeds::qcow2_with_snapshots()], None);
}

#[test]
fn changed_chains() {
    let (top, below) = (seeds::overlay(), seeds::below());
    bolero::check!().with_generator((image_edits(), image_edits())).with_test_time(Duration::from_secs(6)).for_each(
        |(above, under)| {
            let (top, below) = (changed(&top, above), changed(&below, under));
            in_time(|| examine_chain(top, below));
        },
    );
}

#[test]
fn changed_encrypted_images() {
    change(
        &[seeds::encrypted(Target::Qcow2Luks { cluster_size: 512 }), seeds::encrypted(Target::Luks)],
        Some(&seeds::passphrase()),
    );
}

#[test]
fn the_seeds_are_read() {
    for seed in [seeds::plain_qcow2(), seeds::compressed_qcow2("zlib"), seeds::compressed_qcow2("zstd")] {
        assert_eq!(raw_of(&Memory::of(seed), None).expect("a whole image"), seeds::disk());
    }
    raw_of(&Memory::of(seeds::extended_qcow2()), None).expect("a whole image");
    check(&Memory::of(seeds::qcow2_with_snapshots()), None).err();
    let (top, below) = (Memory::of(seeds::overlay()), Memory::of(seeds::below()));
    open_chain((&top, Format::Qcow2), &[(&below, Format::Qcow2)], None).expect("a whole chain");
    for target in [Target::Qcow2Luks { cluster_size: 512 }, Target::Luks] {
        let image = Memory::of(seeds::encrypted(target));
        assert_eq!(raw_of(&image, Some(&seeds::passphrase())).expect("a whole image"), seeds::disk());
    }
}

fn change(seeds: &[Vec<u8>], passphrase: Option<&SecretBytes>) {
    change_with(seeds, |image| examine(image, passphrase));
}

fn change_with(seeds: &[Vec<u8>], examine: impl Fn(&[u8]) + RefUnwindSafe) {
    bolero::check!().with_generator(image_edits()).with_test_time(Duration::from_secs(6)).for_each(
        |(which, head, edits)| {
            let image = changed(&seeds[usize::from(*which) % seeds.len()], &(*which, *head, edits.clone()));
            in_time(|| examine(&image));
        },
    );
}

fn changed(seed: &[u8], (_, head, edits): &(u8, bool, Vec<Edit>)) -> Vec<u8> {
    let (changed, kept) = seed.split_at(if *head { seed.len().min(1024) } else { seed.len() });
    [&edited(changed, edits), kept].concat()
}

/// Which seed, whether only its first kibibyte, where headers are, and what changes.
fn image_edits() -> impl ValueGenerator<Output = (u8, bool, Vec<Edit>)> {
    (produce::<u8>(), produce::<bool>(), edits())
}

/// Whatever the bytes are, each operation ends; an image that the check finds whole can be read, if it is opened at all; and
/// the disk that it holds survives a change of format.
fn examine(bytes: &[u8], passphrase: Option<&SecretBytes>) {
    in_bounds();
    let image = Memory::of(bytes.to_vec());
    ForeignFormat::hint(&image).expect("memory can be read");
    let _ = is_between(&image);
    corpus::keep(bytes, &image);
    // A bound on rounds there is, but it is a minute: only that it is kept matters here.
    let passphrase = passphrase.filter(|_| !asks_for_many_rounds(bytes));
    let (told, checked) = (inspect(&image), check(&image, passphrase));
    let _ = sample(&image, passphrase, 8);
    let Ok(source) = open_source(&image, passphrase) else { return };
    assert_eq!((&source.info().backing_file, &source.info().data_file), (&None, &None), "no other file is needed");
    assert_eq!(told.expect("what opens can be looked at"), *source.info());
    assert!(source.info().virtual_size.is_multiple_of(512));
    match written(&source, Target::Raw { len: None }) {
        Ok(raw) => {
            let again = written(&source, Target::Qcow2 { cluster_size: 4096 }).expect("raw could be written");
            assert_eq!(raw_of(&Memory::of(again), None).expect("our own image"), raw);
        }
        Err(error) => {
            assert!(!checked.is_ok_and(|report| report.is_whole()) || is_no_fault_of_the_check(&error), "{error}");
        }
    }
}

/// Whether a LUKS header anywhere at a sector of the image would keep a key derivation busy.
fn asks_for_many_rounds(bytes: &[u8]) -> bool {
    const FEW_ROUNDS: u32 = 20_000;
    let is_slow = |rounds: NonZeroU32| rounds.get() > FEW_ROUNDS;
    bytes.chunks(512).enumerate().filter(|(_, sector)| sector.starts_with(b"LUKS")).any(|(number, _)| {
        let found = &bytes[number * 512..];
        let digest_rounds = found.get(164..168).map_or(0, |word| u32::from_be_bytes(word.try_into().expect("4 bytes")));
        Header::parse(found).is_ok_and(|header| {
            let mut slots = SlotIndex::all().map(|slot| header.slot_state(slot));
            digest_rounds > FEW_ROUNDS
                || slots.any(|slot| matches!(slot, SlotState::Active { rounds } if is_slow(rounds)))
        })
    })
}

/// Two images, one upon the other, are read to the end or refused; what is read does not depend on the target's clusters.
fn examine_chain(top: Vec<u8>, below: Vec<u8>) {
    in_bounds();
    let (top, below) = (Memory::of(top), Memory::of(below));
    let Ok(source) = open_chain((&top, Format::Qcow2), &[(&below, Format::Qcow2)], None) else { return };
    if let (Ok(raw), Ok(qcow2)) =
        (written(&source, Target::Raw { len: None }), written(&source, Target::Qcow2 { cluster_size: 512 }))
    {
        assert_eq!(raw_of(&Memory::of(qcow2), None).expect("our own image"), raw);
    }
}

/// The check does not read the disk's data, so it cannot tell whether a compressed cluster unpacks; and memory may be full.
fn is_no_fault_of_the_check(error: &ImageError) -> bool {
    match error {
        ImageError::Damaged { what, .. } => what.contains("does not unpack"),
        ImageError::Write { .. } | ImageError::Resize { .. } => true,
        _ => false,
    }
}

fn raw_of(image: &Memory, passphrase: Option<&SecretBytes>) -> Result<Vec<u8>, ImageError> {
    written(&open_source(image, passphrase)?, Target::Raw { len: None })
}

/// Leaves out disks that memory cannot hold.
fn written(source: &Source<'_>, target: Target) -> Result<Vec<u8>, ImageError> {
    let out = Memory::of(Vec::new());
    convert(source, &out, &target, None, &Tuning::default(), &NoProgress)?;
    Ok(out.into_bytes())
}
