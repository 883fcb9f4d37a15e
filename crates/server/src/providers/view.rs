//! Providers as the API shows them.

use std::sync::Arc;

use cadenas_api::{KeyVersion, Problem, Provider, ProviderKind, ProviderState, Vm};

use super::{
    model::{Catalog, ProviderRecord, VersionRecord},
    push::{Push, fits_hardware},
};
use crate::core::Core;

/// Every provider, by name.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<Provider>, Problem> {
    let catalog = core.catalog().await?;
    let vms = core.host.vms().await;
    let mut providers: Vec<_> =
        catalog.providers.values().map(|record| view(core, &catalog, record, vms.as_deref())).collect();
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(providers)
}

/// One provider, by name or ID.
pub(crate) async fn show(core: &Arc<Core>, provider: &str) -> Result<Provider, Problem> {
    let catalog = core.catalog().await?;
    let record = catalog.find(provider)?;
    Ok(view(core, &catalog, record, core.host.vms().await.as_deref()))
}

/// A provider as it stands in `catalog`, with the hosts' VMs, or why they are not known.
pub(super) fn view(core: &Core, catalog: &Catalog, record: &ProviderRecord, vms: Result<&[Vm], &Problem>) -> Provider {
    let (state, reason) = state_now(core, record);
    let unknown = vms.err().map(|problem| format!("how many VMs use it is not known: {}", problem.detail));
    let reasons: Vec<String> = reason.into_iter().chain(unknown).collect();
    Provider {
        id: record.id,
        name: record.name.clone(),
        kind: ProviderKind::Native,
        state,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        default: catalog.default == Some(record.id),
        tpm_required: record.tpm_required,
        key: record.current().map(|version| version.id),
        versions: record.versions.iter().rev().map(|version| key_version(record, version)).collect(),
        vms: vms.map_or(0, |vms| users(record, vms)),
        created: record.created,
    }
}

/// Whether the provider can encrypt now, and why not or what is still to do.
pub(crate) fn state_now(core: &Core, record: &ProviderRecord) -> (ProviderState, Option<String>) {
    state_of(core, record, &core.pushes.of(record.id))
}

fn state_of(core: &Core, record: &ProviderRecord, push: &Push) -> (ProviderState, Option<String>) {
    let Some(current) = record.current() else {
        let tpm = if fits_hardware(core, record) { String::new() } else { format!("; {}", needs_tpm(core)) };
        let reason = format!("it is in no backup; run `cadenas provider backup {} --out FILE.p12`{tpm}", record.name);
        return (ProviderState::NotBackedUp, Some(reason));
    };
    if !fits_hardware(core, record) {
        return (ProviderState::Degraded, Some(needs_tpm(core)));
    }
    match &push.failure {
        Some(failure) => (ProviderState::Degraded, Some(format!("the host does not take its keys: {failure}"))),
        None if push.given.contains(&current.id) => (ProviderState::Active, newer_version(record)),
        None => (ProviderState::Pushing, Some("the host is being given its keys".to_owned())),
    }
}

fn needs_tpm(core: &Core) -> String {
    format!(
        "it is for hosts whose TPM 2.0 seals the keys, and here they are sealed by the {}; restore its backup in a new \
         data folder with `cadenas serve --seal tpm`, or make a provider without `--tpm-required`",
        core.seal.description()
    )
}

/// What is to be done about a version that does not encrypt yet.
fn newer_version(record: &ProviderRecord) -> Option<String> {
    let newest = record.newest();
    newest.backup.is_none().then(|| {
        let (name, id) = (&record.name, newest.id);
        format!("its new key {id} encrypts once it is backed up; run `cadenas provider backup {name} --out FILE.p12`")
    })
}

fn key_version(record: &ProviderRecord, version: &VersionRecord) -> KeyVersion {
    KeyVersion {
        id: version.id,
        fingerprint: version.fingerprint,
        state: record.state_of(version),
        created: version.created,
        backed_up: version.backup.map(|proof| proof.at),
        backup_has_password: version.backup.map(|proof| proof.has_password),
    }
}

fn users(record: &ProviderRecord, vms: &[Vm]) -> u64 {
    let count = vms.iter().filter(|vm| vm.providers.iter().any(|used| used.id == record.id)).count();
    u64::try_from(count).expect("no machine has 2^64 VMs")
}
