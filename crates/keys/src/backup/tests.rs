use proptest::prelude::*;

use super::*;
use crate::Fingerprint;

/// Few rounds, so that thousands of files can be read in a test.
const FEW_ROUNDS: u32 = 2;
const TIME: &str = "2026-01-02T03:04:05Z";

fn kdk(byte: u8) -> Kdk {
    Kdk::from_secret(SecretBytes::new_with(32, |out| out.fill(byte))).expect("32 bytes")
}

fn password(text: &str) -> SecretBytes {
    SecretBytes::take_from(text.as_bytes().to_vec())
}

fn backup(name: &str, keys: u8) -> Backup {
    let keys: Vec<_> =
        (0..keys).map(|n| BackupKey { id: KeyId::random(), created_at: TIME.to_owned(), kdk: kdk(n) }).collect();
    Backup {
        provider: ProviderId::random(),
        name: name.to_owned(),
        tpm_required: true,
        exported_at: TIME.to_owned(),
        current: keys.last().map_or_else(KeyId::random, |key| key.id),
        keys,
    }
}

fn few_rounds(backup: &Backup, password: Option<&SecretBytes>) -> Vec<u8> {
    backup.to_p12_with(password, FEW_ROUNDS).expect("a good backup")
}

type Parts = (ProviderId, String, bool, String, KeyId, Vec<(KeyId, String, Fingerprint, Vec<u8>)>);

fn parts(backup: &Backup) -> Parts {
    let Backup { provider, name, tpm_required, exported_at, current, keys } = backup;
    let keys = keys
        .iter()
        .map(|key| (key.id, key.created_at.clone(), key.kdk.fingerprint(), key.kdk.expose().expose().to_vec()));
    (*provider, name.clone(), *tpm_required, exported_at.clone(), *current, keys.collect())
}

/// A file with any bags, under the password "secret", as a hostile or broken writer could make it.
fn file_of(bags: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut store = KeyStore::new();
    for (alias, bytes) in bags {
        store.add_entry(alias, secret_entry(SecretKeyType::Aes, bytes.clone(), b"any"));
    }
    store.writer("secret").encryption_iterations(FEW_ROUNDS).mac_iterations(FEW_ROUNDS).write().expect("any bags")
}

/// The bags of `backup`, to be tampered with.
fn bags_of(backup: &Backup) -> Vec<(String, Vec<u8>)> {
    let document = (document_alias(backup.provider), Document::of(backup).expect("a good backup").to_json());
    let keys = backup.keys.iter().map(|key| (key_alias(key.id), key.kdk.expose().expose().to_vec()));
    std::iter::once(document).chain(keys).collect()
}

fn read(file: &[u8]) -> Result<Backup, BackupError> {
    Backup::from_p12(file, Some(&password("secret")))
}

fn inconsistency(file: &[u8]) -> Inconsistency {
    match read(file) {
        Err(BackupError::Inconsistent(what)) => what,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(
        name in "\\PC{0,80}", keys in 1u8..5, tpm_required: bool, secret in proptest::option::of("[ -\u{d7ff}]{1,20}")
    ) {
        let backup = Backup { tpm_required, ..backup(&name, keys) };
        let secret = secret.map(|text| password(&text));
        let file = few_rounds(&backup, secret.as_ref());
        let read = Backup::from_p12(&file, secret.as_ref()).expect("own file");
        prop_assert_eq!(parts(&read), parts(&backup));
    }

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(read(&noise).is_err());
        prop_assert!(read(&[b"\x30\x82\x01\x00\x02\x01\x03\x30".as_slice(), &noise].concat()).is_err());
    }
}

