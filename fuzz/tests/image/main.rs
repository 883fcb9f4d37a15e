//! Disk images: qcow2 in its variants, and LUKS in raw and in qcow2.

mod memory;
mod seeds;

use std::time::Duration;

use bolero::{ValueGenerator, produce};
use cadenas_fuzz::{Edit, edited, edits, in_time};
use cadenas_image::{ImageError, NoProgress, Source, Target, Tuning, check, convert, inspect, open_source, sample};
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
    for target in [Target::Qcow2Luks { cluster_size: 512 }, Target::Luks] {
        let image = Memory::of(seeds::encrypted(target));
        assert_eq!(raw_of(&image, Some(&seeds::passphrase())).expect("a whole image"), seeds::disk());
    }
}

fn change(seeds: &[Vec<u8>], passphrase: Option<&SecretBytes>) {
    bolero::check!().with_generator(image_edits()).with_test_time(Duration::from_secs(6)).for_each(
        |(which, head, edits)| {
            let seed = &seeds[usize::from(*which) % seeds.len()];
            let (changed, kept) = seed.split_at(if *head { seed.len().min(1024) } else { seed.len() });
            in_time(|| examine(&[&edited(changed, edits), kept].concat(), passphrase));
        },
    );
}

/// Which seed, whether only its first kibibyte, where headers are, and what changes.
fn image_edits() -> impl ValueGenerator<Output = (u8, bool, Vec<Edit>)> {
    (produce::<u8>(), produce::<bool>(), edits())
}

/// Whatever the bytes are, each operation ends; an image that the check finds whole can be read, if it is opened at all; and
/// the disk that it holds survives a change of format.
fn examine(bytes: &[u8], passphrase: Option<&SecretBytes>) {
    let image = Memory::of(bytes.to_vec());
    let (told, checked) = (inspect(&image), check(&image, passphrase));
    let _ = sample(&image, passphrase, 8);
    let Ok(source) = open_source(&image, passphrase) else { return };
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
