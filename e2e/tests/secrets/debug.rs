//! What the types that hold secrets print of themselves: every public one that has `Debug`.

use std::{fmt::Debug, num::NonZeroU32};

use cadenas_api::{BackupFile, BackupRequest, ConfirmBackup, KeyPush, P12, Password, RestoreRequest, VerifyBackup};
use cadenas_hypervisor::{DiskSecret, DomainXml, memory::StartRequest};
use cadenas_image::{NewKey, SlotIndex};
use cadenas_keys::{Backup, BackupKey, Dek, Kdk, Kek, KeyId, KeyRing, ProviderId, ProviderKey, VmId};
use cadenas_luks::{SectorCipher, VolumeKey};
use cadenas_secret::{SecretBytes, XtsCipher};
use cadenas_vmhome::{DiskFormat, EncryptPlan, Method, OneTimeKey, Wipe};
use uuid::Uuid;

use crate::hunt::{Hunt, Secret};

const TEXT: &str = "a passphrase that nobody may see";

/// 64 bytes, which are any key.
fn bytes() -> Vec<u8> {
    (100..164).collect()
}

fn secret(len: usize) -> SecretBytes {
    SecretBytes::take_from(bytes()[..len].to_vec())
}

fn text() -> SecretBytes {
    SecretBytes::take_from(TEXT.as_bytes().to_vec())
}

fn kdk() -> Kdk {
    Kdk::from_secret(secret(32)).expect("32 bytes")
}

fn prints_no_secret(value: &dyn Debug) {
    let hunt = Hunt::new([&Secret::key("the key", &bytes()), &Secret::text("the text", TEXT)]);
    let printed = format!("{value:?}");
    assert_eq!(hunt.find(printed.as_bytes()), [], "{printed}");
}

#[test]
fn keys_print_nothing_of_themselves() {
    prints_no_secret(&secret(64));
    prints_no_secret(&text());
    prints_no_secret(&XtsCipher::new(&secret(64)).expect("two halves"));
    prints_no_secret(&VolumeKey::from_secret(secret(64)).expect("two halves"));
    prints_no_secret(&SectorCipher::new(&VolumeKey::from_secret(secret(64)).expect("two halves")));
    prints_no_secret(&kdk());
    let ring = KeyRing::new();
    ring.insert(ProviderId::random(), KeyId::random(), kdk()).expect("a new ID");
    prints_no_secret(&ring);
    prints_no_secret(&KeyPush { provider: ProviderId::random(), key: KeyId::random(), secret: kdk().into() });
    let kek = Kek::from_secret(secret(32)).expect("32 bytes");
    prints_no_secret(&kek);
    let secret = ProviderKey::Kek { kek, kms_key: "7".parse().expect("a name") };
    prints_no_secret(&KeyPush { provider: ProviderId::random(), key: KeyId::random(), secret });
    let dek = Dek::generate();
    let hex_digits = String::from_utf8(dek.luks_passphrase().expose().to_vec()).expect("hex");
    assert!(!format!("{dek:?}").contains(&hex_digits[..8]));
}

#[test]
fn a_backup_prints_no_key() {
    let id = KeyId::random();
    let created_at = "2025-01-01T00:00:00Z".to_owned();
    prints_no_secret(&Backup {
        provider: ProviderId::random(),
        name: "nkp".to_owned(),
        tpm_required: false,
        exported_at: created_at.clone(),
        current: id,
        keys: vec![BackupKey { id, created_at, kdk: kdk() }],
    });
}

#[test]
fn requests_print_neither_password_nor_file() {
    let password = || Some(Password::new(text()));
    // A backup without a password is as good as its keys.
    let p12 = || P12(bytes());
    prints_no_secret(&Password::new(text()));
    prints_no_secret(&BackupRequest { password: password(), no_password: false });
    prints_no_secret(&BackupFile { p12: p12() });
    prints_no_secret(&ConfirmBackup { p12: p12(), password: password() });
    prints_no_secret(&VerifyBackup { p12: p12(), password: password() });
    prints_no_secret(&RestoreRequest { p12: p12(), password: password(), name: None, dry_run: false });
}

#[test]
fn a_start_prints_no_passphrase() {
    let path = "/data/web01/vda.qcow2";
    prints_no_secret(&NewKey { passphrase: &text(), rounds: NonZeroU32::MIN, uuid: Uuid::nil() });
    prints_no_secret(&OneTimeKey {
        target: "vda".to_owned(),
        path: path.into(),
        format: DiskFormat::Qcow2,
        passphrase: text(),
        slot: SlotIndex::try_from(1).expect("a slot"),
    });
    let screen = format!("<devices><graphics type='vnc' passwd='{TEXT}'/></devices>");
    let xml = format!("<domain type='qemu'><name>web01</name><uuid>{}</uuid>{screen}</domain>", Uuid::nil());
    prints_no_secret(&EncryptPlan {
        vm: VmId::random(),
        name: "web01".parse().expect("a name"),
        policy: "VM Encryption Policy".to_owned(),
        created: "2025-01-01T00:00:00Z".to_owned(),
        home: "/data/web01".into(),
        domain_xml: xml.clone(),
        autostart: false,
        disks: Vec::new(),
        provider: ProviderId::random(),
        key: KeyId::random(),
        method: Method::default(),
        wipe: Wipe::default(),
    });
    let xml = DomainXml::parse(&xml).expect("a domain");
    let secrets = [DiskSecret { uuid: Uuid::nil(), path: path.to_owned(), value: text() }];
    prints_no_secret(&secrets);
    prints_no_secret(&xml);
    prints_no_secret(&StartRequest { xml: &xml, secrets: &secrets, paused: true });
}
