//! The test vectors of docs/formats.md: a volume with nothing random in it.

use cadenas_secret::digest::sha256;

use super::*;
use crate::{MIN_ROUNDS, SectorCipher, keyslot::Chosen};

const PASSPHRASE: &[u8] = b"cadenas test vector";
const HEADER_SHA256: &str = "505f004ff3f94294f09f300a4c4533b82a04d78785af13d3d6ee02217b939238";
const DIGEST: &str = "1dfab1d33ce35522ac387a1dfb95abef14cbf679";
const MATERIAL_SHA256: &str = "d21b3903f282cd3868e1e4cfb80cfacf87799b0e2a32eb12fbd67ca9985a38bf";
const SECTOR_5_SHA256: &str = "ecc3800c0dbbc477716080274d5d20ab7a259a856132fea1bcc060ee7bcde7bd";

#[test]
fn header_and_key_material_are_those_of_the_published_vector() {
    let (header, material) = volume();
    assert_eq!(hex::encode(header.digest()), DIGEST);
    assert_eq!(hex::encode(sha256(&[&header.to_bytes()])), HEADER_SHA256);
    assert_eq!(hex::encode(sha256(&[&material])), MATERIAL_SHA256);
}

#[test]
fn the_published_vector_opens_with_its_passphrase() {
    let (header, material) = volume();
    let header = Header::parse(&header.to_bytes()).expect("a header of ours");
    let key =
        header.unlock_slot(slot_0(), &material, &passphrase()).expect("whole material").expect("right passphrase");
    assert!(key.secret().equals(volume_key().secret().expose()));
}

#[test]
fn sectors_are_encrypted_as_in_the_published_vector() {
    let mut sector = [0; 512];
    SectorCipher::new(&volume_key()).encrypt(5, &mut sector);
    assert_eq!(hex::encode(sha256(&[&sector])), SECTOR_5_SHA256);
}

fn volume() -> (Header, Vec<u8>) {
    let uuid = Uuid::try_parse("00112233-4455-4677-8899-aabbccddeeff").expect("a UUID");
    let options = FormatOptions { uuid, layout: Layout::Raw, digest_rounds: MIN_ROUNDS };
    let mut header = Header::format_with(options, &volume_key(), counting(0x40));
    let chosen = Chosen { rounds: MIN_ROUNDS, salt: counting(0x60), stripes: counted_digests };
    let material = header.slots[0].fill_with(Hash::Sha256, &volume_key(), &passphrase(), chosen);
    (header, material)
}

fn volume_key() -> VolumeKey {
    VolumeKey::from_secret(SecretBytes::take_from((0..64).collect())).expect("the halves differ")
}

fn passphrase() -> SecretBytes {
    SecretBytes::take_from(PASSPHRASE.to_vec())
}

fn slot_0() -> SlotIndex {
    SlotIndex::try_from(0).expect("a slot")
}

/// 32 bytes that count up from `first`.
fn counting(first: u8) -> [u8; 32] {
    let mut next = first..;
    [(); 32].map(|()| next.next().expect("no overflow"))
}

/// The random stripes: SHA-256 of 0, 1, 2 … as 32-bit big-endian numbers, one after the other.
fn counted_digests(stripes: &mut [u8]) {
    for (number, piece) in (0u32..).zip(stripes.chunks_mut(32)) {
        piece.copy_from_slice(&sha256(&[&number.to_be_bytes()])[..piece.len()]);
    }
}
