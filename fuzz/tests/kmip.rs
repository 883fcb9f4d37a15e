//! A key server's answers: the encoding, and what stands in it.

use std::time::Duration;

use bolero::{TypeGenerator, produce};
use cadenas_fuzz::{Edit, edited, edits, in_time};
use cadenas_kmip::{
    KmipOperation, Version,
    testing::{read_answer, sample_answer},
    ttlv::{MAX_MESSAGE_BYTES, announced_len, read, write},
};

/// The versions of both ways to write attributes.
const VERSIONS: [Version; 2] = [Version::V1_4, Version::V2_0];

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(Duration::from_secs(1)).for_each(|bytes| in_time(|| check_encoding(bytes)));
}

/// Trees whose lengths and types are nearly right get further than random bytes do.
#[test]
fn any_items() {
    bolero::check!()
        .with_generator(produce::<Vec<RoughItem>>().with().len(0usize..=20))
        .with_test_time(Duration::from_secs(3))
        .for_each(|items| {
            in_time(|| {
                let body: Vec<u8> = items.iter().flat_map(RoughItem::bytes).collect();
                let len = u32::try_from(body.len()).expect("a few items").to_be_bytes();
                check_encoding(&[&b"\x42\x00\x7b\x01"[..], &len, &body].concat());
            });
        });
}

#[test]
fn changed_answers() {
    let seeds = seeds();
    bolero::check!().with_generator((0..seeds.len(), edits())).with_test_time(Duration::from_secs(8)).for_each(
        |(seed, edits): &(usize, Vec<Edit>)| {
            let (operation, version, answer) = &seeds[*seed];
            in_time(|| {
                let changed = edited(answer, edits);
                check_encoding(&changed);
                // Whatever it says, it says so without a panic.
                drop(read_answer(*operation, *version, &changed));
            });
        },
    );
}

/// The proper answers are read, so that the changed ones are not refused for another reason.
#[test]
fn seeds_are_answers() {
    for (operation, version, answer) in seeds() {
        read_answer(operation, version, &answer).unwrap_or_else(|error| panic!("{operation} {version}: {error}"));
    }
}

fn seeds() -> Vec<(KmipOperation, Version, Vec<u8>)> {
    let all = VERSIONS.into_iter().flat_map(|version| KmipOperation::ALL.iter().map(move |op| (*op, version)));
    all.map(|(operation, version)| (operation, version, sample_answer(operation, version))).collect()
}

/// What is read is bounded and has one canonical form, of the same length, that is read as the same.
fn check_encoding(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk()
        && let Ok(len) = announced_len(*header)
    {
        assert!(len <= MAX_MESSAGE_BYTES);
    }
    let Ok(item) = read(bytes) else { return };
    let canonical = write(&item);
    assert_eq!(canonical.len(), bytes.len());
    assert_eq!(read(&canonical).as_ref(), Ok(&item));
}

/// An item with any type, and a length that may be a little wrong.
#[derive(Debug, Clone, TypeGenerator)]
struct RoughItem {
    tag: [u8; 2],
    #[generator(0u8..=12)]
    type_code: u8,
    #[generator(0u8..=24)]
    len: u8,
    #[generator(0u8..=3)]
    wrong_by: u8,
    value: [u8; 24],
}

impl RoughItem {
    fn bytes(&self) -> Vec<u8> {
        let (len, claimed) = (usize::from(self.len), self.len.saturating_sub(self.wrong_by / 2));
        let mut bytes = vec![0x42, self.tag[0], self.tag[1], self.type_code, 0, 0, 0, claimed];
        bytes.extend_from_slice(&self.value[..len]);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}
