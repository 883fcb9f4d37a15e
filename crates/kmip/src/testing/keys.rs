//! What a key server keeps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cadenas_secret::SecretBytes;

use crate::{KeyState, KmipId, RevocationReason};

/// When every key of a test was made: 2023-11-14T22:13:20Z.
const CREATED: i64 = 1_700_000_000;

/// The keys of one or several servers, in memory.
#[derive(Clone, Default)]
pub struct TestKeys(Arc<Mutex<BTreeMap<String, TestKey>>>);

/// One key.
pub(super) struct TestKey {
    pub(super) name: String,
    pub(super) vm: Option<String>,
    pub(super) material: SecretBytes,
    pub(super) state: KeyState,
    pub(super) created: i64,
    pub(super) activated: Option<i64>,
}

impl TestKeys {
    /// How many there are, destroyed ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The VM that was noted with a key, if there is that key and it was.
    #[must_use]
    pub fn vm_of(&self, id: &KmipId) -> Option<String> {
        self.lock().get(id.as_str()).and_then(|key| key.vm.clone())
    }

    /// A key itself, to be looked for where it must not be.
    #[must_use]
    pub fn material(&self, id: &KmipId) -> Vec<u8> {
        self.lock().get(id.as_str()).expect("a key of this server").material.expose().to_vec()
    }

    /// Has another key under the same identifier, as servers have that do not hold the same keys.
    pub fn replace(&self, id: &KmipId, material: Vec<u8>) {
        self.lock().get_mut(id.as_str()).expect("a key of this server").material = SecretBytes::take_from(material);
    }

    /// Does what an administrator can.
    pub fn set_state(&self, id: &KmipId, state: KeyState) {
        self.lock().get_mut(id.as_str()).expect("a key of this server").state = state;
    }

    /// A new key, not active; returns its identifier.
    pub(super) fn add(&self, name: String, vm: Option<String>, material: SecretBytes) -> String {
        let mut keys = self.lock();
        let id = format!("key-{}", keys.len() + 1);
        let key = TestKey { name, vm, material, state: KeyState::PreActive, created: CREATED, activated: None };
        keys.insert(id.clone(), key);
        id
    }

    pub(super) fn with<T>(&self, id: &str, work: impl FnOnce(&mut TestKey) -> T) -> Option<T> {
        self.lock().get_mut(id).map(work)
    }

    pub(super) fn named(&self, name: &str) -> Vec<String> {
        let keys = self.lock();
        keys.iter().filter(|(_, key)| key.name == name).map(|(id, _)| id.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TestKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TestKey {
    /// Whether it could be done (1.4, 3.22).
    pub(super) fn activate(&mut self) -> bool {
        let may = self.state == KeyState::PreActive;
        if may {
            self.state = KeyState::Active;
            self.activated = Some(CREATED + 1);
        }
        may
    }

    pub(super) fn revoke(&mut self, reason: RevocationReason) -> bool {
        let compromised = matches!(reason, RevocationReason::KeyCompromise | RevocationReason::CaCompromise);
        let may = compromised || self.state == KeyState::Active;
        if may {
            self.state = if compromised { KeyState::Compromised } else { KeyState::Deactivated };
        }
        may
    }

    pub(super) fn destroy(&mut self) -> bool {
        self.state = match self.state {
            KeyState::PreActive | KeyState::Deactivated => KeyState::Destroyed,
            KeyState::Compromised => KeyState::DestroyedCompromised,
            _ => return false,
        };
        self.material = SecretBytes::zeroed(0);
        true
    }
}
