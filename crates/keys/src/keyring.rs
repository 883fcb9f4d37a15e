//! The one owner of KDKs and KEKs in a process.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use cadenas_secret::{aead, random};

use crate::{Dek, Fingerprint, KeyId, KeySafeEntry, ObjectName, ProviderId, ProviderKey, VmId, keysafe::Place};

/// Holds providers' keys and works with them. Whoever shares it asks for an operation; the keys never come out.
#[derive(Default)]
pub struct KeyRing {
    keys: RwLock<BTreeMap<(ProviderId, KeyId), Held>>,
}

struct Held {
    secret: ProviderKey,
    fingerprint: Fingerprint,
}

/// What [`KeyRing::insert`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The ring held this very key already.
    AlreadySo,
    /// The ring holds it now.
    Added,
}

/// What [`KeyRing::remove`] and [`KeyRing::remove_provider`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The ring held no such key.
    AlreadySo,
    /// The ring holds it no more.
    Removed,
}

/// The ring holds another key under the ID of the one that was to be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "key {key} of provider {provider} is a different key here: its fingerprint is {held}, the offered one's is {offered}; \
     restore it from a backup of this provider"
)]
pub struct DifferentKey {
    /// The provider.
    pub provider: ProviderId,
    /// The key's ID.
    pub key: KeyId,
    /// The fingerprint of the key that stays.
    pub held: Fingerprint,
    /// The fingerprint of the key that was refused.
    pub offered: Fingerprint,
}

/// The ring does not hold the key that an operation needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} of provider {provider} is missing; restore the provider from its backup, or see to its key server")]
pub struct KeyMissing {
    /// The provider.
    pub provider: ProviderId,
    /// The key's ID.
    pub key: KeyId,
}

/// Why a key safe entry does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// The ring does not hold the key.
    #[error(
        "key {key} of provider {provider} is missing; restore the provider from its backup, or see to its key server"
    )]
    KeyMissing {
        /// The provider.
        provider: ProviderId,
        /// The key's ID.
        key: KeyId,
    },
    /// The ring holds a different key under the same ID.
    #[error(
        "key {key} of provider {provider} is not the key that wrapped {object}: its fingerprint is {held}, {expected} is \
         needed; restore the right provider from its backup"
    )]
    WrongKey {
        /// The provider.
        provider: ProviderId,
        /// The key's ID.
        key: KeyId,
        /// The object of the entry.
        object: ObjectName,
        /// The fingerprint that the entry names.
        expected: Fingerprint,
        /// The fingerprint of the key that the ring holds.
        held: Fingerprint,
    },
    /// The entry was changed, or belongs to another VM or object.
    #[error(
        "the key safe entry of {object} was changed or belongs to another VM; take it from a copy of this VM's home"
    )]
    NotAuthentic {
        /// The object of the entry.
        object: ObjectName,
    },
}

impl From<KeyMissing> for UnwrapError {
    fn from(missing: KeyMissing) -> Self {
        Self::KeyMissing { provider: missing.provider, key: missing.key }
    }
}

impl KeyRing {
    /// A ring without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. A different key under a known ID is refused, and the ring keeps what it has.
    pub fn insert(
        &self,
        provider: ProviderId,
        key: KeyId,
        secret: impl Into<ProviderKey>,
    ) -> Result<Inserted, DifferentKey> {
        let secret = secret.into();
        let offered = secret.fingerprint();
        match self.write().entry((provider, key)) {
            Entry::Vacant(place) => {
                place.insert(Held { secret, fingerprint: offered });
                Ok(Inserted::Added)
            }
            Entry::Occupied(held) if held.get().secret.equals(&secret) => Ok(Inserted::AlreadySo),
            Entry::Occupied(held) => Err(DifferentKey { provider, key, held: held.get().fingerprint, offered }),
        }
    }

    /// Forgets and wipes one key.
    pub fn remove(&self, provider: ProviderId, key: KeyId) -> Removed {
        match self.write().remove(&(provider, key)) {
            Some(_) => Removed::Removed,
            None => Removed::AlreadySo,
        }
    }

    /// Forgets and wipes every key of a provider.
    pub fn remove_provider(&self, provider: ProviderId) -> Removed {
        let mut keys = self.write();
        let before = keys.len();
        keys.retain(|(of, _), _| *of != provider);
        if keys.len() < before { Removed::Removed } else { Removed::AlreadySo }
    }

    /// Whether the ring holds this key.
    #[must_use]
    pub fn has(&self, provider: ProviderId, key: KeyId) -> bool {
        self.read().contains_key(&(provider, key))
    }

    /// The fingerprint of a key that the ring holds.
    #[must_use]
    pub fn fingerprint(&self, provider: ProviderId, key: KeyId) -> Option<Fingerprint> {
        self.read().get(&(provider, key)).map(|held| held.fingerprint)
    }

