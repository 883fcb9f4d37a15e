//! Shallow recrypt of many homes: each has its own outcome, and each passes the same points as alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_keys::{Kek, KeyId, ProviderId, ProviderKey, VmId};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{
    Descriptor, HomeError, NoSteps, RecryptError, Recrypted, Rewrap, Step, VmHome, recrypt, recrypt_many,
};

use crate::common::{Bed, KillAt, as_process};

#[test]
fn every_home_of_a_batch_has_its_own_outcome() {
    let (bed, homes) = batch_of(5);
    recrypted(&bed, &homes[1], bed.provider, bed.next_key);
    fs::write(homes[2].join("web01.cadenas"), "{}").expect("written");
    fs::remove_dir_all(&homes[3]).expect("removed");
    let mut batch = rewraps(&bed, &homes);
    batch[4].vm = VmId::random();
    let outcomes = recrypt_many(&batch, &bed.keyring, &bed.journal, &NoSteps);
    assert_eq!(outcomes[0].as_ref().ok(), Some(&Recrypted::Changed));
    assert_eq!(outcomes[1].as_ref().ok(), Some(&Recrypted::AlreadySo));
    assert!(matches!(outcomes[2], Err(RecryptError::Home(HomeError::Descriptor { .. }))), "{:?}", outcomes[2]);
    assert!(matches!(outcomes[3], Err(RecryptError::Home(HomeError::Missing(_)))), "{:?}", outcomes[3]);
    assert!(matches!(outcomes[4], Err(RecryptError::Home(HomeError::Missing(_)))), "{:?}", outcomes[4]);
    assert_eq!(key_of(&homes[0]), bed.next_key);
    assert_eq!(key_of(&homes[4]), bed.key);
}

#[test]
fn a_home_that_is_wrapped_otherwise_than_was_thought_stays_so() {
    let (bed, homes) = batch_of(3);
    let mut batch = rewraps(&bed, &homes);
    batch[0].from = Some([(bed.provider, bed.key)].into());
    for rewrap in &mut batch[1..] {
        rewrap.from = Some([(bed.provider, KeyId::random())].into());
    }
    batch[2].key = bed.key;
    let outcomes = recrypt_many(&batch, &bed.keyring, &bed.journal, &NoSteps);
    assert_eq!(outcomes[0].as_ref().ok(), Some(&Recrypted::Changed));
    assert!(matches!(outcomes[1], Err(RecryptError::WrappedOtherwise { .. })), "{:?}", outcomes[1]);
    assert_eq!(outcomes[2].as_ref().ok(), Some(&Recrypted::AlreadySo));
    assert_eq!(homes.iter().map(|home| key_of(home)).collect::<Vec<_>>(), [bed.next_key, bed.key, bed.key]);
}

#[test]
fn without_the_new_key_no_home_changes() {
    let (bed, homes) = batch_of(3);
    let batch: Vec<_> =
        rewraps(&bed, &homes).into_iter().map(|rewrap| Rewrap { key: KeyId::random(), ..rewrap }).collect();
    let outcomes = recrypt_many(&batch, &bed.keyring, &bed.journal, &NoSteps);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(RecryptError::Key { .. }))));
    assert!(homes.iter().all(|home| key_of(home) == bed.key));
}

#[test]
fn a_kill_at_any_step_leaves_each_home_of_a_batch_with_one_of_both_keys() {
    let (bed, homes) = batch_of(4);
    let watched = KillAt::never();
    recrypt_many(&rewraps(&bed, &homes), &bed.keyring, &bed.journal, &watched);
    let steps = watched.seen();
    assert_eq!(steps.len(), 2 * homes.len());
    for (nth, step) in steps.iter().enumerate() {
        let (bed, homes) = batch_of(4);
        let batch = rewraps(&bed, &homes);
        assert!(as_process(|| recrypt_many(&batch, &bed.keyring, &bed.journal, &KillAt::nth(nth))).is_none());
        let changed = homes.iter().filter(|home| key_of(home) == bed.next_key).count();
        let expected = if *step == Step::RecryptCommitted { homes.len() } else { nth };
        assert_eq!(changed, expected, "killed at step {nth}, {step}");
        assert!(homes.iter().all(|home| VmHome::open(home).expect("a home").unlock(&bed.keyring).is_ok()));
        let again = recrypt_many(&batch, &bed.keyring, &bed.journal, &NoSteps);
        assert!(again.iter().all(Result::is_ok) && homes.iter().all(|home| key_of(home) == bed.next_key));
    }
}

#[test]
fn nothing_is_renamed_before_everything_was_staged() {
    let (bed, homes) = batch_of(3);
    let watched = KillAt::never();
    recrypt_many(&rewraps(&bed, &homes), &bed.keyring, &bed.journal, &watched);
    let seen = watched.seen();
    let renamed = seen.iter().rposition(|step| *step == Step::RecryptDescriptorStaged).expect("reached");
    let committed = seen.iter().position(|step| *step == Step::RecryptCommitted).expect("reached");
    assert!(renamed < committed, "{seen:?}");
}

#[test]
fn a_home_under_a_key_servers_key_is_of_version_2_and_comes_back_as_it_was() {
    let (bed, homes) = batch_of(1);
    let read = || fs::read(homes[0].join("web01.cadenas")).expect("read");
    let before = Descriptor::parse(&read()).expect("parsed");
    let (provider, key) = (ProviderId::random(), KeyId::random());
    let kek = Kek::from_secret(SecretBytes::random(32)).expect("32 bytes");
    let kms_key = "b4faee10-aa2a-4446-8ad4-0881f3422959".parse().expect("a name");
    bed.keyring.insert(provider, key, ProviderKey::Kek { kek, kms_key }).expect("new");
    recrypted(&bed, &homes[0], provider, key);
    let there = read();
    assert!(there.starts_with(b"{\n  \"cadenas\": 2,"), "{}", String::from_utf8_lossy(&there));
    let claims_to_be_older = String::from_utf8(there).expect("text").replacen("\"cadenas\": 2", "\"cadenas\": 1", 1);
    assert!(Descriptor::parse(claims_to_be_older.as_bytes()).is_err());
    recrypted(&bed, &homes[0], bed.provider, bed.key);
    let after = read();
    assert!(after.starts_with(b"{\n  \"cadenas\": 1,"));
    let after = Descriptor::parse(&after).expect("parsed");
    assert_eq!((after.header(), after.configuration()), (before.header(), before.configuration()));
}

/// An encrypted VM, and so many copies of its descriptor in folders of their own.
fn batch_of(copies: usize) -> (Bed, Vec<PathBuf>) {
    let bed = Bed::small();
    bed.encrypt();
    let copy = |at| {
        let home = bed.image(&format!("copy{at}"));
        fs::create_dir(&home).expect("a folder");
        fs::copy(bed.descriptor(), home.join("web01.cadenas")).expect("copied");
        home
    };
    let homes = (0..copies).map(copy).collect();
    (bed, homes)
}

fn rewraps(bed: &Bed, homes: &[PathBuf]) -> Vec<Rewrap> {
    homes.iter().map(|home| bed.rewrap(home, bed.provider, bed.next_key)).collect()
}

fn recrypted(bed: &Bed, home: &Path, provider: ProviderId, key: KeyId) {
    recrypt(&bed.rewrap(home, provider, key), &bed.keyring, &bed.journal, &NoSteps).expect("recrypted");
}

fn key_of(home: &Path) -> KeyId {
    let used = VmHome::open(home).expect("a home").key_safe().keys_used();
    let [(_, key)] = <[_; 1]>::try_from(used.into_iter().collect::<Vec<_>>()).expect("one key");
    key
}
