//! The key derivation key of a native provider, and what is derived from it.

use std::fmt;

use cadenas_secret::{SecretBytes, hkdf};

use crate::{
    Fingerprint, Kek, KeyId, ProviderId, VmId, context::length_prefixed, fingerprint::fingerprint_of, kek::KEK_BYTES,
};

/// Length of a KDK in bytes.
pub const KDK_BYTES: usize = 32;

const KEK_LABEL: &[u8] = b"cadenas/kek/v1";

/// A key derivation key: 256 random bits, one version of a native provider's key.
pub struct Kdk(SecretBytes);

/// The secret has not the 32 bytes of a KDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key derivation key: it has {len} bytes instead of {KDK_BYTES}")]
pub struct NotAKdk {
    len: usize,
}

impl Kdk {
    /// A fresh random KDK.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretBytes::random(KDK_BYTES))
    }

    /// A KDK that was stored or sent; exactly [`KDK_BYTES`] long.
    pub fn from_secret(secret: SecretBytes) -> Result<Self, NotAKdk> {
        if secret.len() == KDK_BYTES { Ok(Self(secret)) } else { Err(NotAKdk { len: secret.len() }) }
    }

    /// Which key this is: 16 bytes of HKDF-SHA-256 without salt over the length-prefixed label `cadenas/fingerprint/v1`.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.0)
    }

    /// The same key once more.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.copy())
    }

    /// The bytes, for sealing and backup only.
    #[must_use]
    pub fn expose(&self) -> &SecretBytes {
        &self.0
    }

    /// The KEK of one VM: HKDF-SHA-256 over label, provider, key and VM, each with its length in front.
    pub(crate) fn kek(&self, salt: &[u8; Kek::SALT_BYTES], provider: ProviderId, key: KeyId, vm: VmId) -> Kek {
        let (provider, key, vm) = (provider.uuid(), key.uuid(), vm.uuid());
        let info = length_prefixed(&[KEK_LABEL, provider.as_bytes(), key.as_bytes(), vm.as_bytes()]);
        Kek::derived(hkdf::sha256(&self.0, salt, &info, KEK_BYTES))
    }
}

impl fmt::Debug for Kdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kdk(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kdk_has_exactly_32_bytes() {
        for len in [0, 31, 33] {
            assert_eq!(Kdk::from_secret(SecretBytes::zeroed(len)).err(), Some(NotAKdk { len }));
        }
        assert!(Kdk::from_secret(SecretBytes::zeroed(32)).is_ok());
    }

    #[test]
    fn fresh_kdks_have_different_fingerprints() {
        let kdk = Kdk::generate();
        assert_eq!(kdk.fingerprint(), kdk.fingerprint());
        assert_ne!(kdk.fingerprint(), Kdk::generate().fingerprint());
    }

    #[test]
    fn a_kek_depends_on_every_field_of_its_context() {
        let kdk = Kdk::generate();
        let (provider, key, vm) = (ProviderId::random(), KeyId::random(), VmId::random());
        let kek = kdk.kek(&[1; 32], provider, key, vm);
        assert!(kdk.kek(&[1; 32], provider, key, vm).key().equals(kek.key().expose()));
        for other in [
            kdk.kek(&[2; 32], provider, key, vm),
            kdk.kek(&[1; 32], ProviderId::random(), key, vm),
            kdk.kek(&[1; 32], provider, KeyId::random(), vm),
            kdk.kek(&[1; 32], provider, key, VmId::random()),
            Kdk::generate().kek(&[1; 32], provider, key, vm),
        ] {
            assert!(!other.key().equals(kek.key().expose()));
        }
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Kdk::generate()), "Kdk(..)");
    }
}
