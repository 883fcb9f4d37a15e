//! The key safe: the wrapped DEKs of one VM.

use std::{collections::BTreeSet, fmt};

use cadenas_secret::aead;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    Dek, Fingerprint, Kek, KeyId, KmsKeyId, ObjectName, ProviderId, ProviderKey, VmId,
    context::length_prefixed,
    encoding::{base64url_array, present},
};

const WRAPPED_BYTES: usize = Dek::BYTES + aead::TAG_BYTES;
const DERIVED_LABEL: &[u8] = b"cadenas/dek/v1";
const KEY_SERVER_LABEL: &[u8] = b"cadenas/dek/kms/v1";

/// How a DEK is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM (JOSE, RFC 7518, section 4.7).
    #[serde(rename = "A256GCMKW")]
    A256GcmKw,
}

/// Where the KEK of a wrapped DEK comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is derived from a native provider's KDK.
    Derived {
        /// The salt of the derivation.
        salt: [u8; Kek::SALT_BYTES],
    },
    /// A standard provider's key server keeps it.
    KeyServer {
        /// Under this name.
        kms_key: KmsKeyId,
    },
}

/// One wrapped DEK, with the ID of the key that unwraps it. In JSON the byte fields are base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct KeySafeEntry {
    /// Whose DEK this is.
    pub object: ObjectName,
    /// The provider of the key.
    pub provider: ProviderId,
    /// The version of a native provider's key, or a standard provider's key of this VM.
    pub key: KeyId,
    /// Where the KEK comes from.
    pub origin: Origin,
    /// The fingerprint of the key, so that a different key under the same ID is told from damage.
    pub fingerprint: Fingerprint,
    /// How the DEK is wrapped.
    pub algorithm: Algorithm,
    /// The nonce of the wrap.
    pub nonce: [u8; aead::NONCE_BYTES],
    /// The DEK's ciphertext followed by its tag.
    pub wrapped: [u8; WRAPPED_BYTES],
}

/// An entry as it is written: with a salt, or with the key server's name of the key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    object: ObjectName,
    provider: ProviderId,
    key: KeyId,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    kms_key: Option<KmsKeyId>,
    fingerprint: Fingerprint,
    algorithm: Algorithm,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    salt: Option<Salt>,
    #[serde(with = "base64url_array")]
    nonce: [u8; aead::NONCE_BYTES],
    #[serde(with = "base64url_array")]
    wrapped: [u8; WRAPPED_BYTES],
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Salt(#[serde(with = "base64url_array")] [u8; Kek::SALT_BYTES]);

/// The entry names no place where its KEK comes from, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of a key safe has either a salt or a kms_key")]
struct NoOneOrigin;

impl TryFrom<Written> for KeySafeEntry {
    type Error = NoOneOrigin;

    fn try_from(written: Written) -> Result<Self, NoOneOrigin> {
        let Written { object, provider, key, kms_key, fingerprint, algorithm, salt, nonce, wrapped } = written;
        let origin = match (salt, kms_key) {
            (Some(Salt(salt)), None) => Origin::Derived { salt },
            (None, Some(kms_key)) => Origin::KeyServer { kms_key },
            _ => return Err(NoOneOrigin),
        };
        Ok(Self { object, provider, key, origin, fingerprint, algorithm, nonce, wrapped })
    }
}

impl From<KeySafeEntry> for Written {
    fn from(entry: KeySafeEntry) -> Self {
        let KeySafeEntry { object, provider, key, origin, fingerprint, algorithm, nonce, wrapped } = entry;
        let (salt, kms_key) = match origin {
            Origin::Derived { salt } => (Some(Salt(salt)), None),
            Origin::KeyServer { kms_key } => (None, Some(kms_key)),
        };
        Self { object, provider, key, kms_key, fingerprint, algorithm, salt, nonce, wrapped }
    }
}

/// What a wrap is bound to, besides the key itself.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
    pub(crate) vm: VmId,
    pub(crate) object: &'a ObjectName,
}

impl KeySafeEntry {
    /// Wraps `dek` for `place`. Salt (of which a key server's KEK makes no use) and nonce must be fresh.
    pub(crate) fn wrap(
        secret: &ProviderKey,
        fingerprint: Fingerprint,
        place: Place<'_>,
        dek: &Dek,
        salt: [u8; Kek::SALT_BYTES],
        nonce: [u8; aead::NONCE_BYTES],
    ) -> Self {
        let origin = secret.origin(salt);
        let associated = place.associated(&origin);
        let seal = |kek: &Kek| aead::seal(kek.key(), nonce, &associated, dek.bytes().expose());
        let wrapped = secret.with_kek(&origin, place, seal).expect("the origin is the key's own");
        Self {
            object: place.object.clone(),
            provider: place.provider,
            key: place.key,
            origin,
            fingerprint,
            algorithm: Algorithm::A256GcmKw,
            nonce,
            wrapped: wrapped.try_into().expect("a DEK and a tag have a fixed length"),
        }
    }

