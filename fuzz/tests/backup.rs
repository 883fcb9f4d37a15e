//! The PKCS#12 backup of a provider.

use std::{collections::BTreeSet, time::Duration};

use bolero::{ValueGenerator, produce};
use cadenas_fuzz::{Edit, edited, edits, in_time};
use cadenas_keys::{Backup, BackupKey, Kdk, KeyId, MAX_BACKUP_NAME_BYTES, ProviderId};
use cadenas_secret::SecretBytes;
use p12_keystore::{
    KeyStore, KeyStoreEntry, Pkcs12ImportPolicy,
    secret::{Secret, SecretKeyType},
};

const PASSWORD: &str = "correct horse";

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(Duration::from_secs(1)).for_each(|bytes| {
        in_time(|| assert!(read(bytes).is_err()));
    });
}

/// A changed file is refused, or read as exactly the same backup.
#[test]
fn changed_files() {
    let backup = backup();
    let seed = Bags::of(&backup).written();
    bolero::check!().with_generator(edits()).with_test_time(Duration::from_secs(5)).for_each(|edits| {
        in_time(|| {
            if let Ok(found) = read(&edited(&seed, edits)) {
                assert_eq!(summary(&found), summary(&backup));
            }
        });
    });
}

/// Content that contradicts itself is refused even if somebody who knows the password wrote it.
#[test]
fn changed_content_under_the_right_password() {
    let bags = Bags::of(&backup());
    bolero::check!().with_generator(bag_edits()).with_test_time(Duration::from_secs(5)).for_each(|edits| {
        in_time(|| {
            if let Ok(found) = read(&bags.edited(edits).written()) {
                assert_consistent(&found);
            }
        });
    });
}

/// Which bag, whether its name or its content, and what changes in it.
type BagEdit = (u8, bool, Vec<Edit>);

fn bag_edits() -> impl ValueGenerator<Output = BagEdit> {
    (produce::<u8>(), produce::<bool>(), edits())
}

/// A backup's bags in clear, to be written again with one round of PBKDF2, so that many can be tried.
#[derive(Clone)]
struct Bags(Vec<(String, Vec<u8>)>);

impl Bags {
    fn of(backup: &Backup) -> Self {
        let file = backup.to_p12(Some(&password())).expect("a backup");
        let store = KeyStore::from_pkcs12(&file, PASSWORD, Pkcs12ImportPolicy::Raw).expect("our own file");
        let bags = store.entries().filter_map(|(alias, entry)| match entry {
            KeyStoreEntry::Secret(secret) => Some((alias.clone(), secret.key().to_vec())),
            _ => None,
        });
        Self(bags.collect())
    }

    fn edited(&self, (bag, name, edits): &BagEdit) -> Self {
        let mut bags = self.clone();
        let count = bags.0.len();
        let (alias, content) = &mut bags.0[usize::from(*bag) % count];
        if *name {
            *alias = String::from_utf8_lossy(&edited(alias.as_bytes(), edits)).into_owned();
        } else {
            *content = edited(content, edits);
        }
        bags
    }

    fn written(&self) -> Vec<u8> {
        let mut store = KeyStore::new();
        for (alias, content) in &self.0 {
            let secret = Secret::builder(SecretKeyType::Aes)
                .with_key(content.clone())
                .with_local_key_id(alias.as_bytes())
                .build();
            store.add_entry(alias, KeyStoreEntry::Secret(secret.expect("key and local ID are given")));
        }
        store.writer(PASSWORD).encryption_iterations(1).mac_iterations(1).write().expect("a PKCS#12 file")
    }
}

fn read(file: &[u8]) -> Result<Backup, cadenas_keys::BackupError> {
    Backup::from_p12(file, Some(&password()))
}

fn backup() -> Backup {
    let keys: Vec<_> = (0..3)
        .map(|_| BackupKey { id: KeyId::random(), created_at: "2026-01-02T03:04:05Z".into(), kdk: Kdk::generate() })
        .collect();
    Backup {
        provider: ProviderId::random(),
        name: "Schlüssel".into(),
        tpm_required: true,
        exported_at: "2026-02-03T04:05:06Z".into(),
        current: keys[1].id,
        keys,
    }
}

/// Everything that a backup says, without a key in it.
fn summary(backup: &Backup) -> String {
    let keys = backup.keys.iter().map(|key| (key.id, &key.created_at, key.kdk.fingerprint()));
    let head = (backup.provider, &backup.name, backup.tpm_required, &backup.exported_at, backup.current);
    format!("{head:?} {:?}", keys.collect::<Vec<_>>())
}

fn assert_consistent(backup: &Backup) {
    let ids: BTreeSet<_> = backup.keys.iter().map(|key| key.id).collect();
    let fingerprints: BTreeSet<_> = backup.keys.iter().map(|key| key.kdk.fingerprint().to_string()).collect();
    assert_eq!((ids.len(), fingerprints.len()), (backup.keys.len(), backup.keys.len()));
    assert!(ids.contains(&backup.current));
    assert!(backup.name.len() <= MAX_BACKUP_NAME_BYTES);
}

fn password() -> SecretBytes {
    SecretBytes::take_from(PASSWORD.into())
}
