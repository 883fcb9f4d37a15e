//! The key safe: the wrapped DEKs of one VM.

use std::collections::BTreeSet;

use cadenas_secret::aead;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    Dek, Fingerprint, KeyId, ObjectName, ProviderId, VmId,
    context::length_prefixed,
    encoding::base64url_array,
    kdk::{Kdk, Kek},
};

const WRAPPED_BYTES: usize = Dek::BYTES + aead::TAG_BYTES;
const DEK_LABEL: &[u8] = b"cadenas/dek/v1";

/// How a DEK is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM (JOSE, RFC 7518, section 4.7).
    #[serde(rename = "A256GCMKW")]
    A256GcmKw,
}

/// One wrapped DEK, with the ID of the key that unwraps it. In JSON the byte fields are base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySafeEntry {
    /// Whose DEK this is.
    pub object: ObjectName,
    /// The provider of the key.
    pub provider: ProviderId,
    /// The version of the provider's key.
    pub key: KeyId,
    /// The fingerprint of that key, so that a different key under the same ID is told from damage.
    pub fingerprint: Fingerprint,
    /// How the DEK is wrapped.
    pub algorithm: Algorithm,
    /// The salt of the KEK's derivation.
    #[serde(with = "base64url_array")]
    pub salt: [u8; Kek::SALT_BYTES],
    /// The nonce of the wrap.
    #[serde(with = "base64url_array")]
    pub nonce: [u8; aead::NONCE_BYTES],
    /// The DEK's ciphertext followed by its tag.
    #[serde(with = "base64url_array")]
    pub wrapped: [u8; WRAPPED_BYTES],
}

/// What a wrap is bound to, besides the KDK itself.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
    pub(crate) vm: VmId,
    pub(crate) object: &'a ObjectName,
}

impl KeySafeEntry {
    /// Wraps `dek` for `place`. Salt and nonce must be fresh.
    pub(crate) fn wrap(
        kdk: &Kdk,
        fingerprint: Fingerprint,
        place: Place<'_>,
        dek: &Dek,
        salt: [u8; Kek::SALT_BYTES],
        nonce: [u8; aead::NONCE_BYTES],
    ) -> Self {
        let kek = kdk.kek(&salt, place.provider, place.key, place.vm);
        let wrapped = aead::seal(kek.key(), nonce, &place.associated(), dek.bytes().expose());
        Self {
            object: place.object.clone(),
            provider: place.provider,
            key: place.key,
            fingerprint,
            algorithm: Algorithm::A256GcmKw,
            salt,
            nonce,
            wrapped: wrapped.try_into().expect("a DEK and a tag have a fixed length"),
        }
    }

    /// Unwraps the DEK, if `kdk` and `vm` are those it was wrapped for and no field was changed since.
    pub(crate) fn unwrap_with(&self, kdk: &Kdk, vm: VmId) -> Result<Dek, aead::NotAuthentic> {
        let place = Place { provider: self.provider, key: self.key, vm, object: &self.object };
        let kek = kdk.kek(&self.salt, place.provider, place.key, place.vm);
        aead::open(kek.key(), self.nonce, &place.associated(), &self.wrapped).map(Dek::from_unwrapped)
    }
}

impl Place<'_> {
    /// The associated data of the wrap.
    fn associated(&self) -> Vec<u8> {
        let (provider, key, vm) = (self.provider.uuid(), self.key.uuid(), self.vm.uuid());
        length_prefixed(&[
            DEK_LABEL,
            provider.as_bytes(),
            key.as_bytes(),
            vm.as_bytes(),
            self.object.as_str().as_bytes(),
        ])
    }
}

/// The wrapped DEKs of one VM: one entry per object, sorted by object name. In JSON a list of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct KeySafe(Vec<KeySafeEntry>);

/// Two entries of a key safe are for one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key safe has two entries for {object}; each object has one")]
pub struct DuplicateObject {
    /// The object.
    pub object: ObjectName,
}

impl KeySafe {
    /// A key safe of these entries, in any order.
    pub fn new(mut entries: Vec<KeySafeEntry>) -> Result<Self, DuplicateObject> {
        entries.sort_by(|one, other| one.object.cmp(&other.object));
        match entries.windows(2).find(|pair| pair[0].object == pair[1].object) {
            Some(pair) => Err(DuplicateObject { object: pair[0].object.clone() }),
            None => Ok(Self(entries)),
        }
    }

    /// The entries, sorted by object.
    #[must_use]
    pub fn entries(&self) -> &[KeySafeEntry] {
        &self.0
    }

    /// The entry of one object.
    #[must_use]
    pub fn entry(&self, object: &ObjectName) -> Option<&KeySafeEntry> {
        self.0.binary_search_by(|entry| entry.object.cmp(object)).ok().map(|at| &self.0[at])
    }

    /// Every key that is needed to open all entries.
    #[must_use]
    pub fn keys_used(&self) -> BTreeSet<(ProviderId, KeyId)> {
        self.0.iter().map(|entry| (entry.provider, entry.key)).collect()
    }
}

impl<'de> Deserialize<'de> for KeySafe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<KeySafeEntry>::deserialize(deserializer)?;
        match entries.windows(2).find(|pair| pair[0].object >= pair[1].object) {
            Some(pair) => Err(D::Error::custom(format_args!(
                "the key safe's entries are not sorted by object, each object once: {} is out of place",
                pair[1].object
            ))),
            None => Ok(Self(entries)),
        }
    }
}
