//! Known answers: `tests/vectors.json`, which `docs/formats.md` shows.

use cadenas_secret::SecretBytes;
use serde::Deserialize;

use crate::{
    Dek, Kdk, Kek, KeyRing, KeySafeEntry, Origin, ProviderKey, Sealed, VmId, context::length_prefixed, keysafe::Place,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    kdk: String,
    dek: String,
    vm: VmId,
    fingerprint: String,
    kek_info: String,
    kek: String,
    associated: String,
    entry: KeySafeEntry,
    luks_passphrase: String,
    seal_associated: String,
    seal_plain: String,
    sealed: Sealed,
    kms_kek: String,
    kms_associated: String,
    kms_entry: KeySafeEntry,
}

impl Vectors {
    fn read() -> Self {
        serde_json::from_str(include_str!("../tests/vectors.json")).expect("the vectors")
    }

    fn kdk(&self) -> Kdk {
        Kdk::from_secret(SecretBytes::take_from(hex::decode(&self.kdk).expect("hex"))).expect("32 bytes")
    }

    fn dek(&self) -> Dek {
        Dek::from_unwrapped(SecretBytes::take_from(hex::decode(&self.dek).expect("hex")))
    }

    /// The key of the key server's entry, as a host holds it.
    fn kms_key(&self) -> ProviderKey {
        let kek = Kek::from_secret(SecretBytes::take_from(hex::decode(&self.kms_kek).expect("hex"))).expect("32 bytes");
        let Origin::KeyServer { kms_key } = &self.kms_entry.origin else { panic!("the entry is a key server's") };
        ProviderKey::Kek { kek, kms_key: kms_key.clone() }
    }

    fn salt(&self) -> [u8; 32] {
        let Origin::Derived { salt } = self.entry.origin else { panic!("the entry is a native provider's") };
        salt
    }

    fn place(&self) -> Place<'_> {
        Place { provider: self.entry.provider, key: self.entry.key, vm: self.vm, object: &self.entry.object }
    }
}

#[test]
fn known_fingerprint() {
    let vectors = Vectors::read();
    assert_eq!(vectors.kdk().fingerprint().to_string(), vectors.fingerprint);
    assert_eq!(vectors.entry.fingerprint.to_string(), vectors.fingerprint);
}

#[test]
fn known_contexts_and_kek() {
    let vectors = Vectors::read();
    let Place { provider, key, vm, .. } = vectors.place();
    let (provider_id, key_id, vm_id) = (provider.uuid(), key.uuid(), vm.uuid());
    let info = length_prefixed(&[b"cadenas/kek/v1", provider_id.as_bytes(), key_id.as_bytes(), vm_id.as_bytes()]);
    assert_eq!(hex::encode(info), vectors.kek_info);
    assert_eq!(hex::encode(vectors.place().associated(&vectors.entry.origin)), vectors.associated);
    let kek = vectors.kdk().kek(&vectors.salt(), provider, key, vm);
    assert_eq!(hex::encode(kek.key().expose()), vectors.kek);
}

#[test]
fn known_wrapped_entry() {
    let vectors = Vectors::read();
    let ring = KeyRing::new();
    let Place { provider, key, vm, .. } = vectors.place();
    ring.insert(provider, key, vectors.kdk()).expect("an empty ring");
    let (salt, nonce) = (vectors.salt(), vectors.entry.nonce);
    let entry = ring.wrap_with(vectors.place(), &vectors.dek(), salt, nonce).expect("the key is there");
    assert_eq!(entry, vectors.entry);
    assert!(ring.unwrap(vm, &vectors.entry).expect("authentic").bytes().equals(vectors.dek().bytes().expose()));
}

#[test]
fn known_entry_of_a_key_server() {
    let vectors = Vectors::read();
    let entry = &vectors.kms_entry;
    let place = Place { provider: entry.provider, key: entry.key, vm: vectors.vm, object: &entry.object };
    assert_eq!(hex::encode(place.associated(&entry.origin)), vectors.kms_associated);
    let ring = KeyRing::new();
    ring.insert(entry.provider, entry.key, vectors.kms_key()).expect("an empty ring");
    let wrapped = ring.wrap_with(place, &vectors.dek(), [0; 32], entry.nonce).expect("the key is there");
    assert_eq!(&wrapped, entry);
    assert!(ring.unwrap(vectors.vm, entry).expect("authentic").bytes().equals(vectors.dek().bytes().expose()));
}

#[test]
fn known_passphrase_and_sealed_text() {
    let vectors = Vectors::read();
    assert!(vectors.dek().luks_passphrase().equals(vectors.luks_passphrase.as_bytes()));
    let plain = vectors.dek().open(vectors.seal_associated.as_bytes(), &vectors.sealed).expect("authentic");
    assert!(plain.equals(vectors.seal_plain.as_bytes()));
}
