//! Providers as the API shows them.

use std::{collections::BTreeMap, sync::Arc};

use cadenas_api::{KeyAlarm, KeyVersion, KnownCopy, Problem, Provider, ProviderState, ProviderUser, UserKind, Vm};
use cadenas_keys::{KeyId, ProviderId};

use super::{
    model::{Catalog, KindRecord, NativeRecord, ProviderRecord, VersionRecord},
    push::{Push, fits_hardware},
};
use crate::{
    copies,
    core::Core,
    kms::{self, Keks, StandardRecord},
    templates,
};

/// Every provider, by name.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<Provider>, Problem> {
    list_with(core, core.host.vms().await.as_deref()).await
}

/// Every provider, by name, with the host's VMs, or why they are not known.
pub(crate) async fn list_with(core: &Arc<Core>, vms: Result<&[Vm], &Problem>) -> Result<Vec<Provider>, Problem> {
    let (catalog, keks) = (core.catalog().await?, kms::all(core).await?);
    let mut providers: Vec<_> =
        catalog.providers.values().map(|record| view(core, &catalog, record, vms, &keks)).collect();
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(providers)
}

/// One provider, by name or ID, with all that needs it.
pub(crate) async fn show(core: &Arc<Core>, provider: &str) -> Result<Provider, Problem> {
    let (catalog, keks) = (core.catalog().await?, kms::all(core).await?);
    let (record, vms) = (catalog.find(provider)?, core.host.vms().await);
    let mut view = view(core, &catalog, record, vms.as_deref(), &keks);
    view.users = users(core, record.id, vms.as_deref().unwrap_or_default()).await?;
    let unknown = vms.iter().flatten().filter(|vm| !vm.keys_are_known());
    let doubts = unknown.map(|vm| format!("whether VM {} needs it is not known: {}", vm.name, doubt(vm)));
    let reasons: Vec<_> = view.reason.take().into_iter().chain(doubts).collect();
    view.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    Ok(view)
}

fn doubt(vm: &Vm) -> &str {
    vm.problem.as_ref().map_or("its home cannot be read", |problem| &problem.detail)
}

/// A provider as it stands in `catalog`, with the hosts' VMs, or why they are not known.
pub(super) fn view(
    core: &Core,
    catalog: &Catalog,
    record: &ProviderRecord,
    vms: Result<&[Vm], &Problem>,
    keks: &Keks,
) -> Provider {
    let (state, reason) = state_now(core, record);
    let unknown = vms.err().map(|problem| format!("how many VMs use it is not known: {}", problem.detail));
    let reasons: Vec<String> = reason.into_iter().chain(unknown).collect();
    let native = record.as_native().ok();
    let versions =
        native.iter().flat_map(|native| native.versions.iter().rev().map(|version| key_version(native, version)));
    Provider {
        id: record.id,
        name: record.name.clone(),
        kind: record.provider_kind(),
        state,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        default: catalog.default == Some(record.id),
        tpm_required: native.is_some_and(|native| native.tpm_required),
        key: native.and_then(NativeRecord::current).map(|version| version.id),
        versions: versions.collect(),
        kms: record.as_standard().ok().map(StandardRecord::view),
        rotation: record.rotation_view(),
        alarms: alarms(record, vms.unwrap_or_default(), keks),
        users: vec![],
        vms: vms.map_or(0, |vms| count(record, vms)),
        created: record.created,
    }
}

/// Everything that needs a provider: VMs, templates, and the copies that are known.
pub(super) async fn users(core: &Arc<Core>, provider: ProviderId, vms: &[Vm]) -> Result<Vec<ProviderUser>, Problem> {
    let templates = templates::all(core).await?;
    let of_vm = |vm: &Vm| {
        let kind = if templates.contains(&vm.id) { UserKind::Template } else { UserKind::Vm };
        let keys = vm.providers.iter().filter(|used| used.id == provider).map(|used| used.key);
        ProviderUser { kind, vm: vm.id, name: vm.name.clone(), path: None, keys: keys.collect() }
    };
    let of_copy = |copy: KnownCopy| {
        let keys = copy.keys.iter().filter(|needed| needed.provider == provider).map(|needed| needed.key).collect();
        let path = Some(copy.path.display().to_string());
        ProviderUser { kind: UserKind::Copy, vm: copy.vm, name: copy.name, path, keys }
    };
    let copies = copies::list(core).await?;
    let mut users: Vec<_> = vms.iter().map(of_vm).chain(copies.into_iter().map(of_copy)).collect();
    users.retain(|user| !user.keys.is_empty());
    users.sort_by(|one, other| (one.kind, &one.name, &one.path).cmp(&(other.kind, &other.name, &other.path)));
    Ok(users)
}