    /// The IDs of every key that the ring holds, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<(ProviderId, KeyId)> {
        self.read().keys().copied().collect()
    }

    /// Wraps `dek` for one object of one VM, with fresh salt and nonce.
    pub fn wrap(
        &self,
        provider: ProviderId,
        key: KeyId,
        vm: VmId,
        object: &ObjectName,
        dek: &Dek,
    ) -> Result<KeySafeEntry, KeyMissing> {
        self.wrap_with(Place { provider, key, vm, object }, dek, random::array(), random::array())
    }

    /// Unwraps the DEK of an entry of `vm`'s key safe.
    pub fn unwrap(&self, vm: VmId, entry: &KeySafeEntry) -> Result<Dek, UnwrapError> {
        let keys = self.read();
        let held = held(&keys, entry.provider, entry.key)?;
        if held.fingerprint != entry.fingerprint {
            return Err(UnwrapError::WrongKey {
                provider: entry.provider,
                key: entry.key,
                object: entry.object.clone(),
                expected: entry.fingerprint,
                held: held.fingerprint,
            });
        }
        entry.unwrap_with(&held.secret, vm).map_err(|_| UnwrapError::NotAuthentic { object: entry.object.clone() })
    }

    /// The same DEK under another key: what a shallow recrypt does to each entry.
    pub fn rewrap(
        &self,
        vm: VmId,
        entry: &KeySafeEntry,
        provider: ProviderId,
        key: KeyId,
    ) -> Result<KeySafeEntry, UnwrapError> {
        let dek = self.unwrap(vm, entry)?;
        Ok(self.wrap(provider, key, vm, &entry.object, &dek)?)
    }

    /// [`Self::wrap`] with given salt and nonce, for known answers.
    pub(crate) fn wrap_with(
        &self,
        place: Place<'_>,
        dek: &Dek,
        salt: [u8; 32],
        nonce: [u8; aead::NONCE_BYTES],
    ) -> Result<KeySafeEntry, KeyMissing> {
        let keys = self.read();
        let held = held(&keys, place.provider, place.key)?;
        Ok(KeySafeEntry::wrap(&held.secret, held.fingerprint, place, dek, salt, nonce))
    }

    /// A panic elsewhere cannot leave the map half changed, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<(ProviderId, KeyId), Held>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<(ProviderId, KeyId), Held>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.read().len())
    }
}

fn held(keys: &BTreeMap<(ProviderId, KeyId), Held>, provider: ProviderId, key: KeyId) -> Result<&Held, KeyMissing> {
    keys.get(&(provider, key)).ok_or(KeyMissing { provider, key })
}

#[cfg(test)]
mod tests {
    use cadenas_secret::SecretBytes;

    use super::*;
    use crate::{Kdk, Kek, KmsKeyId, Origin};

    /// A ring with one key, and a DEK wrapped for `disk:vda` of `vm`.
    struct Wrapped {
        ring: KeyRing,
        provider: ProviderId,
        key: KeyId,
        vm: VmId,
        dek: Dek,
        entry: KeySafeEntry,
    }

    fn wrapped() -> Wrapped {
        let ring = KeyRing::new();
        let (provider, key, vm, dek) = (ProviderId::random(), KeyId::random(), VmId::random(), Dek::generate());
        ring.insert(provider, key, kdk(1)).expect("an empty ring");
        let entry = ring.wrap(provider, key, vm, &disk("vda"), &dek).expect("the key is there");
        Wrapped { ring, provider, key, vm, dek, entry }
    }

    fn kdk(byte: u8) -> Kdk {
        Kdk::from_secret(SecretBytes::new_with(32, |out| out.fill(byte))).expect("32 bytes")
    }

    fn disk(target: &str) -> ObjectName {
        ObjectName::disk(target).expect("a target")
    }

    fn not_authentic(target: &str) -> UnwrapError {
        UnwrapError::NotAuthentic { object: disk(target) }
    }

    #[test]
    fn what_was_wrapped_unwraps() {
        let Wrapped { ring, vm, dek, entry, .. } = wrapped();
        assert!(ring.unwrap(vm, &entry).expect("authentic").bytes().equals(dek.bytes().expose()));
    }

    #[test]
    fn every_wrap_has_fresh_salt_and_nonce() {
        let Wrapped { ring, provider, key, vm, dek, entry } = wrapped();
        let again = ring.wrap(provider, key, vm, &disk("vda"), &dek).expect("the key is there");
        assert_ne!(again.origin, entry.origin);
        assert_ne!(again.nonce, entry.nonce);
        assert_ne!(again.wrapped, entry.wrapped);
    }

