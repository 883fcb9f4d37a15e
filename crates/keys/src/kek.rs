//! Key encryption keys: what wraps DEKs.

use std::fmt;

use cadenas_secret::{SecretBytes, aead};

use crate::{Fingerprint, fingerprint::fingerprint_of};

/// Length of a KEK in bytes.
pub const KEK_BYTES: usize = aead::KEY_BYTES;

/// A key encryption key of one VM: an AES-256 key.
///
/// A native provider's is derived for one wrap or unwrap and never leaves this crate. A standard provider's comes from its key
/// server.
pub struct Kek(SecretBytes);

/// The secret has not the 32 bytes of a KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key encryption key: it has {len} bytes instead of {KEK_BYTES}")]
pub struct NotAKek {
    len: usize,
}

impl Kek {
    pub(crate) const SALT_BYTES: usize = 32;

    /// A KEK that a key server gave; exactly [`KEK_BYTES`] long.
    pub fn from_secret(secret: SecretBytes) -> Result<Self, NotAKek> {
        if secret.len() == KEK_BYTES { Ok(Self(secret)) } else { Err(NotAKek { len: secret.len() }) }
    }

    /// A KEK that was derived, so that its length is right.
    pub(crate) fn derived(secret: SecretBytes) -> Self {
        Self(secret)
    }

    /// Which key this is, as [`crate::Kdk::fingerprint`] tells it of a KDK.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.0)
    }

    /// The same key once more.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.copy())
    }

    pub(crate) fn key(&self) -> &SecretBytes {
        &self.0
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kek_has_exactly_32_bytes() {
        for len in [0, 16, 31, 33] {
            assert_eq!(Kek::from_secret(SecretBytes::zeroed(len)).err(), Some(NotAKek { len }));
        }
        assert!(Kek::from_secret(SecretBytes::zeroed(32)).is_ok());
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Kek::derived(SecretBytes::random(32))), "Kek(..)");
    }
}
