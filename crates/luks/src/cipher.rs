//! The volume key and what it does to sectors.

use cadenas_secret::{SecretBytes, XTS_KEY_BYTES, XtsCipher};

use crate::SECTOR_BYTES;

const SECTOR_LEN: usize = 512;
const _: () = assert!(SECTOR_LEN as u64 == SECTOR_BYTES);

/// The key that a volume's data is encrypted with: 64 bytes, AES-256-XTS.
#[derive(Debug)]
pub struct VolumeKey(SecretBytes);

/// Not an AES-256-XTS key: it must be 64 bytes with two different halves (IEEE 1619).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an AES-256-XTS volume key: it must be 64 bytes with two different halves")]
pub struct BadVolumeKey;

impl VolumeKey {
    /// Length in bytes.
    pub const BYTES: usize = XTS_KEY_BYTES;

    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_secret(SecretBytes::random(Self::BYTES)).expect("the halves of 512 random bits differ")
    }

    /// Takes a key made elsewhere.
    pub fn from_secret(key: SecretBytes) -> Result<Self, BadVolumeKey> {
        if key.len() != Self::BYTES {
            return Err(BadVolumeKey);
        }
        let (data, tweak) = key.expose().split_at(Self::BYTES / 2);
        if data == tweak { Err(BadVolumeKey) } else { Ok(Self(key)) }
    }

    /// Its bytes: to derive other keys from, or to be wrapped.
    #[must_use]
    pub fn secret(&self) -> &SecretBytes {
        &self.0
    }
}

/// The sector cipher of one thread: AES-256-XTS, 512-byte sectors, `plain64` tweak.
///
/// The tweak of a sector is the number that the caller says: in a raw LUKS image its place after the payload offset; in qcow2
/// its place in the *host* file.
#[derive(Debug)]
pub struct SectorCipher(XtsCipher);

impl SectorCipher {
    /// Expands `key`.
    #[must_use]
    pub fn new(key: &VolumeKey) -> Self {
        Self::over(key.secret())
    }

    /// Encrypts consecutive sectors in place; `first_sector` is the tweak of the first.
    ///
    /// # Panics
    /// If `data` is not whole sectors: that is a bug of the caller.
    pub fn encrypt(&mut self, first_sector: u64, data: &mut [u8]) {
        for_each_sector(first_sector, data, |number, sector| self.0.encrypt_sector(number, sector));
    }

    /// Decrypts consecutive sectors in place; the inverse of [`Self::encrypt`].
    ///
    /// # Panics
    /// If `data` is not whole sectors: that is a bug of the caller.
    pub fn decrypt(&mut self, first_sector: u64, data: &mut [u8]) {
        for_each_sector(first_sector, data, |number, sector| self.0.decrypt_sector(number, sector));
    }

    /// `key` is 64 bytes with different halves: a volume key, or derived from a passphrase.
    pub(crate) fn over(key: &SecretBytes) -> Self {
        Self(XtsCipher::new(key).expect("64 bytes whose halves differ, checked or from PBKDF2"))
    }
}

fn for_each_sector(first: u64, data: &mut [u8], mut run: impl FnMut(u64, &mut [u8])) {
    let (sectors, rest) = data.as_chunks_mut::<SECTOR_LEN>();
    assert!(rest.is_empty(), "data to encrypt or decrypt must be whole sectors of {SECTOR_LEN} bytes");
    let mut number = first;
    for sector in sectors {
        run(number, sector);
        number = number.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_with_equal_halves_or_another_length_are_refused() {
        assert_eq!(VolumeKey::from_secret(SecretBytes::zeroed(64)).err(), Some(BadVolumeKey));
        assert_eq!(VolumeKey::from_secret(SecretBytes::random(32)).err(), Some(BadVolumeKey));
    }

    #[test]
    fn debug_of_a_key_says_only_its_length() {
        assert_eq!(format!("{:?}", VolumeKey::generate()), "VolumeKey(SecretBytes(64 bytes))");
    }

    #[test]
    #[should_panic(expected = "whole sectors")]
    fn half_a_sector_is_the_callers_bug() {
        SectorCipher::new(&VolumeKey::generate()).encrypt(0, &mut [0; 700]);
    }

    #[test]
    fn the_last_sector_number_is_possible() {
        let mut data = vec![7; 1024];
        let mut cipher = SectorCipher::new(&VolumeKey::generate());
        cipher.encrypt(u64::MAX, &mut data);
        cipher.decrypt(u64::MAX, &mut data);
        assert_eq!(data, vec![7; 1024]);
    }

    proptest! {
        #[test]
        fn many_sectors_at_once_are_the_same_as_one_by_one(first in 0..u64::MAX / 2, count in 0usize..20, seed: u8) {
            let plain: Vec<u8> = (0..count * 512).map(|at| u8::try_from(at % 251).expect("a byte") ^ seed).collect();
            let mut cipher = SectorCipher::new(&VolumeKey::generate());
            let mut together = plain.clone();
            cipher.encrypt(first, &mut together);
            let mut singly = plain.clone();
            for (number, sector) in (first..).zip(singly.chunks_mut(512)) {
                cipher.encrypt(number, sector);
            }
            prop_assert_eq!(&together, &singly);
            cipher.decrypt(first, &mut together);
            prop_assert_eq!(together, plain);
        }
    }
}
