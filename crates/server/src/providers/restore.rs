//! Bringing a provider back from a backup.

use std::{collections::BTreeSet, sync::Arc};

use cadenas_api::{
    Actor, Padlock, Problem, ProblemCode, ProviderName, ProviderState, RestoreRequest, RestoreResult, Restored, Vm,
};
use cadenas_keys::{Backup, KeyId, ProviderId};
use jiff::Timestamp;

use super::{
    create::default_clause,
    model::{BackupProof, Catalog, NativeRecord, ProviderRecord, VersionRecord},
    open_backup::{Proved, open},
    push, show,
    view::view,
};
use crate::{
    compromised,
    core::{Core, off_thread},
    events::Draft,
    features,
    kms::Keks,
    repair,
    text::listed,
};

/// A provider out of a backup file, sealed again for this server's store.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) proved: Proved,
    /// In the order of the file, the current one last; each counts as backed up, as the file has just proved.
    pub(super) versions: Vec<VersionRecord>,
}

/// Restores a provider, or says what that would do.
pub(crate) async fn restore(core: &Arc<Core>, request: RestoreRequest, by: &Actor) -> Result<RestoreResult, Problem> {
    features::require_native_key_provider(core).await?;
    let (backup, proved) = open(request.p12, request.password).await?;
    let seal = Arc::clone(&core.seal);
    let mut incoming = off_thread(move || Incoming::seal(&*seal, &backup, proved)).await?;
    incoming.mark(&compromised::all(core).await?);
    if request.dry_run {
        would_restore(core, &incoming, request.name.as_ref(), by).await
    } else {
        do_restore(core, &incoming, request.name.as_ref(), by).await
    }
}

async fn do_restore(
    core: &Arc<Core>,
    incoming: &Incoming,
    name: Option<&ProviderName>,
    by: &Actor,
) -> Result<RestoreResult, Problem> {
    let id = incoming.proved.provider;
    let locked_before = locked(&core.host.vms().await.unwrap_or_default());
    let outcome = core.change_catalog(|catalog| catalog.restore(incoming, name, by)).await?;
    push::give_keys(core, id).await?;
    repair::repair(core).await;
    let locked_after = locked(&core.host.vms().await.unwrap_or_default());
    let unlocked = locked_before.difference(&locked_after).cloned().collect();
    Ok(RestoreResult { provider: show(core, &id.to_string()).await?, outcome, dry_run: false, unlocked })
}

async fn would_restore(
    core: &Arc<Core>,
    incoming: &Incoming,
    name: Option<&ProviderName>,
    by: &Actor,
) -> Result<RestoreResult, Problem> {
    let mut catalog = core.catalog().await?;
    let (outcome, _) = catalog.restore(incoming, name, by)?;
    let vms = core.host.vms().await;
    let record = catalog.find(&incoming.proved.provider.to_string())?;
    let mut provider = view(core, &catalog, record, vms.as_deref(), &Keks::new());
    if provider.state == ProviderState::Pushing {
        (provider.state, provider.reason) = (ProviderState::Active, None);
    }
    let unlocked = match provider.state {
        ProviderState::Active => {
            vms.iter().flatten().filter(|vm| would_unlock(vm, record)).map(|vm| vm.name.clone()).collect()
        }
        _ => vec![],
    };
    Ok(RestoreResult { provider, outcome, dry_run: true, unlocked })
}

impl Incoming {
    fn seal(seal: &dyn crate::seal::Seal, backup: &Backup, proved: Proved) -> Result<Self, Problem> {
        let proof = BackupProof { at: Timestamp::now(), has_password: proved.has_password };
        let mut keys: Vec<_> = backup.keys.iter().collect();
        keys.sort_by_key(|key| key.id == backup.current);
        let versions = keys.into_iter().map(|key| {
            let created = parse_time(&key.created_at)?;
            let mut version = VersionRecord::seal(seal, backup.provider, key.id, &key.kdk, created)?;
            version.backup = Some(proof);
            Ok(version)
        });
        Ok(Self { versions: versions.collect::<Result<_, Problem>>()?, proved })
    }
}

impl Incoming {
    /// A key that was compromised when its provider was removed is so when it comes back.
    fn mark(&mut self, compromised: &BTreeSet<(ProviderId, KeyId)>) {
        let provider = self.proved.provider;
        for version in self.versions.iter_mut().filter(|version| compromised.contains(&(provider, version.id))) {
            version.compromised = Some(Timestamp::now());
        }
    }
}

