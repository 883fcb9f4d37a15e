//! What a root key seals with, wherever it comes from.

use std::path::PathBuf;

use cadenas_secret::{SecretBytes, aead, random};

use super::{Seal, SealError, SealedPlace, tpm::TpmAddress};

/// AES-256-GCM under a root key in locked memory. Sealed is: nonce (12 bytes), ciphertext, tag (16 bytes).
///
/// Few secrets are ever sealed (one for each version of a key), so random nonces of 96 bits do not meet.
#[derive(Debug)]
pub struct RootKeySeal {
    key: SecretBytes,
    origin: Origin,
}

/// Where a root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// It lies in this file as it is.
    KeyFile(PathBuf),
    /// It lies in this file, sealed by a TPM.
    Tpm { path: PathBuf, address: TpmAddress },
}

impl RootKeySeal {
    /// `key` has [`aead::KEY_BYTES`].
    pub(super) fn new(key: SecretBytes, origin: Origin) -> Self {
        Self { key, origin }
    }

    /// A root key of a test's own, in no file.
    #[cfg(test)]
    pub(crate) fn generate() -> Self {
        Self::new(SecretBytes::random(aead::KEY_BYTES), Origin::KeyFile(PathBuf::new()))
    }
}

impl Seal for RootKeySeal {
    fn name(&self) -> &'static str {
        match self.origin {
            Origin::KeyFile(_) => "key-file",
            Origin::Tpm { .. } => "tpm",
        }
    }

    fn hardware_bound(&self) -> bool {
        matches!(self.origin, Origin::Tpm { .. })
    }

    fn description(&self) -> String {
        match &self.origin {
            Origin::KeyFile(path) => format!("key file {}", path.display()),
            Origin::Tpm { path, address } => format!("TPM 2.0 at {address}, which alone opens {}", path.display()),
        }
    }

    fn seal(&self, place: SealedPlace, secret: &SecretBytes) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; aead::NONCE_BYTES] = random::array();
        let mut sealed = nonce.to_vec();
        sealed.extend(aead::seal(&self.key, nonce, &place.associated_data(), secret.expose()));
        Ok(sealed)
    }

    fn unseal(&self, place: SealedPlace, sealed: &[u8]) -> Result<SecretBytes, SealError> {
        let (nonce, ciphertext) = sealed.split_first_chunk().ok_or(SealError::NotAuthentic)?;
        aead::open(&self.key, *nonce, &place.associated_data(), ciphertext).map_err(|_| SealError::NotAuthentic)
    }
}

#[cfg(test)]
mod tests {
    use cadenas_keys::{KeyId, ProviderId};

    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let seal =
            |key: u8| RootKeySeal::new(SecretBytes::take_from(vec![key; 32]), Origin::KeyFile("root.key".into()));
        let place = key_place();
        let sealed = seal(1).seal(place, &SecretBytes::take_from(b"kdk".to_vec())).expect("a root key always seals");
        let again = seal(1);
        assert!(again.unseal(place, &sealed).expect("same place").equals(b"kdk"));
        assert!(again.unseal(key_place(), &sealed).is_err());
        assert!(again.unseal(SealedPlace::Proof, &sealed).is_err());
        assert!(seal(2).unseal(place, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(again.unseal(place, &changed).is_err(), "byte {at}");
            assert!(again.unseal(place, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    fn key_place() -> SealedPlace {
        SealedPlace::Key { provider: ProviderId::random(), key: KeyId::random() }
    }
}
