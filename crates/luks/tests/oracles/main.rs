//! Our volumes are read by cryptsetup and QEMU, and theirs by us. Needs `cryptsetup`, `qemu-img` and `qemu-io`.

mod tools;

use cadenas_luks::{
    FormatOptions, Header, Layout, MIN_ROUNDS, SECTOR_BYTES, SectorCipher, SlotIndex, SlotState, VolumeKey,
};
use cadenas_secret::SecretBytes;
use tools::{Cryptsetup, Image, PASSPHRASES, qemu};
use uuid::Uuid;

/// Payload lengths in sectors: one, odd, and beyond what QEMU reads at once.
const PAYLOAD_SECTORS: [usize; 3] = [1, 3, 4099];

/// A payload at 32 MiB, as a disk that was encrypted where it lies has it.
const FAR: Layout = Layout::RawAt { payload_sector: 65_536 };

#[test]
fn volumes_of_ours_are_opened_and_read_by_cryptsetup_and_qemu() {
    for (sectors, layout) in PAYLOAD_SECTORS.into_iter().zip([Layout::Raw, Layout::InQcow2, FAR]) {
        let image = Image::new();
        let plain = pattern(sectors);
        let header = write_volume(&image, layout, &plain);
        let dump = Cryptsetup::dump(&image);
        assert!(dump.contains(&header.uuid().to_string()), "{dump}");
        for (slot, passphrase) in [(0, 0), (3, 1), (7, 2)] {
            assert!(Cryptsetup::opens(&image, slot, passphrase), "slot {slot}");
            assert!(!Cryptsetup::opens(&image, slot, (passphrase + 1) % 3), "slot {slot} with another passphrase");
            assert_eq!(qemu::read_all(&image, passphrase), plain, "{sectors} sectors by passphrase {passphrase}");
        }
        assert!(!Cryptsetup::opens(&image, 1, 0), "a disabled slot");
    }
}

#[test]
fn volumes_of_cryptsetup_are_unlocked_and_their_data_is_read() {
    for hash in ["sha1", "sha256", "sha512"] {
        let image = Image::new();
        image.resize(2 * 1024 * 1024 + 5 * SECTOR_BYTES);
        Cryptsetup::format(&image, hash);
        Cryptsetup::add_key(&image, 0, 6, 1);
        qemu::write(&image, 0, 0xa7, 2 * 512, 3 * 512);
        let volume = open_volume(&image, 1);
        assert_eq!(volume.slot.number(), 6);

        assert_eq!(volume.payload[2 * 512..], [0xa7; 3 * 512], "{hash}");
        let key = volume.key;
        let by_first = open_volume(&image, 0);
        assert_eq!(by_first.slot.number(), 0);
        assert_eq!(cipher_text(&key), cipher_text(&by_first.key), "both slots hold one key");
    }
}

#[test]
fn volumes_of_qemu_are_unlocked_and_their_data_is_read() {
    for hash in ["sha1", "sha256", "sha512"] {
        let image = Image::new();
        qemu::create(&image, "luks", &format!("key-secret=s0,iter-time=10,hash-alg={hash}"), 7 * 512);
        qemu::write(&image, 0, 0x3c, 512, 6 * 512);
        let volume = open_volume(&image, 0);
        assert_eq!(volume.payload[512..], [0x3c; 6 * 512], "{hash}");
        assert_eq!(volume.payload.len(), 7 * 512);
    }
}

#[test]
fn the_header_that_qemu_puts_into_qcow2_is_unlocked() {
    let image = Image::new();
    let options = "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10";
    qemu::create(&image, "qcow2", options, 10 * 1024 * 1024);
    let bytes = image.bytes();
    let start = bytes.chunks(512).position(|sector| sector.starts_with(b"LUKS\xba\xbe")).expect("a header") * 512;
    let volume = open_in(&bytes[start..], 0);
    assert_eq!(volume.header.payload_offset(), volume.header.area_len());
}

#[test]
fn slots_that_cryptsetup_adds_to_and_kills_in_our_volume_are_understood() {
    let image = Image::new();
    let written = write_volume(&image, Layout::Raw, &pattern(2));
    Cryptsetup::add_key(&image, 0, 5, 3);
    Cryptsetup::kill_slot(&image, 3, 0);
    let volume = open_volume(&image, 3);
    assert_eq!(volume.slot.number(), 5);
    assert_eq!(volume.header.slot_state(slot(3)), SlotState::Disabled);
    assert_eq!(volume.header.digest(), written.digest());
    assert_eq!(volume.payload, pattern(2));
}

