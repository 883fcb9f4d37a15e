use cadenas_secret::SecretBytes;

use super::*;

const ID: Uuid = Uuid::from_u128(7);

fn xml(name: &str) -> String {
    format!("<domain><name>{name}</name><uuid>{ID}</uuid></domain>")
}

fn state_of(hypervisor: &MemoryHypervisor) -> Option<PowerState> {
    hypervisor.domain(ID).unwrap().map(|domain| domain.state)
}

#[test]
fn a_persistent_domain_lives_through_a_start_and_a_stop() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.define(&xml("a"), true).unwrap();
    hypervisor.define(&xml("a"), true).unwrap();
    assert_eq!(hypervisor.start(ID).unwrap(), Outcome::Changed);
    assert_eq!(hypervisor.start(ID).unwrap(), Outcome::AlreadySo);
    assert_eq!(hypervisor.shutdown(ID).unwrap(), Outcome::Changed);
    assert_eq!(hypervisor.destroy(ID).unwrap(), Outcome::AlreadySo);
    let domain = hypervisor.domain(ID).unwrap().unwrap();
    assert!(domain.state.is_off() && domain.persistent && domain.autostart);
    assert_eq!(hypervisor.undefine(ID).unwrap(), Outcome::Changed);
    assert_eq!(hypervisor.undefine(ID).unwrap(), Outcome::AlreadySo);
    assert!(hypervisor.domains().unwrap().is_empty());
}

#[test]
fn a_transient_domain_is_gone_once_it_stops() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.start_transient(&xml("a"), &[], true).unwrap();
    assert_eq!(state_of(&hypervisor), Some(PowerState::Paused));
    assert_eq!(hypervisor.resume(ID).unwrap(), Outcome::Changed);
    assert!(hypervisor.start_transient(&xml("a"), &[], false).is_err());
    hypervisor.guest_powers_off(ID);
    assert_eq!(state_of(&hypervisor), None);
    assert!(matches!(hypervisor.resume(ID), Err(HypervisorError::NoSuchDomain { .. })));
}

#[test]
fn a_running_domain_that_is_undefined_becomes_transient() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.define(&xml("a"), false).unwrap();
    hypervisor.start(ID).unwrap();
    hypervisor.undefine(ID).unwrap();
    assert!(!hypervisor.domain(ID).unwrap().unwrap().persistent);
    hypervisor.destroy(ID).unwrap();
    assert_eq!(state_of(&hypervisor), None);
}

#[test]
fn the_hook_sees_the_secrets_and_can_refuse_the_start() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.on_start(|start| {
        if start.secrets[0].value.equals(b"right") { Ok(()) } else { Err("wrong passphrase".to_owned()) }
    });
    let secret =
        |value: &[u8]| [DiskSecret { uuid: ID, path: "/a".to_owned(), value: SecretBytes::take_from(value.to_vec()) }];
    let refused = hypervisor.start_transient(&xml("a"), &secret(b"wrong"), false).unwrap_err();
    assert_eq!(std::error::Error::source(&refused).unwrap().to_string(), "wrong passphrase");
    assert_eq!(state_of(&hypervisor), None);
    hypervisor.start_transient(&xml("a"), &secret(b"right"), false).unwrap();
    assert_eq!(hypervisor.live_xml(ID).unwrap().name(), "a");
}

#[test]
fn a_call_fails_once_and_changes_nothing() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.fail_next(Call::Define, "out of memory");
    assert!(hypervisor.define(&xml("a"), false).is_err());
    assert_eq!(state_of(&hypervisor), None);
    hypervisor.define(&xml("a"), false).unwrap();
    hypervisor.set_reachable(false);
    assert!(hypervisor.domains().unwrap_err().is_unreachable());
    hypervisor.set_reachable(true);
    assert_eq!(hypervisor.domains().unwrap().len(), 1);
}

#[test]
fn a_name_belongs_to_one_uuid() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.define(&xml("a"), false).unwrap();
    assert!(hypervisor.define(&xml("b"), false).is_err());
    assert!(hypervisor.define(&xml("a").replace("07<", "08<"), false).is_err());
}

#[test]
fn saved_memory_and_snapshots_keep_a_definition() {
    let hypervisor = MemoryHypervisor::new();
    hypervisor.define(&xml("a"), false).unwrap();
    hypervisor.set_snapshots(ID, 2);
    assert_eq!(hypervisor.snapshots(ID).unwrap(), 2);
    assert!(hypervisor.undefine(ID).is_err());
    hypervisor.set_snapshots(ID, 0);
    hypervisor.set_managed_save(ID, true);
    assert!(hypervisor.undefine(ID).is_err());
}

#[test]
fn events_tell_what_happened() {
    use DomainEventKind::{Defined, Resumed, Started, Stopped};
    let hypervisor = MemoryHypervisor::new();
    let events = hypervisor.events();
    hypervisor.define(&xml("a"), false).unwrap();
    hypervisor.start(ID).unwrap();
    hypervisor.set_ignores_shutdown(true);
    hypervisor.shutdown(ID).unwrap();
    hypervisor.set_state(ID, PowerState::Paused);
    hypervisor.destroy(ID).unwrap();
    let kinds: Vec<_> = events.try_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Defined, Started, Resumed, Stopped]);
}