    #[test]
    fn an_entry_moved_to_another_vm_does_not_open() {
        let Wrapped { ring, entry, .. } = wrapped();
        assert_eq!(ring.unwrap(VmId::random(), &entry).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn an_entry_moved_to_another_object_does_not_open() {
        let Wrapped { ring, vm, mut entry, .. } = wrapped();
        entry.object = disk("vdb");
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(not_authentic("vdb")));
    }

    #[test]
    fn an_entry_moved_to_another_provider_with_the_same_key_does_not_open() {
        let Wrapped { ring, key, vm, mut entry, .. } = wrapped();
        entry.provider = ProviderId::random();
        ring.insert(entry.provider, key, kdk(1)).expect("a new ID");
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn an_entry_moved_to_another_key_id_with_the_same_key_does_not_open() {
        let Wrapped { ring, provider, vm, mut entry, .. } = wrapped();
        entry.key = KeyId::random();
        ring.insert(provider, entry.key, kdk(1)).expect("a new ID");
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn an_entry_with_a_changed_salt_does_not_open() {
        let Wrapped { ring, vm, mut entry, .. } = wrapped();
        let Origin::Derived { salt } = &mut entry.origin else { panic!("a native provider's entry") };
        salt[31] ^= 1;
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn an_entry_with_a_changed_nonce_does_not_open() {
        let Wrapped { ring, vm, mut entry, .. } = wrapped();
        entry.nonce[0] ^= 1;
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn an_entry_with_any_bit_of_the_wrapped_dek_changed_does_not_open() {
        let Wrapped { ring, vm, entry, .. } = wrapped();
        for bit in 0..entry.wrapped.len() * 8 {
            let mut changed = entry.clone();
            changed.wrapped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.unwrap(vm, &changed).err(), Some(not_authentic("vda")));
        }
    }

    #[test]
    fn an_entry_with_a_changed_fingerprint_is_told_from_damage() {
        let Wrapped { ring, provider, key, vm, mut entry, .. } = wrapped();
        let held = entry.fingerprint;
        entry.fingerprint = kdk(2).fingerprint();
        let expected = UnwrapError::WrongKey { provider, key, object: disk("vda"), expected: entry.fingerprint, held };
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(expected));
    }

    #[test]
    fn another_key_under_the_same_id_is_refused_and_named() {
        let Wrapped { ring, provider, key, vm, entry, .. } = wrapped();
        assert_eq!(ring.insert(provider, key, kdk(1)), Ok(Inserted::AlreadySo));
        let (held, offered) = (kdk(1).fingerprint(), kdk(2).fingerprint());
        assert_eq!(ring.insert(provider, key, kdk(2)), Err(DifferentKey { provider, key, held, offered }));
        assert!(ring.unwrap(vm, &entry).is_ok(), "the ring keeps what it had");
    }

    #[test]
    fn a_missing_key_is_named() {
        let Wrapped { ring, provider, key, vm, dek, entry } = wrapped();
        assert_eq!(ring.remove(provider, key), Removed::Removed);
        assert_eq!(ring.remove(provider, key), Removed::AlreadySo);
        assert_eq!(ring.unwrap(vm, &entry).err(), Some(UnwrapError::KeyMissing { provider, key }));
        let missing = ring.wrap(provider, key, vm, &disk("vda"), &dek).expect_err("no key");
        assert!(missing.to_string().contains(&key.to_string()), "{missing}");
        assert!(missing.to_string().contains(&provider.to_string()), "{missing}");
    }

    #[test]
    fn removing_a_provider_removes_all_its_keys_and_no_others() {
        let Wrapped { ring, provider, key, .. } = wrapped();
        let (other, other_key) = (ProviderId::random(), KeyId::random());
        ring.insert(provider, KeyId::random(), kdk(2)).expect("a new ID");
        ring.insert(other, other_key, kdk(3)).expect("a new ID");
        assert_eq!(ring.remove_provider(provider), Removed::Removed);
        assert_eq!(ring.remove_provider(provider), Removed::AlreadySo);
        assert!(!ring.has(provider, key));
        assert_eq!(ring.keys(), [(other, other_key)]);
        assert_eq!(ring.fingerprint(other, other_key), Some(kdk(3).fingerprint()));
    }

    #[test]
    fn a_rewrapped_entry_opens_with_the_new_key_alone() {
        let Wrapped { ring, provider, key, vm, dek, entry } = wrapped();
        let (other, other_key) = (ProviderId::random(), KeyId::random());
        ring.insert(other, other_key, kdk(2)).expect("a new ID");
        let rewrapped = ring.rewrap(vm, &entry, other, other_key).expect("both keys are there");
        ring.remove(provider, key);
        assert!(ring.unwrap(vm, &rewrapped).expect("authentic").bytes().equals(dek.bytes().expose()));
        let missing = ring.rewrap(vm, &rewrapped, provider, key).expect_err("the old key is gone");
        assert_eq!(missing, UnwrapError::KeyMissing { provider, key });
    }

    /// A ring with a KEK of a key server that wraps for `disk:vda` of `vm`.
    fn wrapped_by_a_key_server() -> Wrapped {
        let ring = KeyRing::new();
        let (provider, key, vm, dek) = (ProviderId::random(), KeyId::random(), VmId::random(), Dek::generate());
        ring.insert(provider, key, kek(1, "7")).expect("an empty ring");
        let entry = ring.wrap(provider, key, vm, &disk("vda"), &dek).expect("the key is there");
        Wrapped { ring, provider, key, vm, dek, entry }
    }

    fn kek(byte: u8, name: &str) -> ProviderKey {
        let kek = Kek::from_secret(SecretBytes::new_with(32, |out| out.fill(byte))).expect("32 bytes");
        ProviderKey::Kek { kek, kms_key: kms_key(name) }
    }

    fn kms_key(name: &str) -> KmsKeyId {
        name.parse().expect("a name")
    }

    #[test]
    fn what_a_key_servers_kek_wrapped_unwraps_and_names_it() {
        let Wrapped { ring, vm, dek, entry, .. } = wrapped_by_a_key_server();
        assert_eq!(entry.origin, Origin::KeyServer { kms_key: kms_key("7") });
        assert!(ring.unwrap(vm, &entry).expect("authentic").bytes().equals(dek.bytes().expose()));
    }

    #[test]
    fn an_entry_of_a_key_server_opens_only_where_it_was_wrapped_for() {
        let Wrapped { ring, key, vm, entry, .. } = wrapped_by_a_key_server();
        assert_eq!(ring.unwrap(VmId::random(), &entry).err(), Some(not_authentic("vda")));
        let moved = KeySafeEntry { object: disk("vdb"), ..entry.clone() };
        assert_eq!(ring.unwrap(vm, &moved).err(), Some(not_authentic("vdb")));
        let renamed = KeySafeEntry { origin: Origin::KeyServer { kms_key: kms_key("8") }, ..entry.clone() };
        assert_eq!(ring.unwrap(vm, &renamed).err(), Some(not_authentic("vda")));
        let derived = KeySafeEntry { origin: Origin::Derived { salt: [0; 32] }, ..entry.clone() };
        assert_eq!(ring.unwrap(vm, &derived).err(), Some(not_authentic("vda")));
        let elsewhere = KeySafeEntry { provider: ProviderId::random(), ..entry };
        ring.insert(elsewhere.provider, key, kek(1, "7")).expect("a new ID");
        assert_eq!(ring.unwrap(vm, &elsewhere).err(), Some(not_authentic("vda")));
    }

    #[test]
    fn a_kdk_and_a_kek_of_the_same_bytes_are_different_keys() {
        let Wrapped { ring, provider, key, vm, entry, .. } = wrapped_by_a_key_server();
        assert_eq!(ring.insert(provider, key, kek(1, "7")), Ok(Inserted::AlreadySo));
        assert!(ring.insert(provider, key, kek(1, "8")).is_err());
        assert!(ring.insert(provider, key, kdk(1)).is_err());
        assert!(ring.unwrap(vm, &entry).is_ok(), "the ring keeps what it had");
    }

    #[test]
    fn a_rewrap_goes_from_a_key_server_to_a_native_provider_and_back() {
        let Wrapped { ring, provider, key, vm, dek, entry } = wrapped_by_a_key_server();
        let (native, version) = (ProviderId::random(), KeyId::random());
        ring.insert(native, version, kdk(2)).expect("a new ID");
        let there = ring.rewrap(vm, &entry, native, version).expect("both keys are there");
        assert!(matches!(there.origin, Origin::Derived { .. }));
        let back = ring.rewrap(vm, &there, provider, key).expect("both keys are there");
        assert_eq!(back.origin, entry.origin);
        assert!(ring.unwrap(vm, &back).expect("authentic").bytes().equals(dek.bytes().expose()));
    }

    #[test]
    fn threads_share_a_ring() {
        let Wrapped { ring, provider, key, vm, entry, .. } = wrapped();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| drop(ring.rewrap(vm, &entry, provider, key).expect("authentic"))));
            }
            scope.spawn(|| ring.insert(ProviderId::random(), KeyId::random(), kdk(9)));
        });
        assert_eq!(ring.keys().len(), 2);
    }

    #[test]
    fn debug_says_only_how_many_keys() {
        assert_eq!(format!("{:?}", wrapped().ring), "KeyRing(1 keys)");
    }
}