    /// Unwraps the DEK, if `secret` and `vm` are those it was wrapped for and no field was changed since.
    pub(crate) fn unwrap_with(&self, secret: &ProviderKey, vm: VmId) -> Result<Dek, aead::NotAuthentic> {
        let place = Place { provider: self.provider, key: self.key, vm, object: &self.object };
        let associated = place.associated(&self.origin);
        let open = |kek: &Kek| aead::open(kek.key(), self.nonce, &associated, &self.wrapped);
        secret.with_kek(&self.origin, place, open).unwrap_or(Err(aead::NotAuthentic)).map(Dek::from_unwrapped)
    }

    /// The key that the entry needs.
    #[must_use]
    pub fn needs(&self) -> NeededKey {
        let kms_key = match &self.origin {
            Origin::Derived { .. } => None,
            Origin::KeyServer { kms_key } => Some(kms_key.clone()),
        };
        NeededKey { provider: self.provider, key: self.key, kms_key }
    }
}

impl Place<'_> {
    /// The associated data of the wrap.
    pub(crate) fn associated(&self, origin: &Origin) -> Vec<u8> {
        let (provider, key, vm) = (self.provider.uuid(), self.key.uuid(), self.vm.uuid());
        let (provider, key, vm) = (provider.as_bytes(), key.as_bytes(), vm.as_bytes());
        let object = self.object.as_str().as_bytes();
        match origin {
            Origin::Derived { .. } => length_prefixed(&[DERIVED_LABEL, provider, key, vm, object]),
            Origin::KeyServer { kms_key } => {
                length_prefixed(&[KEY_SERVER_LABEL, provider, key, kms_key.as_str().as_bytes(), vm, object])
            }
        }
    }
}

/// A key that a VM needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeededKey {
    /// The provider.
    pub provider: ProviderId,
    /// The key's ID.
    pub key: KeyId,
    /// How its key server names it, if one keeps it.
    pub kms_key: Option<KmsKeyId>,
}

impl fmt::Display for NeededKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} of provider {}", self.key, self.provider)?;
        self.kms_key.iter().try_for_each(|kms_key| write!(f, " ({kms_key} on its key server)"))
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

    /// Whether a key server keeps the KEK of any entry.
    #[must_use]
    pub fn needs_key_server(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry.origin, Origin::KeyServer { .. }))
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
            origin in any_origin(),
            nonce: [u8; 12],
            wrapped in any::<([u8; 32], [u8; 16])>(),
        ) -> KeySafeEntry {
            KeySafeEntry {
                object: ObjectName::disk(&target).expect("a target"),
                provider: uuid::Uuid::from_bytes(ids[0]).into(),
                key: uuid::Uuid::from_bytes(ids[1]).into(),
                fingerprint: Fingerprint::from_bytes(ids[2]),
                algorithm: Algorithm::A256GcmKw,
                origin,
                nonce,
                wrapped: [wrapped.0.as_slice(), &wrapped.1].concat().try_into().expect("48 bytes"),
            }
        }
    }

    fn any_origin() -> impl Strategy<Value = Origin> {
        let derived = any::<[u8; 32]>().prop_map(|salt| Origin::Derived { salt });
        let kms_key =
            "[^\\p{Cc}]{1,60}".prop_map(|text| Origin::KeyServer { kms_key: text.parse().expect("short text") });
        prop_oneof![derived, kms_key]
    }

    fn entry(object: &str) -> KeySafeEntry {
        KeySafeEntry {
            object: object.parse().expect("an object"),
            provider: ProviderId::random(),
            key: KeyId::random(),
            fingerprint: crate::Kdk::generate().fingerprint(),
            algorithm: Algorithm::A256GcmKw,
            origin: Origin::Derived { salt: [1; 32] },
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
        for more in [r#""kms_key":null,"#, r#""kms_key":"7","#] {
            let both = json.replacen(r#""fingerprint""#, &format!(r#"{more}"fingerprint""#), 1);
            assert!(serde_json::from_str::<KeySafeEntry>(&both).is_err(), "{more}");
        }
        let twice = json.replacen('{', r#"{"object":"disk:vda","#, 1);
        assert!(serde_json::from_str::<KeySafeEntry>(&twice).is_err(), "a field given twice");
    }
}