#[test]
fn slots_that_we_add_to_and_disable_in_volumes_of_cryptsetup_are_understood() {
    let image = Image::new();
    image.resize(2 * 1024 * 1024 + 512);
    Cryptsetup::format(&image, "sha512");
    let Volume { mut header, key, .. } = open_volume(&image, 0);
    let material = header.add_key(slot(4), &key, &PASSPHRASES.secret(2), MIN_ROUNDS);
    image.write(header.slot_area(slot(4)).start, &material);
    header.disable(slot(0));
    image.write(0, &header.to_bytes());
    assert!(Cryptsetup::opens(&image, 4, 2));
    assert!(!Cryptsetup::opens(&image, 0, 0));
    assert_eq!(qemu::read_all(&image, 2).len(), 512);
}

#[test]
fn our_volume_key_is_the_one_that_cryptsetup_finds() {
    let image = Image::new();
    let key: Vec<u8> = (1..=64).collect();
    let volume_key = VolumeKey::from_secret(SecretBytes::take_from(key.clone())).expect("halves differ");
    write_volume_with(&image, &volume_key, Layout::Raw, &pattern(1));
    assert_eq!(Cryptsetup::volume_key(&image, 1), key);
}

struct Volume {
    header: Header,
    slot: SlotIndex,
    key: VolumeKey,
    payload: Vec<u8>,
}

/// Unlocks and decrypts, with the library under test alone, whatever program made the image.
fn open_volume(image: &Image, passphrase: usize) -> Volume {
    open_in(&image.bytes(), passphrase)
}

fn open_in(bytes: &[u8], passphrase: usize) -> Volume {
    let header = Header::parse(bytes).expect("a header that we handle");
    assert_eq!(header.to_bytes(), bytes[..Header::BYTES], "written back as it was read");
    let (slot, key) = header
        .active_slots()
        .find_map(|slot| Some((slot, unlock(&header, slot, bytes, passphrase)?)))
        .expect("a slot for the passphrase");
    let mut payload = bytes[at(header.payload_offset())..].to_vec();
    SectorCipher::new(&key).decrypt(0, &mut payload);
    Volume { header, slot, key, payload }
}

fn unlock(header: &Header, slot: SlotIndex, bytes: &[u8], passphrase: usize) -> Option<VolumeKey> {
    let area = header.slot_area(slot);
    header
        .unlock_slot(slot, &bytes[at(area.start)..at(area.end)], &PASSPHRASES.secret(passphrase))
        .expect("whole material")
}

fn write_volume(image: &Image, layout: Layout, plain: &[u8]) -> Header {
    write_volume_with(image, &VolumeKey::generate(), layout, plain)
}

/// Slots 0, 3 and 7 open with passphrases 0, 1 and 2.
fn write_volume_with(image: &Image, key: &VolumeKey, layout: Layout, plain: &[u8]) -> Header {
    let mut header = Header::format(FormatOptions { uuid: Uuid::new_v4(), layout, digest_rounds: MIN_ROUNDS }, key);
    for (number, passphrase) in [(0, 0), (3, 1), (7, 2)] {
        let material = header.add_key(slot(number), key, &PASSPHRASES.secret(passphrase), MIN_ROUNDS);
        image.write(header.slot_area(slot(number)).start, &material);
    }
    image.write(0, &header.to_bytes());
    let mut payload = plain.to_vec();
    SectorCipher::new(key).encrypt(0, &mut payload);
    image.write(header.payload_offset(), &payload);
    header
}

/// A block that tells keys apart.
fn cipher_text(key: &VolumeKey) -> [u8; 512] {
    let mut sector = [0; 512];
    SectorCipher::new(key).encrypt(0, &mut sector);
    sector
}

/// Sectors that all differ.
fn pattern(sectors: usize) -> Vec<u8> {
    (0..sectors * 512).map(|at| u8::try_from((at / 512 + at * 7) % 256).expect("a byte")).collect()
}

fn slot(number: u8) -> SlotIndex {
    SlotIndex::try_from(number).expect("a slot")
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("test images are small")
}
