//! The root seal: what keys are sealed with while they lie in the store.
//!
//! A root key seals, whose file lies beside the store: as it is (`root.key`), or sealed by a TPM 2.0 (`root.tpm`). Which of
//! the two a store was made with is written in the store, with a proof: a known text, sealed. So a wrong root key is
//! found out before any key is needed.

mod key_file;
mod root;
mod root_key;
mod root_tpm;
mod tpm;

use cadenas_keys::{KeyId, ProviderId};
use cadenas_secret::SecretBytes;

pub use key_file::KeyFileError;
pub(crate) use root::open_root;
pub use root::{RootSealError, SealChoice};
pub use root_key::RootKeySeal;
pub use root_tpm::RootTpmError;
pub use tpm::{BadTpmAddress, TpmAddress, TpmError};

/// Seals secrets for the store. Calls may take as long as a TPM takes; they are made off the async threads.
pub trait Seal: Send + Sync {
    /// Its name in the store: `key-file` or `tpm`. Never changes.
    fn name(&self) -> &'static str;

    /// Whether what it seals opens only on this machine's hardware, as a TPM 2.0 sees to.
    fn hardware_bound(&self) -> bool;

    /// What it is and where, for people.
    fn description(&self) -> String;

    /// Seals `secret` for `place`: it opens nowhere else.
    fn seal(&self, place: SealedPlace, secret: &SecretBytes) -> Result<Vec<u8>, SealError>;

    /// Opens what [`Self::seal`] made for the same place.
    fn unseal(&self, place: SealedPlace, sealed: &[u8]) -> Result<SecretBytes, SealError>;
}

/// What a sealed secret is; bound to it, so that no sealed secret can be put in another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedPlace {
    /// The text that proves the seal to be the right one.
    Proof,
    /// A version of a provider's key.
    Key {
        /// The provider.
        provider: ProviderId,
        /// The version.
        key: KeyId,
    },
    /// The private key that a standard provider's key servers know us by.
    KmsIdentity {
        /// The provider.
        provider: ProviderId,
    },
    /// A private key that waits for its certificate.
    KmsRequest {
        /// The provider.
        provider: ProviderId,
    },
    /// The password of a standard provider's user.
    KmsPassword {
        /// The provider.
        provider: ProviderId,
    },
}

impl SealedPlace {
    /// The associated data: a label, and provider ID and key ID as 16 bytes each where the place has them, every part with its
    /// length (32 bits, big endian) in front.
    #[must_use]
    pub fn associated_data(self) -> Vec<u8> {
        match self {
            Self::Proof => length_prefixed(&[b"cadenas/root-seal/proof/v1"]),
            Self::Key { provider, key } => {
                let (provider, key) = (provider.uuid(), key.uuid());
                length_prefixed(&[b"cadenas/root-seal/key/v1", provider.as_bytes(), key.as_bytes()])
            }
            Self::KmsIdentity { provider } => of_provider(b"cadenas/root-seal/kms-identity/v1", provider),
            Self::KmsRequest { provider } => of_provider(b"cadenas/root-seal/kms-request/v1", provider),
            Self::KmsPassword { provider } => of_provider(b"cadenas/root-seal/kms-password/v1", provider),
        }
    }
}

/// A seal did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Sealed by another root key, for another place, or changed since.
    #[error(
        "the sealed secret does not open: it was sealed by another root key, or changed; put back a copy of the data folder"
    )]
    NotAuthentic,
}

fn of_provider(label: &[u8], provider: ProviderId) -> Vec<u8> {
    length_prefixed(&[label, provider.uuid().as_bytes()])
}

fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let len = u32::try_from(part.len()).expect("labels and IDs are short");
        joined.extend_from_slice(&len.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_associated_data_of_its_own() {
        let (provider, key) = (ProviderId::random(), KeyId::random());
        let places = [
            SealedPlace::Proof,
            SealedPlace::Key { provider, key },
            SealedPlace::Key { provider: ProviderId::random(), key },
            SealedPlace::Key { provider, key: KeyId::random() },
            SealedPlace::Key { provider: provider_of(key), key: key_of(provider) },
            SealedPlace::KmsIdentity { provider },
            SealedPlace::KmsRequest { provider },
            SealedPlace::KmsPassword { provider },
            SealedPlace::KmsPassword { provider: ProviderId::random() },
        ];
        for (at, place) in places.iter().enumerate() {
            for other in &places[at + 1..] {
                assert_ne!(place.associated_data(), other.associated_data());
            }
        }
    }

    #[test]
    fn associated_data_is_as_specified() {
        let data = SealedPlace::Proof.associated_data();
        assert_eq!(data[..4], [0, 0, 0, 26]);
        assert_eq!(&data[4..], b"cadenas/root-seal/proof/v1");
    }

    fn provider_of(key: KeyId) -> ProviderId {
        key.uuid().into()
    }

    fn key_of(provider: ProviderId) -> KeyId {
        provider.uuid().into()
    }
}
