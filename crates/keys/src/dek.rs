//! Data encryption keys: one per object of a VM.

use std::fmt;

use cadenas_secret::{SecretBytes, aead, random};
use serde::{Deserialize, Serialize};

pub use cadenas_secret::aead::NotAuthentic;

use crate::encoding::{base64url_array, base64url_bytes};

/// A data encryption key: 256 random bits. A disk's DEK is its LUKS passphrase; the configuration's seals the configuration.
pub struct Dek(SecretBytes);

impl Dek {
    pub(crate) const BYTES: usize = 32;

    /// A fresh random DEK.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretBytes::random(Self::BYTES))
    }

    /// The LUKS passphrase of the disk: the DEK as 64 hex digits in lower case, without a newline.
    ///
    /// QEMU takes only UTF-8 passphrases (`qcrypto_block_luks_open`), so the raw bytes would not do.
    #[must_use]
    pub fn luks_passphrase(&self) -> SecretBytes {
        SecretBytes::new_with(2 * Self::BYTES, |out| {
            hex::encode_to_slice(self.0.expose(), out).expect("two digits a byte");
        })
    }

    /// Encrypts `plain` with AES-256-GCM under this DEK and a fresh nonce; only the same `associated` data opens it.
    #[must_use]
    pub fn seal(&self, associated: &[u8], plain: &[u8]) -> Sealed {
        let nonce = random::array();
        Sealed { nonce, ciphertext: aead::seal(&self.0, nonce, associated, plain) }
    }

    /// Decrypts what [`Self::seal`] made with the same DEK and associated data.
    pub fn open(&self, associated: &[u8], sealed: &Sealed) -> Result<SecretBytes, NotAuthentic> {
        aead::open(&self.0, sealed.nonce, associated, &sealed.ciphertext)
    }

    /// `secret` is [`Self::BYTES`] long: it was authenticated as a wrapped DEK.
    pub(crate) fn from_unwrapped(secret: SecretBytes) -> Self {
        assert_eq!(secret.len(), Self::BYTES, "the length is fixed by the wrapped form");
        Self(secret)
    }

    pub(crate) fn bytes(&self) -> &SecretBytes {
        &self.0
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dek(..)")
    }
}

/// What [`Dek::seal`] makes. In JSON both fields are base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The nonce of this sealing.
    #[serde(with = "base64url_array")]
    pub nonce: [u8; aead::NONCE_BYTES],
    /// Ciphertext followed by its 16-byte tag.
    #[serde(with = "base64url_bytes")]
    pub ciphertext: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_luks_passphrase_is_64_lower_case_hex_digits() {
        let dek = Dek::from_unwrapped(SecretBytes::new_with(32, |out| out.fill(0xab)));
        assert!(dek.luks_passphrase().equals("ab".repeat(32).as_bytes()));
    }

    #[test]
    fn what_one_dek_seals_only_it_opens_with_the_same_associated_data() {
        let dek = Dek::generate();
        let sealed = dek.seal(b"header", b"<domain/>");
        assert!(dek.open(b"header", &sealed).expect("authentic").equals(b"<domain/>"));
        assert_eq!(dek.open(b"other header", &sealed).err(), Some(NotAuthentic));
        assert_eq!(Dek::generate().open(b"header", &sealed).err(), Some(NotAuthentic));
        let cut = Sealed { ciphertext: sealed.ciphertext[..10].to_vec(), ..sealed };
        assert_eq!(dek.open(b"header", &cut).err(), Some(NotAuthentic));
    }

    #[test]
    fn the_same_text_sealed_twice_differs() {
        let dek = Dek::generate();
        assert_ne!(dek.seal(b"", b"same"), dek.seal(b"", b"same"));
    }

    #[test]
    fn sealed_json_is_strict() {
        let sealed = Dek::generate().seal(b"", b"x");
        let json = serde_json::to_string(&sealed).expect("JSON");
        assert_eq!(serde_json::from_str::<Sealed>(&json).expect("own JSON"), sealed);
        assert!(serde_json::from_str::<Sealed>(&json.replacen('{', r#"{"more":1,"#, 1)).is_err());
    }
}
