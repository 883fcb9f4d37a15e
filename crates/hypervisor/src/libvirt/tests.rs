//! Against libvirt's own test driver, which lives in the library. The real daemon is met in the end-to-end tests.

use std::time::{Duration, Instant};

use super::*;
use crate::DomainEventKind;

const UUID: Uuid = Uuid::from_u128(0xcade_0001);

/// A hypervisor of its own for each test: the driver shares what `test:///default` holds within the process.
fn hypervisor() -> (Libvirt, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.xml");
    std::fs::write(&file, "<node/>").unwrap();
    (Libvirt::new(&format!("test://{}", file.display())).unwrap(), folder)
}

fn xml(name: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><uuid>{UUID}</uuid><memory>1024</memory>\
         <os><type>hvm</type></os></domain>"
    )
}

#[test]
fn a_domain_is_defined_started_stopped_and_undefined_repeatably() {
    let (libvirt, _folder) = hypervisor();
    assert_eq!(libvirt.domain(UUID).unwrap(), None);
    libvirt.define(&xml("a"), true).unwrap();
    libvirt.define(&xml("a"), true).unwrap();
    let domain = libvirt.domain(UUID).unwrap().unwrap();
    assert!(domain.persistent && domain.autostart && domain.state.is_off() && !domain.has_managed_save);
    assert_eq!(libvirt.start(UUID).unwrap(), Outcome::Changed);
    assert_eq!(libvirt.start(UUID).unwrap(), Outcome::AlreadySo);
    assert_eq!(libvirt.resume(UUID).unwrap(), Outcome::AlreadySo);
    assert_eq!(libvirt.domains().unwrap()[0].state, PowerState::Running);
    assert_eq!(libvirt.destroy(UUID).unwrap(), Outcome::Changed);
    assert_eq!(libvirt.destroy(UUID).unwrap(), Outcome::AlreadySo);
    assert_eq!(libvirt.undefine(UUID).unwrap(), Outcome::Changed);
    assert_eq!(libvirt.undefine(UUID).unwrap(), Outcome::AlreadySo);
    assert_eq!(libvirt.shutdown(UUID).unwrap(), Outcome::AlreadySo);
}

#[test]
fn a_transient_domain_leaves_nothing() {
    let (libvirt, _folder) = hypervisor();
    libvirt.start_transient(&xml("a"), &[], false).unwrap();
    let domain = libvirt.domain(UUID).unwrap().unwrap();
    assert_eq!((domain.state, domain.persistent), (PowerState::Running, false));
    libvirt.destroy(UUID).unwrap();
    assert_eq!(libvirt.domain(UUID).unwrap(), None);
}

#[test]
fn a_missing_domain_is_named() {
    let (libvirt, _folder) = hypervisor();
    let error = libvirt.start(UUID).unwrap_err();
    assert!(matches!(error, HypervisorError::NoSuchDomain { operation: "start", uuid: UUID }), "{error:?}");
}

#[test]
fn what_libvirt_refuses_comes_back_in_its_own_words() {
    let (libvirt, _folder) = hypervisor();
    let error = libvirt.define(&xml("a").replace("hvm", "nonsense"), false).unwrap_err();
    assert_eq!(error.to_string(), "libvirt could not define domain a");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn events_arrive() {
    let (libvirt, _folder) = hypervisor();
    let events = libvirt.events();
    libvirt.define(&xml("a"), false).unwrap();
    let event = events.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(event, DomainEvent { uuid: UUID, name: "a".to_owned(), kind: DomainEventKind::Defined });
}

#[test]
fn a_daemon_that_does_not_run_is_unreachable_at_once() {
    let libvirt = Libvirt::new("qemu+unix:///system?socket=/nonexistent/libvirt-sock").unwrap();
    let begun = Instant::now();
    let error = libvirt.domains().unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.to_string().contains("check that its daemon runs"));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn versions_are_dotted() {
    let (libvirt, _folder) = hypervisor();
    assert_eq!(dotted(9_000_000), "9.0.0");
    assert_eq!(dotted(7_002_022), "7.2.22");
    assert!(libvirt.versions().unwrap().libvirt.contains('.'));
    assert!(!libvirt.host_name().unwrap().is_empty());
}