impl Catalog {
    /// Adds the provider, or the versions of its key that are missing here.
    pub(super) fn restore(
        &mut self,
        incoming: &Incoming,
        name: Option<&ProviderName>,
        by: &Actor,
    ) -> Result<(Restored, Vec<Draft>), Problem> {
        if self.providers.contains_key(&incoming.proved.provider) {
            self.restore_known(incoming, name, by)
        } else {
            self.restore_new(incoming, name, by)
        }
    }

    fn restore_new(
        &mut self,
        incoming: &Incoming,
        name: Option<&ProviderName>,
        by: &Actor,
    ) -> Result<(Restored, Vec<Draft>), Problem> {
        const OTHER_NAME: &str = "Give the restored one another name with `--name NEW`.";
        let id = incoming.proved.provider;
        let name = match name {
            Some(name) => name.clone(),
            None => super::model::parse_name(&incoming.proved.name).map_err(|problem| problem.next(OTHER_NAME))?,
        };
        self.check_name_free(&name, id, OTHER_NAME)?;
        let native = NativeRecord { tpm_required: incoming.proved.tpm_required, versions: incoming.versions.clone() };
        let record = ProviderRecord::native(id, name.clone(), oldest(&incoming.versions), native);
        let becomes_default = self.add(record)?;
        let exported = &incoming.proved.exported_at;
        let message =
            format!("Key provider {name} was restored from a backup of {exported}{}.", default_clause(becomes_default));
        Ok((Restored::Created, vec![Draft::new("provider.restored", message).provider(id).by(by)]))
    }

    fn restore_known(
        &mut self,
        incoming: &Incoming,
        name: Option<&ProviderName>,
        by: &Actor,
    ) -> Result<(Restored, Vec<Draft>), Problem> {
        let record = self.provider_mut(incoming.proved.provider)?;
        if let Some(name) = name.filter(|name| **name != record.name) {
            let detail =
                format!("the provider is here already, as {}; restoring does not rename it to {name}", record.name);
            return Err(Problem::new(ProblemCode::BadRequest, detail)
                .next(format!("Leave out `--name`, or run `cadenas provider rename {} {name}`.", record.name)));
        }
        let missing = missing_versions(record, &incoming.versions)?;
        if missing.is_empty() {
            return Ok((Restored::AlreadySo, vec![]));
        }
        let added: Vec<String> = missing.iter().map(|version| version.id.to_string()).collect();
        let versions = &mut record.as_native_mut()?.versions;
        versions.extend(missing);
        // The sort keeps the order of equal times.
        versions.sort_by_key(|version| version.created);
        let message = format!("Key provider {} got back from a backup: {}.", record.name, listed(&added));
        Ok((Restored::KeysAdded, vec![Draft::new("provider.keys-added", message).provider(record.id).by(by)]))
    }
}

/// Those of `incoming` that `record` lacks. A different key under a known ID refuses them all.
fn missing_versions(record: &ProviderRecord, incoming: &[VersionRecord]) -> Result<Vec<VersionRecord>, Problem> {
    let (mut missing, native) = (Vec::new(), record.as_native()?);
    for version in incoming {
        match native.version(version.id) {
            Some(known) if known.fingerprint == version.fingerprint => {}
            Some(_) => return Err(different_key(record, version)),
            None => missing.push(version.clone()),
        }
    }
    Ok(missing)
}

fn different_key(record: &ProviderRecord, version: &VersionRecord) -> Problem {
    let detail = format!("key {} of provider {} is a different key here than in the file", version.id, record.name);
    Problem::new(ProblemCode::DifferentKey, detail)
        .next("Nothing was changed. One of the two is not what its name says; restore the file on another server to look at it.")
}

fn oldest(versions: &[VersionRecord]) -> Timestamp {
    versions.iter().map(|version| version.created).min().unwrap_or_else(Timestamp::now)
}

fn parse_time(text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        Problem::new(ProblemCode::BadBackup, "a key in the backup has no readable time of its creation")
            .next("Take another backup of the provider.")
    })
}

fn locked(vms: &[Vm]) -> BTreeSet<String> {
    vms.iter().filter(|vm| vm.padlock == Padlock::Locked).map(|vm| vm.name.clone()).collect()
}

/// Whether `vm` is locked for want of keys of `record` alone.
fn would_unlock(vm: &Vm, record: &ProviderRecord) -> bool {
    let comes = |provider: ProviderId, key| {
        provider == record.id && record.as_native().is_ok_and(|native| native.version(key).is_some())
    };
    vm.padlock == Padlock::Locked && vm.missing_keys.iter().all(|missing| comes(missing.provider, missing.key))
}
