//! `docs/recover.py`, the way back with standard tools alone, run as `docs/recovery.md` describes it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cadenas_keys::{
    Backup, BackupKey, Dek, Kdk, Kek, KeyId, KeyRing, KeySafe, ObjectName, ProviderId, ProviderKey, VmId,
};
use cadenas_secret::SecretBytes;
use serde_json::json;
use tempfile::TempDir;

const DOMAIN_XML: &str = "<domain type='kvm'>\n  <name>wéb01 &amp; \"friends\"</name>\n</domain>\n";
const PASSWORD: &str = "pässwörd";
const TIME: &str = "2026-11-24T12:00:00Z";

/// A folder with a backup, a descriptor of a VM with two disks and a password file.
struct Site {
    folder: TempDir,
    vm: VmId,
    key: KeyId,
    deks: [Dek; 2],
    descriptor: String,
}

#[test]
fn the_script_gives_every_passphrase_and_the_domain_xml() {
    let site = Site::new(Some(PASSWORD));
    let output = site.recover("password");
    assert!(output.status.success(), "{}", text(&output));
    for (dek, target) in site.deks.iter().zip(["vda", "sdb"]) {
        let path = site.at("out").join(format!("{target}.passphrase"));
        assert!(dek.luks_passphrase().equals(&fs::read(&path).expect("recovered")));
        assert_eq!(fs::metadata(&path).expect("recovered").permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_to_string(site.at("out/wéb01.xml")).expect("recovered"), DOMAIN_XML);
    assert_eq!(fs::metadata(site.at("out")).expect("made").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_recovered_passphrase_opens_the_disk_with_qemu_img_and_cryptsetup() {
    let site = Site::new(Some(PASSWORD));
    let marks = [b"marks of the guest".as_slice(), &vec![7; (1 << 20) - 18]].concat();
    fs::write(site.at("plain"), &marks).expect("written");
    fs::write(site.at("vda.key"), site.deks[0].luks_passphrase().expose()).expect("written");
    let (plain, qcow2, luks) = (site.text("plain"), site.text("vda.qcow2"), site.text("vda.luks"));
    qemu_img(&["convert", "--object", &secret(&site.text("vda.key")), "-O", "qcow2", "-o", ENCRYPT, &plain, &qcow2]);
    qemu_img(&["convert", "--object", &secret(&site.text("vda.key")), "-O", "luks", "-o", RAW, &plain, &luks]);

    assert!(site.recover("password").status.success());
    let passphrase = site.text("out/vda.passphrase");
    for (format, encrypted) in [("qcow2,encrypt.key-secret=key", &qcow2), ("luks,key-secret=key", &luks)] {
        let source = format!("driver={format},file.filename={encrypted}");
        let back = site.text("back");
        qemu_img(&["convert", "--object", &secret(&passphrase), "--image-opts", "-O", "raw", &source, &back]);
        assert_eq!(fs::read(back).expect("converted"), marks);
    }
    let open = ["open", "--type", "luks1", "--test-passphrase", "--key-file", &passphrase, &luks];
    assert!(Command::new("cryptsetup").args(open).status().expect("cryptsetup is installed").success());
}

#[test]
fn the_script_opens_what_a_key_servers_key_wraps() {
    let site = Site::of_a_key_server();
    for (name, bytes) in [("key", vec![7; 32]), ("key-in-hex", [b"07".repeat(32).as_slice(), b"\n"].concat())] {
        fs::write(site.at("provider.p12"), bytes).expect("written");
        let output = site.recover("password");
        assert!(output.status.success(), "{name}: {}", text(&output));
        let passphrase = fs::read(site.at("out/vda.passphrase")).expect("recovered");
        assert!(site.deks[0].luks_passphrase().equals(&passphrase));
        fs::remove_dir_all(site.at("out")).expect("there");
    }
    fs::write(site.at("provider.p12"), [8; 32]).expect("written");
    site.assert_refused("password", "configuration needs the key that a key server has as 7: this is another one.");
}

#[test]
fn the_script_opens_a_backup_without_password() {
    let site = Site::new(None);
    let output = site.recover("empty");
    assert!(output.status.success(), "{}", text(&output));
}

/// The descriptor that the VM home's own tests keep: its key is the one of the vectors.
#[test]
fn the_script_opens_the_kept_descriptor_of_the_vm_home() {
    let site = Site::new(Some(PASSWORD));
    let key: KeyId = "66666666-7777-4888-9999-aaaaaaaaaaaa".parse().expect("a key ID");
    let kdk = Kdk::from_secret(SecretBytes::take_from((0..32).collect())).expect("32 bytes");
    let backup = Backup {
        current: key,
        keys: vec![BackupKey { id: key, created_at: TIME.to_owned(), kdk }],
        ..backup("11111111-2222-4333-8444-555555555555".parse().expect("a provider ID"), [key, key])
    };
    fs::write(site.at("provider.p12"), backup.to_p12(None).expect("written")).expect("written");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vmhome/tests/it/data/web01.cadenas");
    fs::copy(kept, site.at("web01.cadenas")).expect("the VM home's tests keep it");
    let output = site.recover("empty");
    assert!(output.status.success(), "{}", text(&output));
    assert!(fs::read_to_string(site.at("out/web01.xml")).expect("recovered").contains("<domain"));
    assert_eq!(fs::read(site.at("out/vda.passphrase")).expect("recovered").len(), 64);
}

#[test]
fn a_changed_descriptor_is_named_and_the_rest_recovered() {
    for (from, to, left, message) in [
        ("wéb01", "web02", 2, "The header or the configuration of the VM was changed."),
        (r#""disk:vda","provider""#, r#""disk:vdc","provider""#, 2, "The key of disk:vdc was changed"),
    ] {
        let site = Site::new(Some(PASSWORD));
        site.write(&site.descriptor.replacen(from, to, 1));
        let output = site.recover("password");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(message), "{}", text(&output));
        assert_eq!(fs::read_dir(site.at("out")).expect("made").count(), left);
    }
    let site = Site::new(Some(PASSWORD));
    site.write(&site.descriptor.replace(&site.vm.to_string(), &VmId::random().to_string()));
    assert!(!site.recover("password").status.success());
    assert_eq!(fs::read_dir(site.at("out")).expect("made").count(), 0, "no key opens for another VM");
}

#[test]
fn the_script_overwrites_nothing() {
    let site = Site::new(Some(PASSWORD));
    assert!(site.recover("password").status.success());
    let output = site.recover("password");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("File exists"), "{}", text(&output));
}

#[test]
fn the_script_names_what_is_wrong_and_writes_nothing() {
    let site = Site::new(Some(PASSWORD));
    site.assert_refused("empty", "The password is wrong, or the backup is damaged.");

    let backup = fs::read(site.at("provider.p12")).expect("the backup");
    fs::write(site.at("provider.p12"), &backup[..900]).expect("cut");
    site.assert_refused("password", "The backup is damaged or not of this version of Cadenas.");
    fs::write(site.at("provider.p12"), backup).expect("whole again");

    let other = KeyId::random();
    site.write(&site.descriptor.replace(&site.key.to_string(), &other.to_string()));
    site.assert_refused("password", &format!("configuration needs key {other}"));
    site.write(&site.descriptor.replacen("\"cadenas\":1", "\"cadenas\":3", 1));
    site.assert_refused("password", "The descriptor has a format version that this script does not know.");
}

impl Site {
    fn new(password: Option<&str>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (ring, provider, keys) = (KeyRing::new(), ProviderId::random(), [KeyId::random(), KeyId::random()]);
        let password = password.map(|text| SecretBytes::take_from(text.as_bytes().to_vec()));
        let backup = backup(provider, keys);
        fs::write(folder.path().join("provider.p12"), backup.to_p12(password.as_ref()).expect("written"))
            .expect("written");
        for key in backup.keys {
            ring.insert(provider, key.id, key.kdk).expect("a new ID");
        }
        let (vm, deks) = (VmId::random(), [Dek::generate(), Dek::generate()]);
        let descriptor = descriptor(&ring, (provider, keys[1]), vm, &deks);
        let site = Self { folder, vm, key: keys[1], deks, descriptor };
        site.write(&site.descriptor);
        fs::write(site.at("password"), format!("{PASSWORD}\n")).expect("written");
        fs::write(site.at("empty"), "").expect("written");
        site
    }

    /// A VM under the key of 32 times 7 that a key server has as "7".
    fn of_a_key_server() -> Self {
        let (ring, provider, key) = (KeyRing::new(), ProviderId::random(), KeyId::random());
        let kek = Kek::from_secret(SecretBytes::take_from(vec![7; 32])).expect("32 bytes");
        let kms_key = "7".parse().expect("a name");
        ring.insert(provider, key, ProviderKey::Kek { kek, kms_key }).expect("a new ID");
        let (vm, deks) = (VmId::random(), [Dek::generate(), Dek::generate()]);
        let descriptor = descriptor(&ring, (provider, key), vm, &deks).replacen("\"cadenas\":1", "\"cadenas\":2", 1);
        let site = Self { folder: TempDir::new().expect("a folder"), vm, key, deks, descriptor };
        site.write(&site.descriptor);
        site
    }

    fn write(&self, descriptor: &str) {
        fs::write(self.at("web01.cadenas"), descriptor).expect("written");
    }

    fn recover(&self, password_file: &str) -> Output {
        Command::new("python3")
            .arg("-B")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recover.py"))
            .args(["provider.p12", "web01.cadenas", "out", password_file].map(|name| self.at(name)))
            .output()
            .expect("python3 is installed")
    }

    fn assert_refused(&self, password_file: &str, message: &str) {
        let output = self.recover(password_file);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(message), "{}", text(&output));
        assert!(!self.at("out").exists(), "nothing is written");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().expect("UTF-8").to_owned()
    }
}

fn backup(provider: ProviderId, keys: [KeyId; 2]) -> Backup {
    Backup {
        provider,
        name: "Clé 🔑".to_owned(),
        tpm_required: false,
        exported_at: TIME.to_owned(),
        current: keys[1],
        keys: keys.map(|id| BackupKey { id, created_at: TIME.to_owned(), kdk: Kdk::generate() }).into(),
    }
}

/// A descriptor as `docs/formats.md` has it; `cadenas-vmhome` is above this crate.
fn descriptor(ring: &KeyRing, (provider, key): (ProviderId, KeyId), vm: VmId, deks: &[Dek; 2]) -> String {
    let configuration = Dek::generate();
    let wrap = |object: ObjectName, dek| ring.wrap(provider, key, vm, &object, dek).expect("the key is there");
    let disk = |target| ObjectName::disk(target).expect("a target");
    let entries = vec![
        wrap(ObjectName::configuration(), &configuration),
        wrap(disk("vda"), &deks[0]),
        wrap(disk("sdb"), &deks[1]),
    ];
    // Characters that JSON writers may spell in several ways.
    let policy = serde_json::to_string("VM \"Encryption\" / Pölicy \u{1f} \u{7f} \u{2028} 🔒").expect("JSON");
    let header = format!(
        r#"{{"vm":"{vm}","name":"wéb01","policy":{policy},"created":"{TIME}","disks":[{},{}]}}"#,
        disk_json("vda"),
        disk_json("sdb")
    );
    let plain = json!({ "domain_xml": DOMAIN_XML, "autostart": true, "disks": [] }).to_string();
    let sealed = configuration.seal(header.as_bytes(), plain.as_bytes());
    let key_safe = KeySafe::new(entries).expect("unique");
    format!(
        r#"{{"cadenas":1,"header":{header},"key_safe":{},"configuration":{}}}"#,
        serde_json::to_string(&key_safe).expect("JSON"),
        serde_json::to_string(&sealed).expect("JSON")
    )
}

fn disk_json(target: &str) -> String {
    let uuid = VmId::random();
    format!(
        r#"{{"target":"{target}","path":"{target}.qcow2","format":"qcow2","luks_uuid":"{uuid}","dek":"disk:{target}"}}"#
    )
}

const ENCRYPT: &str = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
const RAW: &str = "key-secret=key,iter-time=10";

fn secret(file: &str) -> String {
    format!("secret,id=key,file={file}")
}

/// qemu-img now and then cannot measure its own speed on a busy machine ("Unable to get accurate CPU usage").
fn qemu_img(arguments: &[&str]) {
    for _ in 0..20 {
        let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed");
        if output.status.success() {
            return;
        }
        assert!(text(&output).contains("accurate CPU usage"), "{}", text(&output));
    }
    panic!("qemu-img cannot measure its speed here");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
