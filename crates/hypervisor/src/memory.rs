//! The hypervisor's twin in memory, for tests of what is built on the trait.
//!
//! It keeps libvirt's rules of definitions, power states and secrets, and lets a test make calls fail, switch the guest,
//! and look at what a start was given.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Receiver},
};

use uuid::Uuid;

use crate::{
    DiskSecret, DomainEvent, DomainEventKind, DomainSummary, DomainXml, Hypervisor, HypervisorError, Outcome,
    PowerState, Versions, events::Listeners,
};

/// A call of the trait that a test can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Call {
    Domains,
    Domain,
    Definition,
    Define,
    Undefine,
    Snapshots,
    StartTransient,
    Resume,
    Start,
    Shutdown,
    Destroy,
}

/// What a start was given.
#[derive(Debug)]
pub struct StartRequest<'a> {
    /// The domain's XML.
    pub xml: &'a DomainXml,
    /// The secrets; none when a persistent domain was started.
    pub secrets: &'a [DiskSecret],
    /// Whether the guest stays paused.
    pub paused: bool,
}

type StartHook = Arc<dyn Fn(&StartRequest<'_>) -> Result<(), String> + Send + Sync>;

/// A host's hypervisor, in memory.
#[derive(Default)]
pub struct MemoryHypervisor {
    state: Mutex<State>,
    listeners: Listeners,
}

#[derive(Default)]
struct State {
    domains: BTreeMap<Uuid, Domain>,
    failures: Vec<(Call, String)>,
    start_hook: Option<StartHook>,
    unreachable: bool,
    ignores_shutdown: bool,
}

struct Domain {
    /// What the next start takes, if persistent.
    definition: Option<DomainXml>,
    /// What runs.
    live: Option<DomainXml>,
    state: PowerState,
    autostart: bool,
    has_managed_save: bool,
    snapshots: u32,
}

impl MemoryHypervisor {
    /// One without domains.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next such call fail with this message, and change nothing.
    pub fn fail_next(&self, call: Call, message: &str) {
        self.state().failures.push((call, message.to_owned()));
    }

    /// Makes every call fail as if libvirt were stopped, until it is reachable again.
    pub fn set_reachable(&self, reachable: bool) {
        self.state().unreachable = !reachable;
    }

    /// Calls `hook` at every start, as QEMU would open the disks; what it refuses does not start.
    pub fn on_start(&self, hook: impl Fn(&StartRequest<'_>) -> Result<(), String> + Send + Sync + 'static) {
        self.state().start_hook = Some(Arc::new(hook));
    }

    /// Lets guests ignore or obey [`Hypervisor::shutdown`], which they obey at once unless told so.
    pub fn set_ignores_shutdown(&self, ignores: bool) {
        self.state().ignores_shutdown = ignores;
    }

    /// The guest switches itself off.
    pub fn guest_powers_off(&self, uuid: Uuid) {
        self.stop(uuid);
    }

    /// Sets how many snapshots a domain has.
    pub fn set_snapshots(&self, uuid: Uuid, count: u32) {
        self.edit(uuid, |domain| domain.snapshots = count);
    }

    /// Sets whether a domain's memory was saved.
    pub fn set_managed_save(&self, uuid: Uuid, saved: bool) {
        self.edit(uuid, |domain| domain.has_managed_save = saved);
    }

    /// Sets the power state of a domain that runs.
    pub fn set_state(&self, uuid: Uuid, state: PowerState) {
        self.edit(uuid, |domain| domain.state = state);
    }

    /// The XML that a domain runs with, if it runs.
    #[must_use]
    pub fn live_xml(&self, uuid: Uuid) -> Option<DomainXml> {
        self.state().domains.get(&uuid)?.live.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for one call, unless the test wants that call to fail.
    fn enter(&self, call: Call, domain: impl fmt::Display) -> Result<MutexGuard<'_, State>, HypervisorError> {
        let mut state = self.state();
        if state.unreachable {
            return Err(HypervisorError::Unreachable { uri: "memory:///".to_owned(), source: "it is stopped".into() });
        }
        match state.failures.iter().position(|(failing, _)| *failing == call) {
            Some(index) => Err(failed(call, domain, state.failures.remove(index).1)),
            None => Ok(state),
        }
    }

    fn edit(&self, uuid: Uuid, change: impl FnOnce(&mut Domain)) {
        change(self.state().domains.get_mut(&uuid).expect("the test named a domain that is there"));
    }

    fn tell(&self, uuid: Uuid, name: &str, kind: DomainEventKind) {
        self.listeners.tell(&DomainEvent { uuid, name: name.to_owned(), kind });
    }

    fn stop(&self, uuid: Uuid) -> Outcome {
        let mut state = self.state();
        let Some(domain) = state.domains.get_mut(&uuid) else { return Outcome::AlreadySo };
        let Some(live) = domain.live.take() else { return Outcome::AlreadySo };
        domain.state = PowerState::Off;
        if domain.definition.is_none() {
            state.domains.remove(&uuid);
        }
        drop(state);
        self.tell(uuid, live.name(), DomainEventKind::Stopped);
        Outcome::Changed
    }

    /// Runs the hook without the lock, so that it may look at this hypervisor.
    fn run_hook(&self, call: Call, request: &StartRequest<'_>) -> Result<(), HypervisorError> {
        let hook = self.state().start_hook.clone();
        hook.map_or(Ok(()), |hook| hook(request)).map_err(|message| failed(call, request.xml.name(), message))
    }

    fn goes_live(&self, xml: DomainXml, paused: bool) {
        let (uuid, name) = (xml.uuid(), xml.name().to_owned());
        let mut state = self.state();
        let domain = state.domains.entry(uuid).or_insert_with(Domain::new);
        domain.state = if paused { PowerState::Paused } else { PowerState::Running };
        domain.live = Some(xml);
        domain.has_managed_save = false;
        drop(state);
        self.tell(uuid, &name, DomainEventKind::Started);
        if !paused {
            self.tell(uuid, &name, DomainEventKind::Resumed);
        }
    }
}

impl Hypervisor for MemoryHypervisor {
    fn domains(&self) -> Result<Vec<DomainSummary>, HypervisorError> {
        let state = self.enter(Call::Domains, "the domains")?;
        Ok(state.domains.iter().map(|(uuid, domain)| domain.summary(*uuid)).collect())
    }

    fn domain(&self, uuid: Uuid) -> Result<Option<DomainSummary>, HypervisorError> {
        let state = self.enter(Call::Domain, uuid)?;
        Ok(state.domains.get(&uuid).map(|domain| domain.summary(uuid)))
    }

    fn definition(&self, uuid: Uuid) -> Result<String, HypervisorError> {
        let state = self.enter(Call::Definition, uuid)?;
        Ok(state.known(Call::Definition, uuid)?.next_xml().as_str().to_owned())
    }

    fn define(&self, xml: &str, autostart: bool) -> Result<(), HypervisorError> {
        let xml = parsed(Call::Define, xml)?;
        let (uuid, name) = (xml.uuid(), xml.name().to_owned());
        let mut state = self.enter(Call::Define, &name)?;
        state.refuse_clash(Call::Define, &xml)?;
        let domain = state.domains.entry(uuid).or_insert_with(Domain::new);
        domain.definition = Some(xml);
        domain.autostart = autostart;
        drop(state);
        self.tell(uuid, &name, DomainEventKind::Defined);
        Ok(())
    }

    fn undefine(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        let mut state = self.enter(Call::Undefine, uuid)?;
        let Some(domain) = state.domains.get_mut(&uuid) else { return Ok(Outcome::AlreadySo) };
        if domain.definition.is_some() && domain.has_managed_save {
            return Err(failed(Call::Undefine, uuid, "Refusing to undefine while domain managed save image exists"));
        }
        if domain.definition.is_some() && domain.snapshots > 0 {
            return Err(failed(Call::Undefine, uuid, "cannot delete inactive domain with snapshots"));
        }
        let Some(definition) = domain.definition.take() else { return Ok(Outcome::AlreadySo) };
        domain.autostart = false;
        if domain.live.is_none() {
            state.domains.remove(&uuid);
        }
        drop(state);
        self.tell(uuid, definition.name(), DomainEventKind::Undefined);
        Ok(Outcome::Changed)
    }

    fn snapshots(&self, uuid: Uuid) -> Result<u32, HypervisorError> {
        let state = self.enter(Call::Snapshots, uuid)?;
        Ok(state.known(Call::Snapshots, uuid)?.snapshots)
    }

    fn start_transient(&self, xml: &str, secrets: &[DiskSecret], paused: bool) -> Result<(), HypervisorError> {
        let xml = parsed(Call::StartTransient, xml)?;
        let state = self.enter(Call::StartTransient, xml.name())?;
        state.refuse_clash(Call::StartTransient, &xml)?;
        if state.domains.get(&xml.uuid()).is_some_and(|domain| domain.live.is_some()) {
            return Err(failed(Call::StartTransient, xml.name(), "domain is already active"));
        }
        drop(state);
        self.run_hook(Call::StartTransient, &StartRequest { xml: &xml, secrets, paused })?;
        self.goes_live(xml, paused);
        Ok(())
    }

    fn resume(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        let mut state = self.enter(Call::Resume, uuid)?;
        let domain = state.known_mut(Call::Resume, uuid)?;
        let name = domain.next_xml().name().to_owned();
        match domain.state {
            PowerState::Running => return Ok(Outcome::AlreadySo),
            PowerState::Off => return Err(failed(Call::Resume, uuid, "domain is not running")),
            PowerState::Paused | PowerState::Other(_) => domain.state = PowerState::Running,
        }
        drop(state);
        self.tell(uuid, &name, DomainEventKind::Resumed);
        Ok(Outcome::Changed)
    }

    fn start(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        let state = self.enter(Call::Start, uuid)?;
        let domain = state.known(Call::Start, uuid)?;
        if domain.live.is_some() {
            return Ok(Outcome::AlreadySo);
        }
        let xml = domain.next_xml().clone();
        drop(state);
        self.run_hook(Call::Start, &StartRequest { xml: &xml, secrets: &[], paused: false })?;
        self.goes_live(xml, false);
        Ok(Outcome::Changed)
    }

    fn shutdown(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        let state = self.enter(Call::Shutdown, uuid)?;
        let ignores = state.ignores_shutdown;
        let runs = state.domains.get(&uuid).is_some_and(|domain| domain.live.is_some());
        drop(state);
        match (runs, ignores) {
            (false, _) => Ok(Outcome::AlreadySo),
            (true, true) => Ok(Outcome::Changed),
            (true, false) => Ok(self.stop(uuid)),
        }
    }

    fn destroy(&self, uuid: Uuid) -> Result<Outcome, HypervisorError> {
        drop(self.enter(Call::Destroy, uuid)?);
        Ok(self.stop(uuid))
    }

    fn events(&self) -> Receiver<DomainEvent> {
        self.listeners.subscribe()
    }

    fn versions(&self) -> Result<Versions, HypervisorError> {
        Ok(Versions { libvirt: "9.0.0".to_owned(), qemu: "7.2.0".to_owned() })
    }

    fn host_name(&self) -> Result<String, HypervisorError> {
        Ok("memory".to_owned())
    }
}

impl State {
    fn known(&self, call: Call, uuid: Uuid) -> Result<&Domain, HypervisorError> {
        self.domains.get(&uuid).ok_or(HypervisorError::NoSuchDomain { operation: verb(call), uuid })
    }

    fn known_mut(&mut self, call: Call, uuid: Uuid) -> Result<&mut Domain, HypervisorError> {
        self.domains.get_mut(&uuid).ok_or(HypervisorError::NoSuchDomain { operation: verb(call), uuid })
    }

    /// libvirt wants a name to belong to one UUID, and a UUID to one name.
    fn refuse_clash(&self, call: Call, xml: &DomainXml) -> Result<(), HypervisorError> {
        let clashes =
            self.domains.iter().any(|(uuid, domain)| (*uuid == xml.uuid()) != (domain.next_xml().name() == xml.name()));
        if clashes { Err(failed(call, xml.name(), "a domain of this name or UUID already exists")) } else { Ok(()) }
    }
}

impl Domain {
    /// Off and without a definition; whoever makes one gives it a definition or starts it.
    fn new() -> Self {
        Self {
            definition: None,
            live: None,
            state: PowerState::Off,
            autostart: false,
            has_managed_save: false,
            snapshots: 0,
        }
    }

    fn next_xml(&self) -> &DomainXml {
        self.definition.as_ref().or(self.live.as_ref()).expect("a domain is defined or runs")
    }

    fn summary(&self, uuid: Uuid) -> DomainSummary {
        DomainSummary {
            uuid,
            name: self.next_xml().name().to_owned(),
            state: self.state,
            persistent: self.definition.is_some(),
            autostart: self.autostart,
            has_managed_save: self.has_managed_save,
        }
    }
}

fn parsed(call: Call, xml: &str) -> Result<DomainXml, HypervisorError> {
    DomainXml::parse(xml).map_err(|source| HypervisorError::Failed {
        operation: verb(call),
        domain: "a domain".to_owned(),
        source: Box::new(source),
    })
}

fn failed(call: Call, domain: impl fmt::Display, message: impl Into<String>) -> HypervisorError {
    HypervisorError::Failed { operation: verb(call), domain: domain.to_string(), source: message.into().into() }
}

fn verb(call: Call) -> &'static str {
    match call {
        Call::Domains => "list",
        Call::Domain => "look up",
        Call::Definition => "read the definition of",
        Call::Define => "define",
        Call::Undefine => "undefine",
        Call::Snapshots => "count the snapshots of",
        Call::StartTransient | Call::Start => "start",
        Call::Resume => "resume",
        Call::Shutdown => "shut down",
        Call::Destroy => "switch off",
    }
}

#[cfg(test)]
mod tests;