/// The keys in use that must not be used any more.
fn alarms(record: &ProviderRecord, vms: &[Vm], keks: &Keks) -> Vec<KeyAlarm> {
    let mut alarms: BTreeMap<KeyId, KeyAlarm> = BTreeMap::new();
    for vm in vms {
        for used in vm.providers.iter().filter(|used| used.id == record.id) {
            if let Some(alarm) = alarm(record, used.key, keks) {
                alarms.entry(used.key).or_insert(alarm).vms.push(vm.name.clone());
            }
        }
    }
    alarms.into_values().collect()
}

fn alarm(record: &ProviderRecord, key: KeyId, keks: &Keks) -> Option<KeyAlarm> {
    match &record.kind {
        KindRecord::Native(native) => {
            let compromised = native.version(key)?.compromised.is_some();
            compromised.then_some(KeyAlarm { key, kms_key: None, state: None, vms: vec![] })
        }
        KindRecord::Standard(_) => {
            let kek = keks.get(&(record.id, key)).filter(|kek| !kek.is_usable())?;
            Some(KeyAlarm { key, kms_key: Some(kek.kms_key.clone()), state: Some(kek.state), vms: vec![] })
        }
    }
}

/// Whether the provider can encrypt now, and why not or what is still to do.
pub(crate) fn state_now(core: &Core, record: &ProviderRecord) -> (ProviderState, Option<String>) {
    match &record.kind {
        KindRecord::Native(native) => native_state(core, record, native, &core.pushes.of(record.id)),
        KindRecord::Standard(standard) => standard_state(core, record, standard),
    }
}

fn standard_state(core: &Core, record: &ProviderRecord, standard: &StandardRecord) -> (ProviderState, Option<String>) {
    if standard.trust.is_none() {
        let reason =
            format!("its key servers' certificates are not trusted yet; run `cadenas provider trust {}`", record.name);
        return (ProviderState::NotTrusted, Some(reason));
    }
    match core.clusters.failure(record.id) {
        Some(failure) => (ProviderState::Degraded, Some(failure)),
        None => (ProviderState::Active, None),
    }
}

fn native_state(
    core: &Core,
    record: &ProviderRecord,
    native: &NativeRecord,
    push: &Push,
) -> (ProviderState, Option<String>) {
    let Some(current) = native.current() else {
        return no_current_key(core, record, native);
    };
    if !fits_hardware(core, native) {
        return (ProviderState::Degraded, Some(needs_tpm(core)));
    }
    match &push.failure {
        Some(failure) => (ProviderState::Degraded, Some(format!("the host does not take its keys: {failure}"))),
        None if push.given.contains(&current.id) => (ProviderState::Active, newer_version(record, native)),
        None => (ProviderState::Pushing, Some("the host is being given its keys".to_owned())),
    }
}

fn no_current_key(core: &Core, record: &ProviderRecord, native: &NativeRecord) -> (ProviderState, Option<String>) {
    if native.newest().compromised.is_some() {
        let reason = format!("its key is compromised; run `cadenas provider rotate {}`", record.name);
        return (ProviderState::Degraded, Some(reason));
    }
    let tpm = if fits_hardware(core, native) { String::new() } else { format!("; {}", needs_tpm(core)) };
    let reason = format!("it is in no backup; run `cadenas provider backup {} --out FILE.p12`{tpm}", record.name);
    (ProviderState::NotBackedUp, Some(reason))
}

fn needs_tpm(core: &Core) -> String {
    format!(
        "it is for hosts whose TPM 2.0 seals the keys, and here they are sealed by the {}; restore its backup in a new \
         data folder with `cadenas serve --seal tpm`, or make a provider without `--tpm-required`",
        core.seal.description()
    )
}

/// What is to be done about a version that does not encrypt yet.
fn newer_version(record: &ProviderRecord, native: &NativeRecord) -> Option<String> {
    let newest = native.newest();
    newest.backup.is_none().then(|| {
        let (name, id) = (&record.name, newest.id);
        format!("its new key {id} encrypts once it is backed up; run `cadenas provider backup {name} --out FILE.p12`")
    })
}

fn key_version(native: &NativeRecord, version: &VersionRecord) -> KeyVersion {
    KeyVersion {
        id: version.id,
        fingerprint: version.fingerprint,
        state: native.state_of(version),
        created: version.created,
        backed_up: version.backup.map(|proof| proof.at),
        backup_has_password: version.backup.map(|proof| proof.has_password),
    }
}

fn count(record: &ProviderRecord, vms: &[Vm]) -> u64 {
    let count = vms.iter().filter(|vm| vm.providers.iter().any(|used| used.id == record.id)).count();
    u64::try_from(count).expect("no machine has 2^64 VMs")
}
