//! The testbed itself works, and its thief finds what is to be found.

use std::{fs, path::Path, time::Duration};

use cadenas_e2e::{DiskFormat, Guest, PrivateLibvirt, eventually, files_with, passphrases_in, run, try_run};

const BOOT: Duration = Duration::from_mins(1);

#[test]
fn a_guest_writes_its_marks_reads_them_after_a_second_start_and_shuts_down() {
    let libvirt = PrivateLibvirt::start();
    let guest = Guest::builder("web01", &libvirt.datastore())
        .disk(DiskFormat::Qcow2, 64 << 20)
        .disk(DiskFormat::Raw, 32 << 20)
        .create();
    libvirt.virsh(&["define", &guest.xml_file().display().to_string()]);
    libvirt.virsh(&["start", "web01"]);
    guest.wait_for_console("GUEST-READY", BOOT);
    assert!(guest.console().contains("MARK-WRITTEN vda 8") && guest.console().contains("MARK-WRITTEN vdb 8"));
    let found = files_with(&libvirt.datastore(), &["CADENAS-MARK-vda-8\n", "CADENAS-MARK-vdb-8\n"]);
    assert_eq!(found.len(), 2, "the marks are on the disks: {found:?}");
    libvirt.virsh(&["shutdown", "web01"]);
    libvirt.wait_for_state("web01", "shut off", BOOT);
    libvirt.virsh(&["start", "web01"]);
    guest.wait_until_marks_are_read(BOOT);
}

#[test]
fn a_guest_runs_on_while_libvirtd_is_killed_and_started_again() {
    let libvirt = PrivateLibvirt::start();
    let guest =
        Guest::builder("web01", &libvirt.datastore()).disk(DiskFormat::Qcow2, 64 << 20).steps("marks,tick").create();
    libvirt.virsh(&["create", &guest.xml_file().display().to_string()]);
    guest.wait_for_console("TICK vda 1", BOOT);
    libvirt.restart();
    libvirt.wait_for_state("web01", "running", BOOT);
    let seen = guest.console().matches("TICK").count();
    eventually(BOOT, || (guest.console().matches("TICK").count() > seen + 1).then_some(()), || guest.console());
    libvirt.virsh(&["destroy", "web01"]);
}

#[test]
fn two_private_libvirts_do_not_see_each_other_and_leave_nothing() {
    let (one, two) = (PrivateLibvirt::start(), PrivateLibvirt::start());
    let guest = Guest::builder("web01", &one.datastore()).steps("idle").create();
    one.virsh(&["create", &guest.xml_file().display().to_string()]);
    assert!(one.virsh(&["list", "--all"]).contains("web01"));
    assert!(!two.virsh(&["list", "--all"]).contains("web01"));
    let uuid = guest.uuid.to_string();
    assert_eq!(try_run("pgrep", ["-f", &uuid]).code, Some(0), "QEMU runs");
    let folder = one.config_dir().parent().expect("a folder of its own").to_owned();
    drop(one);
    assert_eq!(try_run("pgrep", ["-f", &uuid]).code, Some(1), "QEMU is gone");
    assert!(!folder.exists());
}

/// The control of the stolen host: libvirt's usual way of starting an encrypted disk leaves the passphrase behind.
#[test]
fn a_thief_finds_the_passphrase_of_a_domain_started_the_usual_way() {
    let libvirt = PrivateLibvirt::start();
    let passphrase = "correct-horse-battery-staple";
    let guest = Guest::builder("web01", &libvirt.datastore()).disk(DiskFormat::Qcow2, 64 << 20).create();
    make_luks_disk(&guest.disk_path("vda"), passphrase);
    let secret = give_secret_to(&libvirt, passphrase);
    let source = format!("<source file='{}'", guest.disk_path("vda").display());
    let encryption = format!("<encryption format='luks'><secret type='passphrase' uuid='{secret}'/></encryption>");
    let xml = guest.xml().replace(&format!("{source}/>"), &format!("{source}>{encryption}</source>"));
    let file = libvirt.datastore().join("encrypted.xml");
    fs::write(&file, xml).unwrap();
    libvirt.virsh(&["create", &file.display().to_string()]);
    guest.wait_for_console("MARK-WRITTEN vda 8", BOOT);

    let stolen = tempfile::tempdir().unwrap();
    libvirt.copy_disk_to(stolen.path());
    assert_eq!(passphrases_in(stolen.path()), [passphrase]);
}

/// QEMU measures the processor's time to choose the rounds, which fails now and then on virtual machines.
fn make_luks_disk(path: &Path, passphrase: &str) {
    let secret = format!("secret,id=s,data={passphrase}");
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let path = path.display().to_string();
    eventually(
        BOOT,
        || {
            let args = ["create", "-q", "-f", "qcow2", "--object", &secret, "-o", options, &path, "64M"];
            (try_run("qemu-img", args).code == Some(0)).then_some(())
        },
        || "qemu-img makes no LUKS disk".to_owned(),
    );
    assert!(run("qemu-img", ["info", &path]).contains("encrypted: yes"));
}

fn give_secret_to(libvirt: &PrivateLibvirt, passphrase: &str) -> String {
    let uuid = "5ec4e700-0000-4000-8000-000000000001";
    let file = libvirt.datastore().join("secret.xml");
    fs::write(
        &file,
        format!(
            "<secret ephemeral='yes' private='yes'><uuid>{uuid}</uuid><usage type='volume'><volume>x</volume></usage></secret>"
        ),
    )
    .unwrap();
    libvirt.virsh(&["secret-define", &file.display().to_string()]);
    let value = libvirt.datastore().join("passphrase");
    fs::write(&value, passphrase).unwrap();
    libvirt.virsh(&["secret-set-value", uuid, "--file", &value.display().to_string(), "--plain"]);
    fs::remove_file(value).unwrap();
    uuid.to_owned()
}
