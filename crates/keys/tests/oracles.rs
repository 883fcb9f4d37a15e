//! Other programs read what we write, and we tell their files from ours: openssl, Java's keytool, Python's cryptography.

use std::{fs, path::Path, process::Command};

use cadenas_keys::{Backup, BackupError, BackupKey, Kdk, KeyId, ProviderId};
use cadenas_secret::SecretBytes;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";

#[test]
fn openssl_lists_a_secret_bag_per_key_and_names_algorithms_and_rounds() {
    let (folder, backup) = (TempDir::new().expect("a folder"), backup());
    let file = written(&folder, &backup, Some(PASSWORD));
    let info = openssl_info(&file, PASSWORD).expect("openssl opens it");
    assert!(info.contains("MAC: sha256, Iteration 600000"), "{info}");
    assert_eq!(info.matches("Secret bag").count(), 3, "{info}");
    for key in &backup.keys {
        assert!(info.contains(&format!("friendlyName: cadenas-key-{}", key.id)), "{info}");
    }
    assert!(info.contains(&format!("friendlyName: cadenas-backup-{}", backup.provider)), "{info}");
    assert!(openssl_info(&file, "another").is_err(), "a wrong password");
    assert_encrypted_with_pbes2(&file);
}

#[test]
fn openssl_opens_a_file_with_a_non_ascii_password_and_one_without() {
    let (folder, backup) = (TempDir::new().expect("a folder"), backup());
    for password in ["pässwörd", "пароль 漢字"] {
        openssl_info(&written(&folder, &backup, Some(password)), password).expect("openssl opens it");
    }
    openssl_info(&written(&folder, &backup, None), "").expect("openssl opens it");
}

#[test]
fn keytool_lists_a_secret_key_entry_per_key() {
    let (folder, backup) = (TempDir::new().expect("a folder"), backup());
    let file = written(&folder, &backup, Some(PASSWORD));
    let list = keytool(&["-list"], &file, PASSWORD).expect("keytool opens it");
    assert_eq!(list.matches("SecretKeyEntry").count(), 3, "{list}");
    for key in &backup.keys {
        assert!(list.contains(&format!("cadenas-key-{}", key.id)), "{list}");
    }
}

/// Java refuses passwords beyond ASCII in `PBEKey`; `Backup::to_p12` says so. If this ever fails, Java has learnt it.
#[test]
fn keytool_does_not_open_a_file_with_a_non_ascii_password() {
    let (folder, backup) = (TempDir::new().expect("a folder"), backup());
    let error = keytool(&["-list"], &written(&folder, &backup, Some("pässwörd")), "pässwörd").expect_err("not ASCII");
    assert!(error.contains("password"), "{error}");
}

#[test]
fn a_backup_whose_password_keytool_changed_is_still_the_same_backup() {
    let (folder, backup) = (TempDir::new().expect("a folder"), backup());
    let file = written(&folder, &backup, Some(PASSWORD));
    keytool(&["-storepasswd", "-new", "another one"], &file, PASSWORD).expect("keytool changes it");
    let read = read(&file, Some("another one")).expect("still a backup");
    assert_eq!((read.provider, &read.name, read.current), (backup.provider, &backup.name, backup.current));
    assert_eq!((read.tpm_required, &read.exported_at), (backup.tpm_required, &backup.exported_at));
    for (read, key) in read.keys.iter().zip(&backup.keys) {
        assert_eq!((read.id, &read.created_at), (key.id, &key.created_at));
        assert_eq!(read.kdk.fingerprint(), key.kdk.fingerprint());
    }
    assert!(matches!(self::read(&file, Some(PASSWORD)), Err(BackupError::WrongPassword)));
}

#[test]
fn a_secret_key_of_keytool_is_named_as_not_a_backup() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("java.p12");
    keytool(&["-genseckey", "-alias", "key", "-keyalg", "AES", "-keysize", "256"], &file, PASSWORD).expect("a key");
    assert!(matches!(read(&file, Some(PASSWORD)), Err(BackupError::NotCadenas { .. })));
}

#[test]
fn a_certificate_of_openssl_is_named_as_not_a_backup() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (key, certificate, file) = (at("key.pem"), at("certificate.pem"), at("openssl.p12"));
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test"];
    run(Command::new("openssl").args(new).args(["-keyout", &key, "-out", &certificate])).expect("a certificate");
    for options in [[].as_slice(), &["-nomac"], &["-legacy"]] {
        let export =
            ["pkcs12", "-export", "-inkey", &key, "-in", &certificate, "-out", &file, "-passout", "pass:secret"];
        run(Command::new("openssl").args(export).args(options)).expect("a PKCS#12 file");
        assert!(matches!(read(Path::new(&file), Some("secret")), Err(BackupError::NotCadenas { .. })), "{options:?}");
    }
}

