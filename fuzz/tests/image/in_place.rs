//! Rewrites in place: of hostile images, and with hostile journals.

use std::{sync::LazyLock, time::Duration};

use cadenas_fuzz::{edited, edits, in_bounds, in_time};
use cadenas_image::{
    Format, ImageError, NewKey, NoProgress, Target, Tuning,
    in_place::{Change, InPlace, Sizes, is_between},
    open_source_as,
};
use cadenas_luks::MIN_ROUNDS;
use uuid::Uuid;

use crate::{Edit, asks_for_many_rounds, change_with, memory::Memory, raw_of, seeds, written};

const SMALL: Sizes = Sizes { window: 2, zone: 64 << 10, payload: 2 << 20 };

#[test]
fn rewritten_qcow2() {
    change_with(&qcow2_seeds(), |image| {
        rewrite(image);
    });
}

#[test]
fn changed_journals() {
    let (disk, journal) = prepared();
    bolero::check!().with_generator(edits()).with_test_time(Duration::from_secs(4)).for_each(|edits: &Vec<Edit>| {
        in_time(|| resume(&disk, &edited(&journal, edits)));
    });
}

#[test]
fn the_seeds_are_rewritten() {
    for seed in qcow2_seeds() {
        assert_eq!(rewrite(&seed), Ended::Rewritten);
    }
    let (disk, journal) = prepared();
    assert_eq!(resume(&disk, &journal), Ended::Rewritten);
}

/// How far a harness got with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Refused,
    Failed,
    Rewritten,
}

fn qcow2_seeds() -> [Vec<u8>; 4] {
    let compressed = seeds::compressed_qcow2("zlib");
    [seeds::plain_qcow2(), seeds::extended_qcow2(), compressed, seeds::qcow2_with_snapshots()]
}

/// An image that is accepted is rewritten and holds what it held; where that fails, it goes back to what it was.
fn rewrite(bytes: &[u8]) -> Ended {
    in_bounds();
    let (disk, journal) = (Memory::of(bytes.to_vec()), Memory::of(Vec::new()));
    let before = active(bytes, None);
    let passphrase = seeds::passphrase();
    let key = NewKey { passphrase: &passphrase, rounds: MIN_ROUNDS, uuid: Uuid::new_v4() };
    let change = Change::Encrypt { into: Format::Qcow2, key };
    let Ok(mut rewrite) = InPlace::prepare_with(&disk, &journal, Format::Qcow2, &change, SMALL) else {
        return Ended::Refused;
    };
    let done = rewrite.run(&Tuning::default(), &NoProgress);
    if done.is_err() && rewrite.undo(&Tuning::default(), &NoProgress).is_err() {
        return Ended::Failed;
    }
    drop(rewrite);
    let after = active(&disk.into_bytes(), done.is_ok().then_some(()));
    if let Ok(before) = before {
        assert_eq!(after.expect("what could be read can still be read"), before);
    }
    if done.is_ok() { Ended::Rewritten } else { Ended::Failed }
}

/// The disk, with its passphrase if it is encrypted; of an image with snapshots nothing.
fn active(bytes: &[u8], encrypted: Option<()>) -> Result<Vec<u8>, ImageError> {
    raw_of(&Memory::of(bytes.to_vec()), encrypted.map(|()| seeds::passphrase()).as_ref())
}

/// A changed journal is refused, or it still leads to the same disk: it is authenticated.
fn resume(disk: &[u8], journal: &[u8]) -> Ended {
    in_bounds();
    if asks_for_many_rounds(journal) {
        return Ended::Refused;
    }
    let (image, journal) = (Memory::of(disk.to_vec()), Memory::of(journal.to_vec()));
    is_between(&image).expect("the disk itself is sound");
    let Ok(mut rewrite) = InPlace::open(&image, &journal, &seeds::passphrase()) else {
        return Ended::Refused;
    };
    let done = rewrite.run(&Tuning::default(), &NoProgress);
    drop(rewrite);
    if done.is_err() {
        return Ended::Failed;
    }
    let source = open_source_as(&image, Format::Luks, Some(&seeds::passphrase()));
    let raw = written(&source.expect("rewritten"), Target::Raw { len: None }).expect("a whole volume");
    assert_eq!(raw, disk);
    Ended::Rewritten
}

/// A raw disk and the journal that makes it a LUKS volume.
fn prepared() -> (Vec<u8>, Vec<u8>) {
    static PREPARED: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
        let (disk, journal) = (Memory::of(seeds::disk()), Memory::of(Vec::new()));
        let passphrase = seeds::passphrase();
        let key = NewKey { passphrase: &passphrase, rounds: MIN_ROUNDS, uuid: Uuid::new_v4() };
        let change = Change::Encrypt { into: Format::Luks, key };
        InPlace::prepare_with(&disk, &journal, Format::Raw, &change, SMALL).expect("a raw disk");
        (disk.into_bytes(), journal.into_bytes())
    });
    PREPARED.clone()
}
