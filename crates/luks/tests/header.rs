//! What headers are accepted: round trips, and one named defect per refused header.

use std::num::NonZeroU32;

use cadenas_luks::{
    FormatOptions, Header, HeaderError, Layout, MAX_ROUNDS, MIN_ROUNDS, SlotIndex, SlotState, UnlockError, VolumeKey,
};
use cadenas_secret::SecretBytes;
use proptest::prelude::*;
use uuid::Uuid;

#[test]
fn a_new_header_says_what_was_asked_for() {
    let uuid = Uuid::new_v4();
    let header = header_of(Layout::Raw, uuid);
    assert_eq!(header.uuid(), uuid);
    assert_eq!(header.cipher(), "aes-xts-plain64");
    assert_eq!(header.payload_offset(), 2 * 1024 * 1024);
    assert_eq!(header.area_len(), 0x1f_9000);
    assert_eq!(header_of(Layout::RawAt { payload_sector: 65_536 }, uuid).payload_offset(), 32 << 20);
    assert_eq!(header_of(Layout::RawAt { payload_sector: 0 }, uuid).payload_offset(), 0x1f_9000);
    assert_eq!(header_of(Layout::InQcow2, uuid).payload_offset(), 0x1f_9000);
    assert_eq!(header.slot_area(slot(0)), 4096..4096 + 256_000);
    assert_eq!(header.slot_area(slot(7)).start, 1_810_432);
    assert_eq!(header.active_slots().count(), 0);
    assert_eq!(header.free_slot(), Some(slot(0)));
}

#[test]
fn each_passphrase_opens_its_own_slot_and_no_other() {
    let key = VolumeKey::generate();
    let mut header = Header::format(options(Layout::Raw, Uuid::new_v4()), &key);
    let first = header.add_key(slot(0), &key, &passphrase("one"), MIN_ROUNDS);
    let second = header.add_key(slot(5), &key, &passphrase("two"), MIN_ROUNDS);
    assert_eq!(header.active_slots().collect::<Vec<_>>(), [slot(0), slot(5)]);
    assert_eq!(header.free_slot(), Some(slot(1)));
    let opens = |index, material: &[u8], word| header.unlock_slot(slot(index), material, &passphrase(word)).unwrap();
    assert!(opens(0, &first, "one").is_some());
    assert!(opens(5, &second, "two").is_some());
    assert!(opens(0, &first, "two").is_none());
    assert!(opens(5, &second, "one").is_none());
    assert!(opens(0, &second, "one").is_none(), "material of another slot");
    assert!(opens(1, &first, "one").is_none(), "a disabled slot");
}

#[test]
fn one_changed_bit_of_key_material_opens_nothing() {
    let key = VolumeKey::generate();
    let mut header = Header::format(options(Layout::Raw, Uuid::new_v4()), &key);
    let mut material = header.add_key(slot(0), &key, &passphrase("one"), MIN_ROUNDS);
    for at in [0, 511, 512, 128_000, 255_999] {
        material[at] ^= 0x10;
        assert!(header.unlock_slot(slot(0), &material, &passphrase("one")).unwrap().is_none());
        material[at] ^= 0x10;
    }
    assert!(header.unlock_slot(slot(0), &material, &passphrase("one")).unwrap().is_some());
}

#[test]
fn a_disabled_slot_keeps_no_salt_and_leaves_the_header_as_before() {
    let key = VolumeKey::generate();
    let mut header = Header::format(options(Layout::Raw, Uuid::new_v4()), &key);
    let before = header.clone();
    header.add_key(slot(3), &key, &passphrase("one"), MIN_ROUNDS);
    assert_ne!(header, before);
    header.disable(slot(3));
    assert_eq!(header, before);
}

#[test]
fn rounds_outside_the_bounds_are_moved_to_them() {
    let key = VolumeKey::generate();
    let few = FormatOptions { digest_rounds: NonZeroU32::MIN, ..options(Layout::Raw, Uuid::new_v4()) };
    let mut header = Header::format(few, &key);
    header.add_key(slot(0), &key, &passphrase("one"), NonZeroU32::MIN);
    assert_eq!(header.slot_state(slot(0)), SlotState::Active { rounds: MIN_ROUNDS });
    assert_eq!(header.to_bytes()[164..168], MIN_ROUNDS.get().to_be_bytes());
}

#[test]
fn key_material_of_the_wrong_length_is_told() {
    let header = header_of(Layout::Raw, Uuid::new_v4());
    let error = header.unlock_slot(slot(2), &[0; 512], &passphrase("one")).err();
    assert_eq!(error, Some(UnlockError::MaterialLength { slot: slot(2), expected: 256_000, found: 512 }));
}