#[test]
fn a_pem_file_or_a_descriptor_is_named_as_not_pkcs12() {
    for other in [b"-----BEGIN CERTIFICATE-----\n".as_slice(), b"{\"format\":1}", b"\0"] {
        assert!(matches!(Backup::from_p12(other, None), Err(BackupError::Malformed { .. })));
    }
}

#[test]
fn python_computes_the_same_vectors() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let computed = run(Command::new("python3").arg(tests.join("vectors.py"))).expect("python3 with `cryptography`");
    assert_eq!(computed, fs::read_to_string(tests.join("vectors.json")).expect("the vectors"));
}

#[test]
fn the_published_page_shows_the_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/formats.md")).expect("the page");
    let vectors = fs::read_to_string(root.join("tests/vectors.json")).expect("the vectors");
    let vectors: serde_json::Value = serde_json::from_str(&vectors).expect("JSON");
    let (entry, sealed, kms_entry) = (&vectors["entry"], &vectors["sealed"], &vectors["kms_entry"]);
    let fields =
        |object: &serde_json::Value| object.as_object().expect("an object").values().cloned().collect::<Vec<_>>();
    let texts = [fields(&vectors), fields(entry), fields(sealed), fields(kms_entry)].concat();
    for text in texts.iter().filter_map(serde_json::Value::as_str) {
        assert!(page.contains(text), "docs/formats.md lacks {text}");
    }
}

/// The file a release wrote stays readable by every later one.
#[test]
fn the_backup_of_version_1_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup-v1.p12");
    let read = read(&file, Some(PASSWORD)).expect("a backup");
    assert_eq!(read.provider.to_string(), "8f1c7a52-3b0e-4d6f-9a21-5c4e7d8b9f01");
    assert_eq!((read.name.as_str(), read.tpm_required), ("Clé de prod 🔑", true));
    assert_eq!(read.current.to_string(), "2d9e4b10-6f73-4c8a-b5d2-0a1b2c3d4e5f");
    let fingerprints: Vec<_> = read.keys.iter().map(|key| key.kdk.fingerprint().to_string()).collect();
    assert_eq!(fingerprints, ["e50ada84b57d19c97a130bcaeda6fa4b", "c1b696d772c05f4e7d8a83679052b215"]);
}

fn backup() -> Backup {
    let [old, current] = [(); 2].map(|()| BackupKey {
        id: KeyId::random(),
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        kdk: Kdk::generate(),
    });
    Backup {
        provider: ProviderId::random(),
        name: "Clé de prod 🔑".to_owned(),
        tpm_required: true,
        exported_at: "2026-11-24T12:00:00.5+01:00".to_owned(),
        current: current.id,
        keys: vec![old, current],
    }
}

fn written(folder: &TempDir, backup: &Backup, password: Option<&str>) -> std::path::PathBuf {
    let path = folder.path().join("backup.p12");
    fs::write(&path, backup.to_p12(password.map(secret).as_ref()).expect("a good backup")).expect("written");
    path
}

fn read(file: &Path, password: Option<&str>) -> Result<Backup, BackupError> {
    Backup::from_p12(&fs::read(file).expect("readable"), password.map(secret).as_ref())
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::take_from(text.as_bytes().to_vec())
}

fn openssl_info(file: &Path, password: &str) -> Result<String, String> {
    run(Command::new("openssl")
        .args(["pkcs12", "-info", "-noout", "-passin", &format!("pass:{password}"), "-in"])
        .arg(file))
}

/// openssl prints each secret bag as hex and does not look into it; the algorithms' identifiers and the rounds stand in there.
fn assert_encrypted_with_pbes2(file: &Path) {
    let bytes = fs::read(file).expect("readable");
    let count = |what: &[u8]| bytes.windows(what.len()).filter(|window| *window == what).count();
    let rounds_600_000 = b"\x02\x03\x09\x27\xc0";
    let (aes_256_cbc, hmac_sha_256) = (b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a", b"\x2a\x86\x48\x86\xf7\x0d\x02\x09");
    // Three bags and the library's empty list of certificates; the MAC has rounds, too.
    assert_eq!((count(aes_256_cbc), count(hmac_sha_256), count(rounds_600_000)), (4, 4, 5));
}

fn keytool(command: &[&str], file: &Path, password: &str) -> Result<String, String> {
    run(Command::new("keytool")
        .env("LC_ALL", "C.UTF-8")
        .args(command)
        .args(["-storetype", "PKCS12", "-storepass", password, "-keystore"])
        .arg(file))
}

/// Standard output and, because openssl writes its report there, standard error.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; is the package installed?"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}
