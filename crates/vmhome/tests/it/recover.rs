//! Recovery with a backup and a descriptor alone.

use std::{fs, os::unix::fs::PermissionsExt as _};

use cadenas_image::{Access, File, open_source};
use cadenas_keys::{Backup, BackupKey, Kdk, Kek, KeyId, ProviderId, ProviderKey};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{NoSteps, RecoverError, RecoveryKey, recover};

use crate::common::{Bed, NOW, XML, names};

/// A VM under a provider of which there is a backup.
fn bed_with_backup() -> (Bed, Backup) {
    let bed = Bed::small();
    bed.encrypt();
    let (bytes, provider, key) = (SecretBytes::random(32), ProviderId::random(), KeyId::random());
    let kdk = || Kdk::from_secret(SecretBytes::take_from(bytes.expose().to_vec())).expect("32 bytes");
    bed.keyring.insert(provider, key, kdk()).expect("new");
    bed.recrypt(provider, key, &NoSteps).expect("recrypted");
    let keys = vec![BackupKey { id: key, created_at: NOW.to_owned(), kdk: kdk() }];
    let name = "nkp".to_owned();
    (bed, Backup { provider, name, tpm_required: false, exported_at: NOW.to_owned(), current: key, keys })
}

#[test]
fn passphrases_open_the_disks_and_the_definition_is_as_it_was() {
    let (bed, backup) = bed_with_backup();
    let out = bed.folder.path().join("out");
    let recovery = recover(&bed.descriptor(), RecoveryKey::Backup(&backup), &out).expect("recovered");
    assert!(recovery.problems.is_empty());
    assert_eq!(names(&out), ["vda.passphrase", "vdb.passphrase", "web01.xml"]);
    for file in &recovery.files {
        let bytes = fs::read(&file.path).expect("read");
        assert_eq!(fs::metadata(&file.path).expect("there").permissions().mode() & 0o777, 0o600);
        match file.object.disk_target() {
            None => assert_eq!(bytes, XML.as_bytes()),
            Some(target) => {
                assert!(bytes.len() == 64 && bytes.is_ascii());
                let home = bed.unlocked();
                let (_, path) = home.disk_paths().find(|(name, _)| *name == target).expect("a disk");
                let disk = File::open(path, Access::Read).expect("opened");
                open_source(&disk, Some(&SecretBytes::take_from(bytes))).expect("opens");
            }
        }
    }
}

#[test]
fn the_key_of_a_key_server_recovers_as_a_backup_does() {
    let bed = Bed::small();
    bed.encrypt();
    let (kek, provider, key) = (kek(), ProviderId::random(), KeyId::random());
    let kms_key = "7".parse().expect("a name");
    bed.keyring.insert(provider, key, ProviderKey::Kek { kek: kek.copy(), kms_key }).expect("new");
    bed.recrypt(provider, key, &NoSteps).expect("recrypted");
    let out = bed.folder.path().join("out");
    let other = recover(&bed.home(), RecoveryKey::Kek(&self::kek()), &out).expect_err("another key");
    assert!(
        matches!(&other, RecoverError::OtherKey { .. }) && other.to_string().contains("7 on its key server"),
        "{other}"
    );
    let recovery = recover(&bed.home(), RecoveryKey::Kek(&kek), &out).expect("recovered");
    assert!(recovery.problems.is_empty());
    assert_eq!(names(&out), ["vda.passphrase", "vdb.passphrase", "web01.xml"]);
}

fn kek() -> Kek {
    Kek::from_secret(SecretBytes::random(32)).expect("32 bytes")
}

#[test]
fn nothing_is_overwritten() {
    let (bed, backup) = bed_with_backup();
    let out = bed.folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("vdb.passphrase"), "precious").expect("written");
    assert!(matches!(recover(&bed.home(), RecoveryKey::Backup(&backup), &out), Err(RecoverError::Exists(_))));
    assert_eq!(names(&out), ["vdb.passphrase"]);
    assert_eq!(fs::read(out.join("vdb.passphrase")).expect("read"), b"precious");
}

#[test]
fn a_backup_of_another_provider_is_told() {
    let (bed, mut backup) = bed_with_backup();
    backup.provider = ProviderId::random();
    let out = bed.folder.path().join("out");
    let error = recover(&bed.home(), RecoveryKey::Backup(&backup), &out).expect_err("another provider");
    assert!(error.to_string().contains(&backup.provider.to_string()), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_damaged_configuration_does_not_keep_the_passphrases() {
    let (bed, backup) = bed_with_backup();
    let text = fs::read_to_string(bed.descriptor()).expect("read");
    let at = text.rfind("\"ciphertext\": \"").expect("a field") + 20;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    fs::write(bed.descriptor(), format!("{}{other}{}", &text[..at], &text[at + 1..])).expect("written");
    let recovery = recover(&bed.home(), RecoveryKey::Backup(&backup), &bed.folder.path().join("out")).expect("partly");
    assert_eq!((recovery.files.len(), recovery.problems.len()), (2, 1));
}
