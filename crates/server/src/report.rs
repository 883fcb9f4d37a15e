//! Ages of keys, and what is due.

use std::{collections::BTreeSet, sync::Arc};

use cadenas_api::{KeyReport, KmsKeyState, Padlock, Problem, ProviderRef, RecryptDue, RecryptKind, Vm};
use cadenas_keys::{KeyId, ProviderId, VmId};
use jiff::Timestamp;

use crate::{
    compromised,
    core::Core,
    exposure::{self, Exposures},
    kms::{self, KekRecord, Keks},
    providers::{Catalog, KindRecord, ProviderRecord},
    templates,
};

/// What the server knows of keys and VMs beyond what a host tells.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) catalog: Catalog,
    pub(crate) keks: Keks,
    pub(crate) exposures: Exposures,
    pub(crate) compromised: BTreeSet<(ProviderId, KeyId)>,
    pub(crate) templates: BTreeSet<VmId>,
}

impl Known {
    /// All of it, as of now.
    pub(crate) async fn load(core: &Core) -> Result<Self, Problem> {
        Ok(Self {
            catalog: core.catalog().await?,
            keks: kms::all(core).await?,
            exposures: exposure::all(core).await?,
            compromised: compromised::all(core).await?,
            templates: templates::all(core).await?,
        })
    }

    /// Fills in what the host does not know of a VM.
    pub(crate) fn complete(&self, core: &Core, vm: &mut Vm) {
        for used in &mut vm.providers {
            used.name = self.catalog.name_of(used.id).map(ToString::to_string);
            (used.created, used.state) = (self.created(used), self.state(used));
        }
        vm.task = core.tasks.of(vm.id);
        vm.template = self.templates.contains(&vm.id);
        vm.due = self.due(vm, Timestamp::now());
    }

    fn record(&self, provider: ProviderId) -> Option<&ProviderRecord> {
        self.catalog.providers.get(&provider)
    }

    fn created(&self, used: &ProviderRef) -> Option<Timestamp> {
        match &self.record(used.id)?.kind {
            KindRecord::Native(native) => native.version(used.key).map(|version| version.created),
            KindRecord::Standard(_) => self.keks.get(&(used.id, used.key)).map(|kek| kek.created),
        }
    }

    fn state(&self, used: &ProviderRef) -> Option<KmsKeyState> {
        self.keks.get(&(used.id, used.key)).map(|kek| kek.state)
    }

    fn is_compromised(&self, (provider, key): (ProviderId, KeyId)) -> bool {
        let native = || {
            let native = self.record(provider)?.as_native().ok()?;
            native.version(key)?.compromised
        };
        let kek = || self.keks.get(&(provider, key)).is_some_and(KekRecord::is_compromised);
        native().is_some() || kek() || self.compromised.contains(&(provider, key))
    }

    /// The re-encryption that a VM should have.
    pub(crate) fn due(&self, vm: &Vm, now: Timestamp) -> Option<RecryptDue> {
        let deep = self.exposures.keys_of(vm).find(|key| self.is_compromised(*key)).map(|(_, key)| {
            let reason = format!("key {key}, which wraps its data keys or once did, is compromised");
            RecryptDue { kind: RecryptKind::Deep, reason }
        });
        deep.or_else(|| {
            let reason = vm.providers.iter().find_map(|used| self.shallow_reason(used, now))?;
            Some(RecryptDue { kind: RecryptKind::Shallow, reason })
        })
    }

    fn shallow_reason(&self, used: &ProviderRef, now: Timestamp) -> Option<String> {
        let record = self.record(used.id)?;
        if let Some(state) = self.state(used).filter(|state| *state != KmsKeyState::Active) {
            return Some(format!("its key is {state} in its key server"));
        }
        let current = record.as_native().ok().and_then(|native| native.current());
        if current.is_some_and(|current| current.id != used.key) {
            return Some(format!("{} has a newer key", record.name));
        }
        let created = self.created(used)?;
        if record.rotation.replaces(created) {
            return Some(format!("{} was rotated", record.name));
        }
        let days = record.rotation.every_days.filter(|_| record.rotation.is_overdue(created, now))?;
        Some(format!("its key is older than {days} days"))
    }
}

/// Every encrypted VM's keys, by VM.
pub(crate) async fn keys(core: &Arc<Core>) -> Result<Vec<KeyReport>, Problem> {
    let (known, now) = (Known::load(core).await?, Timestamp::now());
    let mut vms = core.host.vms().await?;
    vms.retain(|vm| vm.padlock != Padlock::None);
    vms.sort_by(|one, other| one.name.cmp(&other.name));
    for vm in &mut vms {
        known.complete(core, vm);
    }
    Ok(vms.iter().flat_map(|vm| vm.providers.iter().map(|used| row(&known, vm, used, now))).collect())
}

fn row(known: &Known, vm: &Vm, used: &ProviderRef, now: Timestamp) -> KeyReport {
    let dek_created = vm.disks.iter().filter_map(|disk| disk.key_created).min();
    let age = |created: Option<Timestamp>| created.map(|created| now.as_second() - created.as_second());
    KeyReport {
        vm: vm.id,
        name: vm.name.clone(),
        padlock: vm.padlock,
        provider: used.id,
        provider_name: used.name.clone(),
        kind: known.record(used.id).map(ProviderRecord::provider_kind),
        key: used.key,
        kms_key: used.kms_key.clone(),
        kek_created: used.created,
        kek_age_seconds: age(used.created),
        dek_created,
        dek_age_seconds: age(dek_created),
        due: vm.due.clone(),
    }
}
