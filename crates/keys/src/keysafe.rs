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
    pub(crate) fn associated(&self) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_entry()(
            target in "[A-Za-z0-9:_.-]{1,59}",
            ids in any::<[[u8; 16]; 3]>(),
            salt: [u8; 32],
            nonce: [u8; 12],
            wrapped in any::<([u8; 32], [u8; 16])>(),
        ) -> KeySafeEntry {
            KeySafeEntry {
                object: ObjectName::disk(&target).expect("a target"),
                provider: uuid::Uuid::from_bytes(ids[0]).into(),
                key: uuid::Uuid::from_bytes(ids[1]).into(),
                fingerprint: Fingerprint::from_bytes(ids[2]),
                algorithm: Algorithm::A256GcmKw,
                salt,
                nonce,
                wrapped: [wrapped.0.as_slice(), &wrapped.1].concat().try_into().expect("48 bytes"),
            }
        }
    }

    fn entry(object: &str) -> KeySafeEntry {
        KeySafeEntry {
            object: object.parse().expect("an object"),
            provider: ProviderId::random(),
            key: KeyId::random(),
            fingerprint: Kdk::generate().fingerprint(),
            algorithm: Algorithm::A256GcmKw,
            salt: [1; 32],
            nonce: [2; 12],
            wrapped: [3; 48],
        }
    }

    proptest! {
        #[test]
        fn json_of_a_key_safe_reads_back_as_the_same(entries in proptest::collection::vec(any_entry(), 0..6)) {
            if let Ok(safe) = KeySafe::new(entries) {
                let json = serde_json::to_string(&safe).expect("JSON");
                let read: KeySafe = serde_json::from_str(&json).expect("own JSON");
                prop_assert_eq!(&read, &safe);
                prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), json);
            }
        }

        #[test]
        fn json_with_any_byte_changed_is_refused_or_differs_or_is_the_same_value(
            one in any_entry(), at: prop::sample::Index, to in 0x20u8..0x7f
        ) {
            let mut json = serde_json::to_vec(&one).expect("JSON");
            let at = at.index(json.len());
            let same = json[at] == to;
            json[at] = to;
            if let Ok(read) = serde_json::from_slice::<KeySafeEntry>(&json) {
                prop_assert_eq!(same, read == one, "two spellings of one entry");
            }
        }
    }

    #[test]
    fn entries_are_sorted_and_found_by_object() {
        let safe = KeySafe::new(vec![entry("disk:vdb"), entry("configuration"), entry("disk:vda")]).expect("unique");
        let names: Vec<_> = safe.entries().iter().map(|entry| entry.object.as_str()).collect();
        assert_eq!(names, ["configuration", "disk:vda", "disk:vdb"]);
        let vdb = ObjectName::disk("vdb").expect("a target");
        assert_eq!(safe.entry(&vdb).map(|entry| &entry.object), Some(&vdb));
        assert!(safe.entry(&ObjectName::disk("vdc").expect("a target")).is_none());
        assert_eq!(safe.keys_used().len(), 3);
    }

    #[test]
    fn two_entries_for_one_object_are_refused() {
        let error = KeySafe::new(vec![entry("disk:vda"), entry("disk:vda")]).expect_err("twice");
        assert_eq!(error.object.as_str(), "disk:vda");
    }

    #[test]
    fn json_out_of_order_or_with_an_object_twice_is_refused() {
        for (first, second) in [("disk:vdb", "disk:vda"), ("disk:vda", "disk:vda")] {
            let json = serde_json::to_string(&[entry(first), entry(second)]).expect("JSON");
            let error = serde_json::from_str::<KeySafe>(&json).expect_err("not canonical");
            assert!(error.to_string().contains(second), "{error}");
        }
    }

    #[test]
    fn an_entry_with_a_changed_shape_is_refused() {
        let json = serde_json::to_string(&entry("disk:vda")).expect("JSON");
        for (from, to) in [
            ("{", r#"{"more":1,"#),
            (r#""algorithm":"A256GCMKW","#, ""),
            ("A256GCMKW", "A128GCMKW"),
            ("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF"),
            ("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
            ("AgICAgICAgICAgIC", "AgICAgICAgICAgI"),
            ("AgICAgICAgICAgIC", "AgICAgICAgICAgICAg"),
            ("disk:vda", "disk:"),
        ] {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json, "{from} is not there");
            assert!(serde_json::from_str::<KeySafeEntry>(&changed).is_err(), "{from} -> {to}");
        }
        let twice = json.replacen('{', r#"{"object":"disk:vda","#, 1);
        assert!(serde_json::from_str::<KeySafeEntry>(&twice).is_err(), "a field given twice");
    }
}
