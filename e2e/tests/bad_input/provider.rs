//! Providers that cannot encrypt, bad names, and files that are not their backups.

use std::fs;

use cadenas_e2e::{BACKUP_PASSWORD, Guest, World, run, text};
use cadenas_keys::{Backup, Kdk};
use cadenas_secret::SecretBytes;

use crate::state::{refused, refused_with};

fn password() -> SecretBytes {
    SecretBytes::take_from(BACKUP_PASSWORD.as_bytes().to_vec())
}

#[test]
fn no_provider_one_that_is_not_backed_up_and_no_default() {
    let world = World::empty();
    world.define(&Guest::with_one_disk("web01", &world.libvirt.datastore()));
    let encrypt = ["vm", "encrypt", "web01"];
    refused(&world, &encrypt, &["no default key provider", "cadenas provider create NAME", "cadenas provider backup"]);

    // The first is the default.
    world.cadenas.cadenas(&["provider", "create", "first"]);
    refused(&world, &encrypt, &["first", "in no backup", "cadenas provider backup first --out FILE.p12"]);
    world.cadenas.cadenas(&["provider", "create", "nkp"]);
    let named = ["vm", "encrypt", "web01", "--provider", "nkp"];
    refused(&world, &named, &["nkp", "in no backup", "cadenas provider backup nkp --out FILE.p12"]);
    world.cadenas.cadenas(&["provider", "rm", "first"]);
    refused(&world, &encrypt, &["no default key provider", "--provider", "cadenas provider set-default"]);
    refused(&world, &["provider", "set-default", "other"], &["other", "cadenas provider ls"]);

    world.back_up("nkp");
    refused(&world, &encrypt, &["no default key provider", "cadenas provider set-default"]);
    world.cadenas.cadenas(&["provider", "set-default", "nkp"]);
    world.cadenas.cadenas(&encrypt);
    refused(&world, &["provider", "rm", "nkp"], &["nkp", "web01", "cadenas vm"]);
}

#[test]
fn names_that_no_provider_can_have() {
    let world = World::ready();
    let long = "x".repeat(300);
    for name in ["a/b", "two words", "clé", long.as_str(), "", "-x", "../nkp"] {
        let rule = "use 1 to 63 of the characters";
        refused(&world, &["provider", "create", "--", name], &[rule]);
        refused(&world, &["provider", "rename", "nkp", "--", name], &[rule]);
    }
    for name in ["a/b", "two words", "clé", long.as_str()] {
        refused(&world, &["provider", "show", name], &["no key provider", "cadenas provider ls"]);
    }
    refused(&world, &["provider", "create", "nkp"], &["nkp"]);
}

#[test]
fn files_that_are_no_backup_of_the_provider() {
    let world = World::ready();
    let datastore = world.libvirt.datastore();
    let path = |name: &str| datastore.join(name).display().to_string();
    let whole = fs::read(path("nkp.p12")).expect("the backup");
    fs::write(path("cut.p12"), &whole[..whole.len() / 2]).expect("written");
    fs::write(path("empty.p12"), "").expect("written");
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let subject =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", &key, "-out", &certificate];
    run("openssl", subject);
    let other = path("other.p12");
    let export = ["pkcs12", "-export", "-inkey", &key, "-in", &certificate, "-passout"];
    run("openssl", [&export[..], &[&format!("pass:{BACKUP_PASSWORD}"), "-out", &other]].concat());
    for (file, password, words) in [
        ("cut.p12", BACKUP_PASSWORD, ["truncated", "another copy"]),
        ("empty.p12", BACKUP_PASSWORD, ["empty", "another copy"]),
        ("other.p12", BACKUP_PASSWORD, ["not a Cadenas backup", "cadenas provider backup"]),
        ("key.pem", BACKUP_PASSWORD, ["not a PKCS#12 file", "another"]),
        ("nkp.p12", "wrong", ["password is wrong", "damaged"]),
        ("nkp.p12", "", ["password", "empty"]),
        ("missing.p12", BACKUP_PASSWORD, ["missing.p12", "No such file"]),
    ] {
        for verb in ["restore", "verify-backup"] {
            let args = ["provider", verb, &path(file), "--password-file", "-"];
            refused_with(&world, &args, password, &words);
        }
    }
}

#[test]
fn a_backup_of_another_provider_and_another_key_under_a_known_id() {
    let world = World::ready();
    let elsewhere = World::ready();
    let foreign = elsewhere.libvirt.datastore().join("nkp.p12").display().to_string();
    let args = ["provider", "verify-backup", &foreign, "--password-file", "-"];
    let id = text(&elsewhere.json(&["provider", "show", "nkp"])["id"]);
    refused_with(&world, &args, BACKUP_PASSWORD, &[&id, "does not know the provider", "cadenas provider restore"]);
    let args = ["provider", "restore", &foreign, "--password-file", "-"];
    refused_with(&world, &args, BACKUP_PASSWORD, &["nkp", "--name"]);

    let forged = world.libvirt.datastore().join("forged.p12").display().to_string();
    fs::write(&forged, with_another_key(&fs::read(world.libvirt.datastore().join("nkp.p12")).expect("the backup")))
        .expect("written");
    let key = text(&world.json(&["provider", "show", "nkp"])["key"]);
    for verb in ["restore", "verify-backup"] {
        let args = ["provider", verb, &forged, "--password-file", "-"];
        refused_with(&world, &args, BACKUP_PASSWORD, &[&key, "nkp"]);
    }
}

/// The same provider and key ID, but not the same key.
fn with_another_key(backup: &[u8]) -> Vec<u8> {
    let mut backup = Backup::from_p12(backup, Some(&password())).expect("our own backup");
    backup.keys[0].kdk = Kdk::generate();
    backup.to_p12(Some(&password())).expect("a backup")
}
