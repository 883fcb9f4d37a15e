//! Which keys ever wrapped a VM's data keys.
//!
//! A shallow re-encryption changes the wrapping, not the data keys: whoever has the old key and an old copy of the descriptor
//! opens the disks still. So each key that wrapped them is remembered until there are new data keys, and when one of them is
//! compromised the VM needs a deep re-encryption.

use std::{collections::BTreeMap, sync::Arc};

use cadenas_api::{Actor, CompromiseReport, ExposedVm, Problem, ProblemCode, Vm};
use cadenas_keys::{KeyId, ProviderId, VmId};
use cadenas_store::{Key, Prefix, Range, Record, StoreExt, Txn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    compromised,
    core::{Core, store_failed},
    events::{Draft, Written},
    kms,
    providers::Catalog,
    text::quoted,
};

const EXPOSURES: &str = "exposure";
/// Well below what a transaction takes.
const AT_ONCE: usize = 64;

/// The keys that wrapped one VM's data keys, and do no more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposureRecord {
    /// When these data keys were made: of later ones this says nothing.
    data_keys: Option<Timestamp>,
    keys: Vec<(ProviderId, KeyId)>,
}

impl Record for ExposureRecord {
    const VERSION: u32 = 1;
}

/// What is remembered, by VM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exposures(BTreeMap<VmId, ExposureRecord>);

impl Exposures {
    /// Every key that wraps `vm`'s data keys, or once did.
    pub(crate) fn keys_of<'a>(&'a self, vm: &'a Vm) -> impl Iterator<Item = (ProviderId, KeyId)> + 'a {
        let now = vm.providers.iter().map(|used| (used.id, used.key));
        now.chain(self.former(vm).iter().copied())
    }

    fn former(&self, vm: &Vm) -> &[(ProviderId, KeyId)] {
        let same = |record: &&ExposureRecord| record.data_keys == data_keys_made(vm);
        self.0.get(&vm.id).filter(same).map_or(&[], |record| &record.keys)
    }
}

/// Everything that is remembered.
pub(crate) async fn all(core: &Core) -> Result<Exposures, Problem> {
    let prefix: Prefix = EXPOSURES.parse().expect("a constant that is a key");
    let page = core.store.range_as::<ExposureRecord>(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
    let of_vm = |key: &Key| key.as_str().rsplit('/').next().and_then(|id| id.parse().ok());
    Ok(Exposures(page.items.into_iter().filter_map(|stored| Some((of_vm(&stored.key)?, stored.value))).collect()))
}

/// Every key that is known to have wrapped one VM's data keys, these or earlier ones, and does no more.
pub(crate) async fn former_keys(core: &Core, vm: VmId) -> Result<Vec<(ProviderId, KeyId)>, Problem> {
    let stored = core.store.get_as::<ExposureRecord>(&store_key(vm)).await.map_err(|error| store_failed(&error))?;
    Ok(stored.map(|stored| stored.value.keys).unwrap_or_default())
}

/// Remembers the present keys of VMs that are about to be wrapped under others. It comes before: at no moment is a key
/// forgotten that wrapped something.
pub(crate) async fn note<'a>(core: &Core, vms: impl Iterator<Item = &'a Vm>) -> Result<(), Problem> {
    let vms: Vec<&Vm> = vms.collect();
    for some in vms.chunks(AT_ONCE) {
        let mut txn = Txn::new();
        for vm in some {
            txn = with_note(core, txn, vm).await?;
        }
        let _: Written = core.commit(txn, vec![]).await?;
    }
    Ok(())
}

/// The transaction that also remembers `vm`'s present keys.
pub(crate) async fn with_note(core: &Core, txn: Txn, vm: &Vm) -> Result<Txn, Problem> {
    let key = store_key(vm.id);
    let stored = core.store.get_as::<ExposureRecord>(&key).await.map_err(|error| store_failed(&error))?;
    let known = stored.map(|stored| stored.value).unwrap_or_default();
    let noted = known.clone().with(vm);
    if noted == known { Ok(txn) } else { txn.put_as(key, &noted).map_err(|error| store_failed(&error)) }
}

impl ExposureRecord {
    fn with(mut self, vm: &Vm) -> Self {
        let made = data_keys_made(vm);
        if self.data_keys != made {
            self = Self { data_keys: made, keys: vec![] };
        }
        let new = vm.providers.iter().map(|used| (used.id, used.key)).filter(|key| !self.keys.contains(key));
        let new: Vec<_> = new.collect();
        self.keys.extend(new);
        self
    }
}

fn data_keys_made(vm: &Vm) -> Option<Timestamp> {
    vm.disks.iter().filter_map(|disk| disk.key_created).min()
}

/// Says that somebody else may have a key: it wraps nothing from now on. Tells what it opens.
pub(crate) async fn mark_compromised(core: &Arc<Core>, key: &str, by: &Actor) -> Result<CompromiseReport, Problem> {
    let key: KeyId = key.parse().map_err(|_| no_such_key(key))?;
    let provider = match native_owner(&core.catalog().await?, key) {
        Some(provider) => {
            core.change_catalog(|catalog| Ok(((), catalog.mark_compromised(provider, key, by)?))).await?;
            provider
        }
        None => mark_other(core, key, by).await?,
    };
    report(core, provider, key).await
}

