//! The real hypervisor: QEMU through libvirt.

mod connection;
mod secrets;

use std::sync::mpsc::Receiver;

use uuid::Uuid;
use virt::{
    connect::Connect,
    domain::{Domain, DomainState},
    error::{Error, ErrorNumber},
    sys,
};

use crate::{
    DiskSecret, DomainEvent, DomainSummary, DomainXml, Hypervisor, HypervisorError, Outcome, PowerState, Versions, ffi,
};
use connection::{Connection, Subject};
use secrets::OneTimeSecrets;

/// QEMU through libvirt.
///
/// The connection is made at the first call, and again whenever it broke. libvirt's own messages go into the errors
/// here and nowhere else.
pub struct Libvirt {
    connection: Connection,
}

impl Libvirt {
    /// The libvirt at `uri`, as `qemu:///system`. Nothing is contacted yet.
    pub fn new(uri: &str) -> Result<Self, HypervisorError> {
        Ok(Self { connection: Connection::new(uri)? })
    }

    /// The URI that it was made with.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.connection.uri()
    }

    /// Runs `call` on a domain that must be there.
    fn on_domain<T>(
        &self,
        operation: &'static str,
        uuid: Uuid,
        call: impl Fn(&Domain) -> Result<T, Error>,
    ) -> Result<T, HypervisorError> {
        self.connection.call(operation, Subject::Domain(uuid), |connect| call(&connect.lookup_domain_by_uuid(uuid)?))
    }

    /// Runs `call` on a domain; one that is not there is as the call would leave it.
    fn on_domain_if_there(
        &self,
        operation: &'static str,
        uuid: Uuid,
        call: impl Fn(&Domain) -> Result<Outcome, Error>,
    ) -> Result<Outcome, HypervisorError> {
        self.connection.call(operation, Subject::Domain(uuid), |connect| {
            absent_is_none(connect.lookup_domain_by_uuid(uuid).and_then(|domain| call(&domain)))
                .map(|outcome| outcome.unwrap_or(Outcome::AlreadySo))
        })
    }
}

impl Hypervisor for Libvirt {
    fn domains(&self) -> Result<Vec<DomainSummary>, HypervisorError> {
        self.connection.call("list", Subject::Other("the domains"), |connect| {
            let domains = connect.list_all_domains(0)?;
            // A domain can go while it is being looked at.
            domains.iter().filter_map(|domain| absent_is_none(summary(domain)).transpose()).collect()
        })
    }

    fn domain(&self, uuid: Uuid) -> Result<Option<DomainSummary>, HypervisorError> {
        self.connection.call("look up", Subject::Domain(uuid), |connect| {
            absent_is_none(connect.lookup_domain_by_uuid(uuid).and_then(|domain| summary(&domain)))
        })
    }

    fn definition(&self, uuid: Uuid) -> Result<String, HypervisorError> {
        self.on_domain("read the definition of", uuid, |domain| {
            domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE)
        })
    }

    fn define(&self, xml: &str, autostart: bool) -> Result<(), HypervisorError> {
        let name = name_in(xml, "define")?;
        self.connection.call("define", Subject::Name(&name), |connect| {
            let domain = connect.define_domain_xml(xml)?;
            if domain.autostart()? == autostart { Ok(()) } else { domain.set_autostart(autostart) }
        })
    }

    fn undefine(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        self.on_domain_if_there("undefine", uuid, |domain| unless(!domain.is_persistent()?, || domain.undefine()))
    }

    fn snapshots(&self, uuid: Uuid) -> Result<u32, HypervisorError> {
        self.on_domain("count the snapshots of", uuid, |domain| {
            Ok(domain.num_snapshots(0)?.saturating_add(ffi::checkpoint_count(domain)?))
        })
    }

    fn start_transient(&self, xml: &str, secrets: &[DiskSecret], paused: bool) -> Result<(), HypervisorError> {
        let name = name_in(xml, "start")?;
        // libvirt hands the passphrases to QEMU while it creates the domain, and needs the secrets for nothing else.
        let _until_the_end = OneTimeSecrets::define(&self.connection, secrets, &name)?;
        let flags = if paused { sys::VIR_DOMAIN_START_PAUSED } else { sys::VIR_DOMAIN_NONE };
        self.connection
            .call_once("start", Subject::Name(&name), |connect| connect.create_domain_xml(xml, flags).map(drop))
    }

    fn resume(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        self.on_domain("resume", uuid, |domain| unless(power_state(domain)? == PowerState::Running, || domain.resume()))
    }

    fn start(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        self.on_domain("start", uuid, |domain| unless(domain.is_active()?, || domain.create()))
    }

    fn shutdown(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        self.on_domain_if_there("shut down", uuid, |domain| unless(!domain.is_active()?, || domain.shutdown()))
    }

    fn destroy(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        self.on_domain_if_there("switch off", uuid, |domain| unless(!domain.is_active()?, || domain.destroy()))
    }

    fn events(&self) -> Receiver<DomainEvent> {
        self.connection.subscribe()
    }

    fn versions(&self) -> Result<Versions, HypervisorError> {
        self.connection.call("read the versions of", Subject::Other("the hypervisor"), |connect| {
            Ok(Versions { libvirt: dotted(connect.lib_version()?), qemu: dotted(connect.hyp_version()?) })
        })
    }

    fn host_name(&self) -> Result<String, HypervisorError> {
        self.connection.call("read the name of", Subject::Other("the host"), Connect::hostname)
    }
}

/// libvirt reports an inactive domain that was undefined meanwhile, or never was, in the same way.
fn absent_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        other => other.map(Some),
    }
}

fn unless(already: bool, change: impl FnOnce() -> Result<(), Error>) -> Result<Outcome, Error> {
    if already { Ok(Outcome::AlreadySo) } else { change().map(|()| Outcome::Changed) }
}

fn summary(domain: &Domain) -> Result<DomainSummary, Error> {
    let persistent = domain.is_persistent()?;
    Ok(DomainSummary {
        uuid: domain.uuid()?,
        name: domain.name()?,
        state: power_state(domain)?,
        persistent,
        autostart: persistent && domain.autostart()?,
        has_managed_save: persistent && domain.has_managed_save(0)?,
    })
}

fn power_state(domain: &Domain) -> Result<PowerState, Error> {
    let (state, _reason) = domain.state()?;
    Ok(match state.unwrap_or(DomainState::NoState) {
        DomainState::Running | DomainState::Blocked => PowerState::Running,
        DomainState::Paused => PowerState::Paused,
        DomainState::Shutoff => PowerState::Off,
        DomainState::Shutdown => PowerState::Other("shutting down"),
        DomainState::Crashed => PowerState::Other("crashed"),
        DomainState::PMSuspended => PowerState::Other("asleep"),
        DomainState::NoState => PowerState::Other("unknown"),
    })
}

/// The domain's name for messages, from XML that libvirt is about to read.
fn name_in(xml: &str, operation: &'static str) -> Result<String, HypervisorError> {
    DomainXml::parse(xml).map(|xml| xml.name().to_owned()).map_err(|source| HypervisorError::Failed {
        operation,
        domain: "a domain".to_owned(),
        source: Box::new(source),
    })
}

/// libvirt counts a version as major × 1,000,000 + minor × 1,000 + release.
fn dotted(version: u32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000)
}

#[cfg(test)]
mod tests;
