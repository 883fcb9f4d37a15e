//! The key safe and the typed names in it.

use std::{str::FromStr, time::Duration};

use cadenas_fuzz::{edited, edits, in_time};
use cadenas_keys::{Dek, Fingerprint, Kdk, KeyId, KeyRing, KeySafe, ObjectName, ProviderId, UnwrapError, VmId};

#[test]
fn any_text() {
    bolero::check!().with_test_time(Duration::from_secs(2)).for_each(|bytes| {
        in_time(|| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                one_form::<ObjectName>(text);
                one_form::<Fingerprint>(text);
                one_form::<ProviderId>(text);
            }
        });
    });
}

#[test]
fn changed_ids() {
    let seed = VmId::random().to_string();
    bolero::check!().with_generator(edits()).with_test_time(Duration::from_secs(2)).for_each(|edits| {
        in_time(|| one_form::<VmId>(&String::from_utf8_lossy(&edited(seed.as_bytes(), edits))));
    });
}

#[test]
fn changed_key_safes() {
    let vm = Vm::new();
    let seed = serde_json::to_vec(&vm.safe).expect("JSON");
    bolero::check!()
        .with_generator(edits())
        .with_test_time(Duration::from_secs(5))
        .for_each(|edits| in_time(|| vm.check(&edited(&seed, edits))));
}

/// A name or an ID that is accepted is written as it was read, so that no two spellings mean one thing.
fn one_form<T: FromStr + ToString>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// A VM with the keys that open its key safe.
struct Vm {
    id: VmId,
    ring: KeyRing,
    safe: KeySafe,
}

impl Vm {
    fn new() -> Self {
        let (id, ring, provider, key) = (VmId::random(), KeyRing::new(), ProviderId::random(), KeyId::random());
        ring.insert(provider, key, Kdk::generate()).expect("the ring is empty");
        let objects = [ObjectName::configuration(), ObjectName::disk("vda").expect("a target")];
        let entries =
            objects.map(|object| ring.wrap(provider, key, id, &object, &Dek::generate()).expect("the key is there"));
        Self { id, ring, safe: KeySafe::new(entries.into()).expect("two objects") }
    }

    /// What is accepted keeps its meaning when it is written, and opens only the entries that nobody changed.
    fn check(&self, json: &[u8]) {
        let Ok(safe) = serde_json::from_slice::<KeySafe>(json) else { return };
        let written = serde_json::to_vec(&safe).expect("JSON");
        assert_eq!(serde_json::from_slice::<KeySafe>(&written).expect("our own JSON"), safe);
        for entry in safe.entries() {
            let opened = self.ring.unwrap(self.id, entry);
            assert_eq!(opened.is_ok(), self.safe.entries().contains(entry), "{:?}", opened.err());
            if let Err(UnwrapError::KeyMissing { .. }) = opened {
                assert!(!self.safe.keys_used().contains(&(entry.provider, entry.key)));
            }
        }
    }
}
