//! Shallow recrypt: new wrappings, and nothing else.

use std::{collections::BTreeMap, fs};

use cadenas_image::{Access, File, Locking};
use cadenas_keys::{Kdk, KeyId, KeyRing, ProviderId};
use cadenas_vmhome::{Descriptor, NoSteps, RecryptError, Recrypted, UnlockError, VmHome, recrypt};

use crate::common::{Bed, names};

#[test]
fn only_the_key_safe_changes() {
    let bed = Bed::small();
    bed.encrypt();
    let read = || fs::read(bed.descriptor()).expect("read");
    let (before, disks) = (read(), disk_files(&bed));
    assert_eq!(to(&bed, bed.provider, bed.next_key), Recrypted::Changed);
    let after = read();
    let (old, new) = (Descriptor::parse(&before).expect("parsed"), Descriptor::parse(&after).expect("parsed"));
    assert_eq!(old.header(), new.header());
    assert_eq!(old.configuration(), new.configuration());
    let mark = "\"configuration\": {";
    assert!(part_after(&before, mark) == part_after(&after, mark));
    assert_eq!(new.key_safe().keys_used().into_iter().collect::<Vec<_>>(), [(bed.provider, bed.next_key)]);
    assert!(disks == disk_files(&bed));
    assert!(bed.is_encrypted());
}

#[test]
fn twice_to_the_same_key_writes_once() {
    let bed = Bed::small();
    bed.encrypt();
    assert_eq!(to(&bed, bed.provider, bed.key), Recrypted::AlreadySo);
    assert_eq!(to(&bed, bed.provider, bed.next_key), Recrypted::Changed);
    let before = fs::read(bed.descriptor()).expect("read");
    assert_eq!(to(&bed, bed.provider, bed.next_key), Recrypted::AlreadySo);
    assert!(before == fs::read(bed.descriptor()).expect("read"));
}

#[test]
fn afterwards_the_old_provider_is_not_needed() {
    let bed = Bed::small();
    bed.encrypt();
    let (provider, key) = (ProviderId::random(), KeyId::random());
    bed.keyring.insert(provider, key, Kdk::generate()).expect("new");
    assert_eq!(to(&bed, provider, key), Recrypted::Changed);
    bed.keyring.remove_provider(bed.provider);
    assert!(bed.is_encrypted());
}

#[test]
fn it_works_while_the_disks_are_open_in_a_running_vm() {
    let bed = Bed::small();
    let home = bed.encrypt();
    let disk = File::open(&home.disk_path(&home.disks()[0]), Access::Write).expect("opened");
    let _running = disk.lock(Locking::Exclusive).expect("locked");
    assert_eq!(to(&bed, bed.provider, bed.next_key), Recrypted::Changed);
}

#[test]
fn what_a_killed_one_left_is_replaced() {
    let bed = Bed::small();
    bed.encrypt();
    fs::write(bed.home().join(".web01.cadenas.new"), "half").expect("written");
    assert_eq!(to(&bed, bed.provider, bed.next_key), Recrypted::Changed);
    assert!(bed.is_encrypted());
}

#[test]
fn without_the_old_or_the_new_key_nothing_changes() {
    let bed = Bed::small();
    bed.encrypt();
    let before = fs::read(bed.descriptor()).expect("read");
    let missing = bed.recrypt(bed.provider, KeyId::random(), &NoSteps);
    assert!(matches!(missing, Err(RecryptError::Key { .. })));
    let missing =
        recrypt(&bed.rewrap(&bed.home(), bed.provider, bed.next_key), &KeyRing::new(), &bed.journal, &NoSteps);
    assert!(matches!(missing, Err(RecryptError::Key { .. })));
    assert!(before == fs::read(bed.descriptor()).expect("read"));
}

#[test]
fn a_locked_vm_says_what_it_lacks_and_unlocks_when_it_comes() {
    let bed = Bed::small();
    let home = bed.encrypt();
    let empty = KeyRing::new();
    match home.unlock(&empty) {
        Err(UnlockError::Locked { missing, .. }) => assert_eq!(missing, [bed.needed()]),
        other => panic!("{other:?}"),
    }
    assert_eq!(home.missing_keys(&empty), [bed.needed()]);
    assert!(VmHome::open(&bed.home()).expect("a home").unlock(&bed.keyring).is_ok());
}

#[test]
fn a_changed_header_is_not_wrapped_anew_nor_told_to_be_in_order() {
    let bed = Bed::small();
    bed.encrypt();
    let text = fs::read_to_string(bed.descriptor()).expect("read");
    let changed = text.replacen("\"name\": \"web01\"", "\"name\": \"web02\"", 1);
    assert_ne!(changed, text);
    fs::write(bed.descriptor(), &changed).expect("written");
    for key in [bed.key, bed.next_key] {
        let error = bed.recrypt(bed.provider, key, &NoSteps).expect_err("changed");
        assert!(matches!(error, RecryptError::Unlock(UnlockError::Configuration { .. })), "{error}");
    }
    assert_eq!(fs::read_to_string(bed.descriptor()).expect("read"), changed);
}

fn to(bed: &Bed, provider: ProviderId, key: KeyId) -> Recrypted {
    bed.recrypt(provider, key, &NoSteps).expect("recrypted")
}

fn disk_files(bed: &Bed) -> BTreeMap<String, Vec<u8>> {
    let names = names(&bed.home()).into_iter().filter(|name| !name.ends_with(".cadenas"));
    names.map(|name| (name.clone(), fs::read(bed.home().join(name)).expect("read"))).collect()
}

fn part_after<'a>(bytes: &'a [u8], mark: &str) -> &'a [u8] {
    let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).expect("a mark");
    &bytes[at..]
}