#[test]
fn every_byte_changed_in_turn_is_refused_or_reads_as_the_same() {
    let backup = backup("Näme 🔑", 2);
    let file = few_rounds(&backup, Some(&password("secret")));
    let mut refused = 0;
    for at in 0..file.len() {
        for to in [file[at] ^ 0x01, file[at] ^ 0x80, 0x00, 0xff] {
            let mut changed = file.clone();
            changed[at] = to;
            match read(&changed) {
                Ok(read) => assert_eq!(parts(&read), parts(&backup), "byte {at} set to {to:#04x}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 3 * file.len(), "nearly every change is noticed: {refused} of {}", 4 * file.len());
}

#[test]
fn every_truncation_is_refused_as_such() {
    let file = few_rounds(&backup("name", 1), Some(&password("secret")));
    assert!(matches!(read(&[]), Err(BackupError::Empty)));
    for len in 1..file.len() {
        match read(&file[..len]) {
            Err(BackupError::Truncated { len: have, expected }) => {
                // The first four bytes hold the length; cut inside them, it is not known.
                assert!(have == len && (expected == file.len() || len < 4), "{len} bytes: {have} of {expected}");
            }
            other => panic!("{len} bytes: {other:?}"),
        }
    }
    assert!(matches!(read(&[file, vec![0]].concat()), Err(BackupError::Malformed { .. })));
}

#[test]
fn passwords_are_told_apart_as_far_as_the_format_allows() {
    let backup = backup("name", 1);
    let (with, without) = (few_rounds(&backup, Some(&password("secret"))), few_rounds(&backup, None));
    assert!(matches!(Backup::from_p12(&with, Some(&password("other"))), Err(BackupError::WrongPassword)));
    assert!(matches!(Backup::from_p12(&with, None), Err(BackupError::PasswordNeeded)));
    assert!(matches!(Backup::from_p12(&with, Some(&password(""))), Err(BackupError::PasswordNeeded)));
    assert!(matches!(Backup::from_p12(&without, Some(&password("secret"))), Err(BackupError::NoPasswordNeeded)));
    assert!(Backup::from_p12(&without, None).is_ok());
    assert!(Backup::from_p12(&without, Some(&password(""))).is_ok(), "an empty password is none");
}

#[test]
fn unusable_passwords_are_refused_before_anything_is_written() {
    let backup = backup("name", 1);
    assert!(matches!(backup.to_p12(Some(&password(""))), Err(WriteBackupError::EmptyPassword)));
    for text in [b"key \xf0\x9f\x94\x91".as_slice(), b"nul\0", b"\xff\xfe"] {
        let unusable = SecretBytes::take_from(text.to_vec());
        assert!(matches!(backup.to_p12(Some(&unusable)), Err(WriteBackupError::UnusablePassword(_))));
    }
}

#[test]
fn a_backup_whose_parts_do_not_fit_is_not_written() {
    let refusal = |backup: &Backup| match backup.to_p12_with(None, FEW_ROUNDS) {
        Err(WriteBackupError::Inconsistent(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(&backup("no key", 0)), Inconsistency::KeyCount { count: 0 });
    assert_eq!(refusal(&backup(&"é".repeat(513), 1)), Inconsistency::NameLength { len: 1026 });
    let key = KeyId::random();
    assert_eq!(refusal(&Backup { current: key, ..backup("", 1) }), Inconsistency::CurrentKeyMissing { key });
    let time = "yesterday".to_owned();
    assert_eq!(refusal(&Backup { exported_at: time.clone(), ..backup("", 1) }), Inconsistency::Time { time });
    let mut twice = backup("", 2);
    twice.keys[1].kdk = kdk(0);
    assert_eq!(refusal(&twice), Inconsistency::DuplicateKey { key: twice.keys[1].id });
}

#[test]
fn keys_under_each_others_names_are_found_out() {
    let backup = backup("name", 2);
    let mut bags = bags_of(&backup);
    assert!(read(&file_of(&bags)).is_ok(), "the bags as they should be");
    let first = bags[1].1.clone();
    bags[1].1 = std::mem::replace(&mut bags[2].1, first);
    assert_eq!(inconsistency(&file_of(&bags)), Inconsistency::KeyMismatch { key: backup.keys[0].id });
}

#[test]
fn a_missing_added_or_misnamed_bag_is_found_out() {
    let backup = backup("name", 2);
    let bags = bags_of(&backup);
    assert_eq!(inconsistency(&file_of(&bags[..2])), Inconsistency::KeyMismatch { key: backup.keys[1].id });

    let extra = KeyId::random();
    let more = [bags.as_slice(), &[(key_alias(extra), vec![9; 32])]].concat();
    assert_eq!(inconsistency(&file_of(&more)), Inconsistency::UnlistedKey { key: extra });

    let more = [bags.as_slice(), &[("something else".to_owned(), vec![9; 32])]].concat();
    assert_eq!(inconsistency(&file_of(&more)), Inconsistency::BagName);

    let more = [bags.as_slice(), &[(document_alias(ProviderId::random()), bags[0].1.clone())]].concat();
    assert_eq!(inconsistency(&file_of(&more)), Inconsistency::DocumentCount { count: 2 });

    let mut other = bags.clone();
    other[0].0 = document_alias(ProviderId::random());
    assert_eq!(inconsistency(&file_of(&other)), Inconsistency::BagName);

    let mut short = bags;
    short[1].1.pop();
    assert_eq!(inconsistency(&file_of(&short)), Inconsistency::KeyLength { key: backup.keys[0].id });
}

#[test]
fn a_file_of_a_later_version_is_named_so() {
    let mut bags = bags_of(&backup("name", 1));
    let json = String::from_utf8(bags[0].1.clone()).expect("JSON");
    bags[0].1 = json.replace("cadenas/backup/v1", "cadenas/backup/v2").replace("{\"id\"", "{\"more\":1,\"id\"").into();
    match read(&file_of(&bags)) {
        Err(BackupError::UnknownVersion { format }) => assert_eq!(format, "cadenas/backup/v2"),
        other => panic!("{other:?}"),
    }
    bags[0].1 = json.replace("{\"id\"", "{\"more\":1,\"id\"").into();
    assert_eq!(inconsistency(&file_of(&bags)), Inconsistency::DocumentSyntax);
    bags[0].1 = b"{".to_vec();
    assert_eq!(inconsistency(&file_of(&bags)), Inconsistency::DocumentSyntax);
}

#[test]
fn a_file_without_a_mac_is_refused() {
    let file = few_rounds(&backup("name", 1), None);
    let pfx = envelope::without_mac(&file);
    assert!(Pkcs12Archive::from_pkcs12(&pfx, "").is_ok(), "the library takes it");
    assert!(
        matches!(Backup::from_p12(&pfx, None), Err(BackupError::NotCadenas { reason }) if reason.contains("integrity"))
    );
}

#[test]
fn a_file_with_too_many_bags_is_refused_before_they_are_decrypted() {
    let bags: Vec<_> = (0..MAX_BACKUP_KEYS + 2).map(|n| (format!("{DOCUMENT_PREFIX}{n}"), vec![0])).collect();
    assert!(matches!(read(&file_of(&bags)), Err(BackupError::NotCadenas { .. })));
    assert!(matches!(read(&vec![0x30; MAX_BACKUP_BYTES + 1]), Err(BackupError::TooLarge)));
}

#[test]
fn errors_name_no_secret() {
    let file = few_rounds(&backup("name", 1), Some(&password("secret")));
    for error in [
        Backup::from_p12(&file, Some(&password("hunter2"))).expect_err("wrong"),
        Backup::from_p12(&file, Some(&password("hunter2\0"))).expect_err("unusable"),
    ] {
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