#[test]
fn slots_are_numbered_0_to_7() {
    assert_eq!(SlotIndex::all().map(SlotIndex::number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(SlotIndex::try_from(8).is_err());
}

/// One defect: what it is, where it is written, and what the header must be refused for.
type Defect = (&'static str, usize, &'static [u8], HeaderError);

#[test]
fn each_defect_is_refused_by_its_name() {
    for (defect, at, bytes, expected) in defects() {
        let mut header = header_of(Layout::Raw, Uuid::new_v4()).to_bytes();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(Header::parse(&header), Err(expected), "{defect}");
    }
}

#[test]
fn a_cut_header_is_refused() {
    let header = header_of(Layout::Raw, Uuid::new_v4()).to_bytes();
    for len in 0..header.len() {
        assert_eq!(Header::parse(&header[..len]), Err(HeaderError::Truncated { found: len }));
    }
}

/// Offsets are those of the specification, figure 1; slot `n` begins at 208 + 48 n.
fn defects() -> Vec<Defect> {
    let text = |field| HeaderError::BadText { field };
    vec![
        ("another magic", 0, b"SKUL", HeaderError::NotLuks),
        ("LUKS2", 6, &[0, 2], HeaderError::Luks2),
        ("version 0", 6, &[0, 0], HeaderError::UnknownVersion { found: 0 }),
        ("version 256", 6, &[1, 0], HeaderError::UnknownVersion { found: 256 }),
        ("serpent", 8, b"serpent\0", HeaderError::CipherNotHandled { found: "serpent-xts-plain64".into() }),
        ("cbc", 40, b"cbc-essiv:sha256\0", HeaderError::CipherNotHandled { found: "aes-cbc-essiv:sha256".into() }),
        ("32-bit tweak", 40, b"xts-plain\0\0", HeaderError::CipherNotHandled { found: "aes-xts-plain".into() }),
        ("no cipher", 8, b"\0\0\0", HeaderError::CipherNotHandled { found: "-xts-plain64".into() }),
        ("cipher name without end", 8, &[b'a'; 32], text("cipher name")),
        ("cipher name of control characters", 8, b"a\x1b[2J\0", text("cipher name")),
        ("bytes behind the cipher name's end", 39, b"x", text("cipher name")),
        ("cipher mode without end", 40, &[b'x'; 32], text("cipher mode")),
        ("hash without end", 72, &[b's'; 32], text("hash")),
        ("old hash", 72, b"ripemd160\0", HeaderError::HashNotHandled { found: "ripemd160".into() }),
        ("upper-case hash", 72, b"SHA256\0", HeaderError::HashNotHandled { found: "SHA256".into() }),
        ("payload at 0", 104, &[0, 0, 0, 0], HeaderError::PayloadInHeader { sector: 0 }),
        ("payload in the header", 104, &[0, 0, 0, 7], HeaderError::PayloadInHeader { sector: 7 }),
        (
            "payload in the last slot",
            104,
            &[0, 0, 0x0f, 0xc7],
            HeaderError::SlotInPayload { slot: slot(7), sector: 3536 },
        ),
        ("AES-128", 108, &[0, 0, 0, 32], HeaderError::KeyLengthNotHandled { found: 32 }),
        ("huge key", 108, &[0xff; 4], HeaderError::KeyLengthNotHandled { found: u32::MAX }),
        ("no digest rounds", 164, &[0; 4], HeaderError::DigestRounds { found: 0 }),
        ("endless digest rounds", 164, &[0xff; 4], HeaderError::DigestRounds { found: u32::MAX }),
        ("upper-case UUID", 168, b"AAAAAAAA", HeaderError::BadUuid),
        ("no UUID", 168, &[0; 36], HeaderError::BadUuid),
        ("no text as UUID", 168, &[0xff; 4], text("UUID")),
        ("bytes behind the UUID's end", 207, b"x", text("UUID")),
        ("slot half enabled", 208, &[0, 0xac, 0, 0], HeaderError::SlotState { slot: slot(0), found: 0x00ac_0000 }),
        (
            "enabled slot without rounds",
            256,
            &[0, 0xac, 0x71, 0xf3, 0, 0, 0, 0],
            HeaderError::SlotRounds { slot: slot(1), found: 0 },
        ),
        (
            "enabled slot with endless rounds",
            256,
            &[0, 0xac, 0x71, 0xf3, 0xff, 0xff, 0xff, 0xff],
            HeaderError::SlotRounds { slot: slot(1), found: u32::MAX },
        ),
        ("no stripes", 252, &[0; 4], HeaderError::SlotStripes { slot: slot(0), found: 0 }),
        ("endless stripes", 252, &[0xff; 4], HeaderError::SlotStripes { slot: slot(0), found: u32::MAX }),
        ("slot in the header", 248, &[0, 0, 0, 7], HeaderError::SlotInHeader { slot: slot(0), sector: 7 }),
        ("slots overlap", 296, &[0, 0, 0x01, 0xff], HeaderError::SlotsOverlap { first: slot(0), second: slot(1) }),
        ("two slots in one place", 296, &[0, 0, 0, 8], HeaderError::SlotsOverlap { first: slot(0), second: slot(1) }),
        ("slot whose end overflows", 584, &[0xff; 4], HeaderError::SlotInPayload { slot: slot(7), sector: u32::MAX }),
    ]
}

#[test]
fn slots_far_behind_the_header_are_refused_even_before_a_far_payload() {
    let mut header = header_of(Layout::Raw, Uuid::new_v4()).to_bytes();
    header[104..108].fill(0xff);
    header[584..588].copy_from_slice(&0x0100_0000u32.to_be_bytes());
    assert_eq!(Header::parse(&header), Err(HeaderError::SlotTooFar { slot: slot(7), sector: 0x0100_0000 }));
}

#[test]
fn the_message_names_the_cause_and_what_to_do() {
    let mut header = header_of(Layout::Raw, Uuid::new_v4()).to_bytes();
    header[7] = 2;
    let message = Header::parse(&header).unwrap_err().to_string();
    assert!(message.contains("QEMU reads only LUKS1") && message.contains("convert --type luks1"), "{message}");
}

proptest! {
    #[test]
    fn what_is_accepted_is_written_back_byte_for_byte(changes in prop::collection::vec((0usize..592, any::<u8>()), 0..6)) {
        let mut bytes = header_of(Layout::InQcow2, Uuid::nil()).to_bytes();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
            prop_assert!(header.area_len() <= 16 * 1024 * 1024);
        }
    }

    #[test]
    fn any_numbers_in_the_numeric_fields_are_read_without_panic(
        numbers in prop::collection::vec(prop_oneof![any::<u32>(), 0u32..5000, Just(0x00ac_71f3), Just(0xdead)], 36),
    ) {
        let mut bytes = header_of(Layout::Raw, Uuid::nil()).to_bytes();
        let slot_fields = (0..8).flat_map(|slot| [0, 4, 40, 44].map(|field| 208 + 48 * slot + field));
        for (at, number) in [104, 108, 164].into_iter().chain(slot_fields).zip(&numbers) {
            bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
    }

    #[test]
    fn valid_slots_in_any_order_are_accepted(order in Just((0u32..8).collect::<Vec<_>>()).prop_shuffle(), rounds in 1..=MAX_ROUNDS.get()) {
        let mut bytes = header_of(Layout::Raw, Uuid::nil()).to_bytes();
        for (place, at) in order.iter().zip((208..).step_by(48)) {
            bytes[at..at + 4].copy_from_slice(&0x00ac_71f3u32.to_be_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&rounds.to_be_bytes());
            bytes[at + 40..at + 44].copy_from_slice(&(8 + 504 * place).to_be_bytes());
        }
        let header = Header::parse(&bytes).unwrap();
        prop_assert_eq!(header.to_bytes(), bytes);
        prop_assert_eq!(header.area_len(), 0x1f_9000);
        prop_assert_eq!(header.free_slot(), None);
    }

    #[test]
    fn noise_is_no_header(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        prop_assert!(Header::parse(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_passphrase_of_any_bytes_gives_the_volume_key_back(words: Vec<u8>, index in 0u8..8) {
        let key = VolumeKey::generate();
        let mut header = Header::format(options(Layout::InQcow2, Uuid::new_v4()), &key);
        let passphrase = SecretBytes::take_from(words);
        let material = header.add_key(slot(index), &key, &passphrase, MIN_ROUNDS);
        let header = Header::parse(&header.to_bytes()).unwrap();
        prop_assert_eq!(material.len() as u64, { let area = header.slot_area(slot(index)); area.end - area.start });
        prop_assert!(header.unlock_slot(slot(index), &material, &passphrase).unwrap().is_some());
    }
}

fn header_of(layout: Layout, uuid: Uuid) -> Header {
    Header::format(options(layout, uuid), &VolumeKey::generate())
}

fn options(layout: Layout, uuid: Uuid) -> FormatOptions {
    FormatOptions { uuid, layout, digest_rounds: MIN_ROUNDS }
}

fn slot(number: u8) -> SlotIndex {
    SlotIndex::try_from(number).unwrap()
}

fn passphrase(words: &str) -> SecretBytes {
    SecretBytes::take_from(words.as_bytes().to_vec())
}
