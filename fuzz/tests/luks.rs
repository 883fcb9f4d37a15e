//! LUKS1 headers.

use std::time::Duration;

use cadenas_fuzz::{edited, edits, in_time};
use cadenas_luks::{FormatOptions, Header, Layout, MAX_ROUNDS, MIN_ROUNDS, SlotIndex, SlotState, VolumeKey};
use cadenas_secret::SecretBytes;
use uuid::Uuid;

const FEW_ROUNDS: u32 = 5_000;

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(Duration::from_secs(1)).for_each(|bytes| in_time(|| check(bytes)));
}

#[test]
fn changed_headers() {
    let seed = header().to_bytes();
    bolero::check!()
        .with_generator(edits())
        .with_test_time(Duration::from_secs(5))
        .for_each(|edits| in_time(|| check(&edited(&seed, edits))));
}

/// What is accepted is bounded, and is written back as it was read.
fn check(bytes: &[u8]) {
    let Ok(header) = Header::parse(bytes) else { return };
    assert_eq!(header.to_bytes(), bytes[..Header::BYTES]);
    assert!(header.area_len() <= 16 << 20);
    for slot in SlotIndex::all() {
        let area = header.slot_area(slot);
        assert!(area.start >= 4096 && area.end <= header.area_len() && area.end <= header.payload_offset());
    }
    try_noise(&header);
}

/// Noise as key material opens nothing. Headers that ask for many rounds are left out: only the bound on them is checked.
fn try_noise(header: &Header) {
    let bytes = header.to_bytes();
    let digest_rounds = u32::from_be_bytes(bytes[164..168].try_into().expect("4 bytes"));
    assert!((1..=MAX_ROUNDS.get()).contains(&digest_rounds));
    for slot in SlotIndex::all() {
        let SlotState::Active { rounds } = header.slot_state(slot) else { continue };
        assert!(rounds <= MAX_ROUNDS);
        if rounds.get().max(digest_rounds) <= FEW_ROUNDS {
            let noise = vec![0x5a; 256_000];
            let opened = header.unlock_slot(slot, &noise, &SecretBytes::zeroed(4)).expect("whole material");
            assert!(opened.is_none());
        }
    }
}

fn header() -> Header {
    let key = VolumeKey::generate();
    let options = FormatOptions { uuid: Uuid::new_v4(), layout: Layout::Raw, digest_rounds: MIN_ROUNDS };
    let mut header = Header::format(options, &key);
    for slot in SlotIndex::all().step_by(3) {
        header.add_key(slot, &key, &SecretBytes::random(8), MIN_ROUNDS);
    }
    header
}
