//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{SecretBytes, registers};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 12;
/// Length of the tag that ends every ciphertext, in bytes.
pub const TAG_BYTES: usize = 16;

/// The ciphertext was not made with this key, nonce and associated data, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct NotAuthentic;

/// Encrypts `plain`: ciphertext followed by its tag. `key` is 32 bytes; a nonce must never serve twice under one key.
#[must_use]
pub fn seal(key: &SecretBytes, nonce: [u8; NONCE_BYTES], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(plain.len() + TAG_BYTES);
    buffer.extend_from_slice(plain);
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut buffer)
        .expect("a plaintext of less than 64 GiB");
    registers::wipe();
    buffer
}

/// Decrypts what [`seal`] made, if key, nonce, associated data and every byte are the same.
pub fn open(
    key: &SecretBytes,
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, NotAuthentic> {
    let plain_len = sealed.len().checked_sub(TAG_BYTES).ok_or(NotAuthentic)?;
    let (ciphertext, tag) = sealed.split_at(plain_len);
    SecretBytes::try_new_with(plain_len, |out| {
        cipher(key)
            .open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::from(associated), ciphertext, tag, out)
            .map_err(|_| NotAuthentic)
    })
}

/// Tags for data that is not encrypted (GMAC): AES-256-GCM with an empty plaintext. The key is expanded once.
pub struct Tagger(LessSafeKey);

impl Tagger {
    /// `key` is 32 bytes.
    #[must_use]
    pub fn new(key: &SecretBytes) -> Self {
        Self(cipher(key))
    }

    /// The tag of `data`; a nonce must never serve for two different data under one key.
    #[must_use]
    pub fn tag(&self, nonce: [u8; NONCE_BYTES], data: &[u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(data), &mut [])
            .expect("data of less than 64 GiB");
        tag.as_ref().try_into().expect("a GCM tag is 16 bytes")
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger(..)")
    }
}

fn cipher(key: &SecretBytes) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The GCM specification (McGrew and Viega), test case 16: AES-256 with associated data.
    #[test]
    fn gcm_specification_test_case_16() {
        let key = key_of("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = unhex("cafebabefacedbaddecaf888").try_into().expect("12 bytes");
        let plain = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
             b16aedf5aa0de657ba637b39",
        );
        let associated = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let sealed = seal(&key, nonce, &associated, &plain);
        let expected = unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        );
        assert_eq!(sealed, expected);
        assert!(open(&key, nonce, &associated, &sealed).expect("authentic").equals(&plain));
    }

    /// The first is the GCM specification's test case 13; the second OpenSSL 3's: `openssl mac -macopt cipher:AES-256-GCM
    /// -macopt hexkey:KEY -macopt hexiv:NONCE GMAC`.
    #[test]
    fn tags_without_a_plaintext_are_gmac() {
        let zero = Tagger::new(&SecretBytes::zeroed(KEY_BYTES));
        assert_eq!(zero.tag([0; 12], &[])[..], unhex("530f8afbc74536b9a963b4f1c4cb738b"));
        let key = key_of("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = unhex("cafebabefacedbaddecaf888").try_into().expect("12 bytes");
        let data: Vec<u8> = (0..512).map(|at| u8::try_from(at % 256).expect("a byte")).collect();
        assert_eq!(Tagger::new(&key).tag(nonce, &data)[..], unhex("11c337c08d2e7787e13b4c083fbabdde"));
        assert_eq!(seal(&key, nonce, &data, &[])[..], Tagger::new(&key).tag(nonce, &data)[..]);
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let key = SecretBytes::random(KEY_BYTES);
        let sealed = seal(&key, [7; 12], b"here", b"secret");
        for at in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(open(&key, [7; 12], b"here", &changed).err(), Some(NotAuthentic));
        }
        assert!(open(&key, [7; 12], b"there", &sealed).is_err());
        assert!(open(&key, [8; 12], b"here", &sealed).is_err());
        assert!(open(&key, [7; 12], b"here", &sealed[..15]).is_err());
    }

    fn key_of(hex: &str) -> SecretBytes {
        SecretBytes::take_from(unhex(hex))
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }
}
