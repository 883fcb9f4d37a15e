//! The hypervisor crate on a real libvirt and QEMU.

use std::{
    path::Path,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use cadenas_e2e::{DiskFormat, Guest, PrivateLibvirt, eventually, try_run};
use cadenas_hypervisor::{
    DiskSecret, DomainEvent, DomainEventKind, DomainXml, Hypervisor, HypervisorError, Libvirt, Outcome, PowerState,
};
use cadenas_secret::SecretBytes;
use uuid::Uuid;

const BOOT: Duration = Duration::from_mins(1);
const PASSPHRASE: &str = "0123456789abcdef";

fn libvirt_at(private: &PrivateLibvirt) -> Libvirt {
    Libvirt::new(&private.uri()).expect("the event loop starts")
}

fn plain_guest(private: &PrivateLibvirt) -> Guest {
    Guest::with_one_disk("web01", &private.datastore())
}

#[test]
fn a_transient_start_with_secrets_boots_from_the_encrypted_disk_and_leaves_no_secret_and_no_definition() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    make_luks_disk(&guest.disk_path("vda"));
    let (xml, secret) = encrypted(&guest, PASSPHRASE);

    libvirt.start_transient(xml.as_str(), &[secret], true).expect("it starts");
    let domain = libvirt.domain(guest.uuid).expect("libvirt answers").expect("it is there");
    assert_eq!((domain.state, domain.persistent), (PowerState::Paused, false));
    assert_eq!(private.virsh(&["secret-list"]).trim(), "");
    assert!(!guest.console().contains("MARK"), "a paused guest executes nothing");
    assert_eq!(libvirt.resume(guest.uuid).expect("it resumes"), Outcome::Changed);
    guest.wait_for_console("MARK-WRITTEN vda 8", BOOT);

    let (again, secret) = encrypted(&guest, PASSPHRASE);
    let refused = libvirt.start_transient(again.as_str(), &[secret], false).expect_err("it runs already");
    assert!(matches!(refused, HypervisorError::Failed { .. }), "{refused:?}");
    assert_eq!(private.virsh(&["secret-list"]).trim(), "");

    assert_eq!(libvirt.destroy(guest.uuid).expect("it stops"), Outcome::Changed);
    assert_eq!(libvirt.domain(guest.uuid).expect("libvirt answers"), None);
}

#[test]
fn a_start_that_fails_leaves_no_secret_and_does_not_say_the_passphrase() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    make_luks_disk(&guest.disk_path("vda"));
    let (xml, secret) = encrypted(&guest, "not-the-passphrase");
    let error = libvirt.start_transient(xml.as_str(), &[secret], false).expect_err("the passphrase is wrong");
    let words = format!("{error:?}");
    assert!(!words.contains("not-the-passphrase"), "{words}");
    assert_eq!(private.virsh(&["secret-list"]).trim(), "");
    assert_eq!(libvirt.domain(guest.uuid).expect("libvirt answers"), None);
}

#[test]
fn a_secret_of_someone_else_under_the_same_uuid_is_not_removed() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    let (xml, secret) = encrypted(&guest, PASSPHRASE);
    let file = private.datastore().join("secret.xml");
    let foreign =
        format!("<secret><uuid>{}</uuid><usage type='volume'><volume>mine</volume></usage></secret>", secret.uuid);
    std::fs::write(&file, foreign).expect("a file in our own folder");
    private.virsh(&["secret-define", &file.display().to_string()]);
    libvirt.start_transient(xml.as_str(), &[secret], false).expect_err("the UUID is taken");
    assert!(private.virsh(&["secret-list"]).contains("mine"));
}

#[test]
fn a_definition_goes_away_and_comes_back_as_it_was() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    libvirt.define(&guest.xml(), true).expect("it is defined");
    let before = libvirt.definition(guest.uuid).expect("it has a definition");
    assert_eq!(libvirt.undefine(guest.uuid).expect("it goes"), Outcome::Changed);
    assert_eq!(libvirt.undefine(guest.uuid).expect("it is gone"), Outcome::AlreadySo);
    assert!(matches!(libvirt.definition(guest.uuid), Err(HypervisorError::NoSuchDomain { .. })));
    libvirt.define(&before, true).expect("it comes back");
    libvirt.define(&before, true).expect("again");
    assert_eq!(libvirt.definition(guest.uuid).expect("it has a definition"), before);
    let domain = libvirt.domain(guest.uuid).expect("libvirt answers").expect("it is there");
    assert!(domain.persistent && domain.autostart && domain.state.is_off());
}