fn native_owner(catalog: &Catalog, key: KeyId) -> Option<ProviderId> {
    let has = |record: &&crate::providers::ProviderRecord| {
        record.as_native().is_ok_and(|native| native.version(key).is_some())
    };
    catalog.providers.values().find(has).map(|record| record.id)
}

/// A KEK, or a key of a provider that is gone.
async fn mark_other(core: &Arc<Core>, key: KeyId, by: &Actor) -> Result<ProviderId, Problem> {
    let keks = kms::all(core).await?;
    if let Some(kek) = keks.values().find(|kek| kek.key == key) {
        kms::mark_compromised(core, kek, &marked(kek.provider, key).by(by)).await?;
        return Ok(kek.provider);
    }
    let (exposures, vms) = (all(core).await?, core.host.vms().await?);
    let provider = vms.iter().flat_map(|vm| exposures.keys_of(vm)).find(|(_, used)| *used == key);
    let (provider, _) = provider.ok_or_else(|| no_such_key(&key.to_string()))?;
    if !compromised::all(core).await?.contains(&(provider, key)) {
        compromised::remember(core, &[(provider, key)]).await?;
        core.record(vec![marked(provider, key).by(by)]).await;
    }
    Ok(provider)
}

impl Catalog {
    fn mark_compromised(&mut self, id: ProviderId, key: KeyId, by: &Actor) -> Result<Vec<Draft>, Problem> {
        let versions = &mut self.provider_mut(id)?.as_native_mut()?.versions;
        let version =
            versions.iter_mut().find(|version| version.id == key).ok_or_else(|| no_such_key(&key.to_string()))?;
        if version.compromised.is_some() {
            return Ok(vec![]);
        }
        version.compromised = Some(Timestamp::now());
        Ok(vec![marked(id, key).by(by)])
    }
}

fn marked(provider: ProviderId, key: KeyId) -> Draft {
    let message = format!("Alarm: key {key} was marked as compromised; it wraps nothing any more.");
    Draft::new("provider.key-compromised", message).provider(provider)
}

async fn report(core: &Core, provider: ProviderId, key: KeyId) -> Result<CompromiseReport, Problem> {
    let (catalog, exposures) = (core.catalog().await?, all(core).await?);
    let mut vms: Vec<ExposedVm> =
        core.host.vms().await?.iter().filter_map(|vm| exposed(&exposures, vm, (provider, key))).collect();
    vms.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(CompromiseReport { key, provider, provider_name: catalog.name_of(provider).map(ToString::to_string), vms })
}

fn exposed(exposures: &Exposures, vm: &Vm, key: (ProviderId, KeyId)) -> Option<ExposedVm> {
    exposures.keys_of(vm).any(|used| used == key).then(|| {
        let still = vm.providers.iter().any(|used| (used.id, used.key) == key);
        ExposedVm { vm: vm.id, name: vm.name.clone(), still }
    })
}

fn no_such_key(key: &str) -> Problem {
    Problem::new(ProblemCode::NoSuchKey, format!("no key provider here has a key {}", quoted(key)))
        .next("`cadenas provider show NAME` and `cadenas report keys` tell the keys.")
}

fn store_key(vm: VmId) -> Key {
    format!("{EXPOSURES}/{vm}").parse().expect("a UUID is allowed in keys")
}

#[cfg(test)]
mod tests {
    use cadenas_api::{Disk, Padlock, PowerState, ProviderRef};
    use cadenas_keys::Kdk;

    use super::*;

    fn vm(key: KeyId, data_keys: &str) -> Vm {
        let fingerprint = Kdk::generate().fingerprint();
        let id = ProviderId::random();
        let used = ProviderRef { id, name: None, key, fingerprint, kms_key: None, created: None, state: None };
        let disk = Disk {
            target: "vda".to_owned(),
            source: String::new(),
            format: "luks".to_owned(),
            size: None,
            encrypted: true,
            cipher: None,
            key_created: data_keys.parse().ok(),
        };
        Vm {
            id: VmId::random(),
            name: "web01".to_owned(),
            power: PowerState::Off,
            padlock: Padlock::Encrypted,
            policy: String::new(),
            providers: vec![used],
            home: None,
            disks: vec![disk],
            missing_keys: vec![],
            task: None,
            template: false,
            due: None,
            problem: None,
        }
    }

    #[test]
    fn keys_are_remembered_until_there_are_new_data_keys() {
        let old = vm(KeyId::random(), "2026-01-01T00:00:00Z");
        let record = ExposureRecord::default().with(&old).with(&old);
        assert_eq!(record.keys.len(), 1);
        let next = Vm { id: old.id, ..vm(KeyId::random(), "2026-01-01T00:00:00Z") };
        let exposures = Exposures([(old.id, record.clone())].into());
        assert_eq!(exposures.keys_of(&next).count(), 2);
        assert_eq!(record.clone().with(&next).keys.len(), 2);
        let deep = Vm { id: old.id, ..vm(KeyId::random(), "2026-02-01T00:00:00Z") };
        assert_eq!(exposures.keys_of(&deep).count(), 1);
        assert_eq!(record.with(&deep).keys, [(deep.providers[0].id, deep.providers[0].key)]);
    }
}