#[test]
fn snapshots_and_saved_memory_are_seen() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    libvirt.define(&guest.xml(), false).expect("it is defined");
    assert_eq!(libvirt.snapshots(guest.uuid).expect("libvirt answers"), 0);
    private.virsh(&["snapshot-create-as", "web01", "first"]);
    assert_eq!(libvirt.snapshots(guest.uuid).expect("libvirt answers"), 1);
    assert!(libvirt.undefine(guest.uuid).is_err(), "libvirt keeps the definition of a domain with snapshots");
    private.virsh(&["snapshot-delete", "web01", "first"]);
    libvirt.start(guest.uuid).expect("it starts");
    guest.wait_for_console("GUEST-READY", BOOT);
    private.virsh(&["managedsave", "web01"]);
    assert!(libvirt.domain(guest.uuid).expect("libvirt answers").expect("it is there").has_managed_save);
}

#[test]
fn a_stopped_libvirtd_is_told_and_found_again_when_it_is_back() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    let events = libvirt.events();
    libvirt.define(&guest.xml(), false).expect("it is defined");
    private.stop();
    let begun = Instant::now();
    let error = libvirt.domains().expect_err("nothing answers");
    assert!(error.is_unreachable() && begun.elapsed() < Duration::from_secs(10), "{error:?}");
    let start = libvirt.start_transient(&guest.xml(), &[], false).expect_err("nothing answers");
    assert!(start.is_unreachable(), "{start:?}");
    private.begin();
    assert_eq!(libvirt.domains().expect("it answers again").len(), 1);
    private.restart();
    assert_eq!(libvirt.start(guest.uuid).expect("a restart in between is not noticed"), Outcome::Changed);
    wait_for_event(&events, &guest, DomainEventKind::Started);
}

#[test]
fn events_tell_of_a_guest_that_shuts_down() {
    let private = PrivateLibvirt::start();
    let libvirt = libvirt_at(&private);
    let guest = plain_guest(&private);
    let events = libvirt.events();
    libvirt.start_transient(&guest.xml(), &[], false).expect("it starts");
    wait_for_event(&events, &guest, DomainEventKind::Started);
    guest.wait_for_console("GUEST-READY", BOOT);
    assert_eq!(libvirt.shutdown(guest.uuid).expect("it is asked"), Outcome::Changed);
    wait_for_event(&events, &guest, DomainEventKind::Stopped);
    assert_eq!(libvirt.shutdown(guest.uuid).expect("it is off"), Outcome::AlreadySo);
    let versions = libvirt.versions().expect("it has versions");
    assert!(versions.qemu.contains('.') && versions.libvirt.contains('.'), "{versions:?}");
}

fn wait_for_event(events: &Receiver<DomainEvent>, guest: &Guest, kind: DomainEventKind) {
    let deadline = Instant::now() + BOOT;
    loop {
        let event = events.recv_timeout(deadline - Instant::now()).expect("the event comes");
        assert_eq!((event.uuid, event.name.as_str()), (guest.uuid, "web01"));
        if event.kind == kind {
            return;
        }
    }
}

/// The guest's XML with its disk opened by a fresh secret, and that secret.
fn encrypted(guest: &Guest, passphrase: &str) -> (DomainXml, DiskSecret) {
    let path = guest.disk_path("vda");
    let uuid = Uuid::new_v4();
    let xml = DomainXml::parse(&guest.xml()).expect("it is valid");
    let xml = xml.with_disk_source("vda", &path, &DiskFormat::Qcow2.to_string(), Some(uuid)).expect("vda is a file");
    let value = SecretBytes::take_from(passphrase.as_bytes().to_vec());
    (xml, DiskSecret { uuid, path: path.display().to_string(), value })
}

/// QEMU measures the processor's time to choose the rounds, which fails now and then on virtual machines.
fn make_luks_disk(path: &Path) {
    let secret = format!("secret,id=s,data={PASSPHRASE}");
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let path = path.display().to_string();
    let args = ["create", "-q", "-f", "qcow2", "--object", &secret, "-o", options, &path, "64M"];
    let made = || (try_run("qemu-img", args).code == Some(0)).then_some(());
    eventually(BOOT, made, || "qemu-img makes no LUKS disk".to_owned());
}
