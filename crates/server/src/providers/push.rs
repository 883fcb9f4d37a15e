//! Giving keys to the host.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cadenas_api::{KeyPush, Problem};
use cadenas_keys::{KeyId, ProviderId};

use super::model::{KindRecord, NativeRecord, ProviderRecord};
use crate::{
    core::{Core, off_thread},
    events::Draft,
};

/// What this process knows of the keys that the host has. A new process gives them all again.
#[derive(Debug, Default)]
pub(crate) struct Pushes(Mutex<BTreeMap<ProviderId, Push>>);

/// How giving a provider's keys stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) given: BTreeSet<KeyId>,
    /// Why the last attempt failed, if it did.
    pub(super) failure: Option<String>,
}

impl Pushes {
    pub(super) fn of(&self, provider: ProviderId) -> Push {
        self.lock().get(&provider).cloned().unwrap_or_default()
    }

    pub(super) fn forget(&self, provider: ProviderId) {
        self.lock().remove(&provider);
    }

    /// The providers whose keys the host did not take.
    fn failed(&self) -> Vec<ProviderId> {
        self.lock().iter().filter(|(_, push)| push.failure.is_some()).map(|(id, _)| *id).collect()
    }

    /// Notes an attempt; gives what was known before. What the host was given once it keeps.
    fn note(&self, provider: ProviderId, mut push: Push) -> Option<Push> {
        let mut pushes = self.lock();
        push.given.extend(pushes.get(&provider).into_iter().flat_map(|before| before.given.iter().copied()));
        pushes.insert(provider, push)
    }

    /// The map is whole between any two statements, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderId, Push>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the host every key of every provider, those in no backup too: with a store put back from an older copy, a VM may
/// be encrypted with one of them.
pub(crate) async fn give_all(core: &Arc<Core>) -> Result<(), Problem> {
    for id in core.catalog().await?.providers.into_keys() {
        give_keys(core, id).await?;
    }
    Ok(())
}

/// Tries again what the host did not take. Tells whether anything had failed.
pub(crate) async fn retry_failed(core: &Arc<Core>) -> Result<bool, Problem> {
    let failed = core.pushes.failed();
    for id in &failed {
        give_keys(core, *id).await?;
    }
    Ok(!failed.is_empty())
}

/// Gives the host every key of one native provider. What the host refuses makes the provider degraded, not this an error.
pub(crate) async fn give_keys(core: &Arc<Core>, id: ProviderId) -> Result<(), Problem> {
    let _provider_stays = core.provider_use.read().await;
    let Some(record) = core.catalog().await?.providers.remove(&id) else {
        return Ok(());
    };
    // A standard provider's keys are fetched when they are needed.
    let KindRecord::Native(native) = &record.kind else { return Ok(()) };
    if !fits_hardware(core, native) {
        return Ok(());
    }
    let push = attempt(core, id, native).await;
    let before = core.pushes.note(id, push.clone());
    core.record(told(&record, before.as_ref(), &push)).await;
    Ok(())
}

/// Whether the provider's demand for a TPM is met here. In one process server and host have one root seal.
pub(super) fn fits_hardware(core: &Core, native: &NativeRecord) -> bool {
    !native.tpm_required || core.seal.hardware_bound()
}

async fn attempt(core: &Arc<Core>, provider: ProviderId, native: &NativeRecord) -> Push {
    let mut push = Push::default();
    for version in native.versions.clone() {
        let (key, seal) = (version.id, Arc::clone(&core.seal));
        let given = match off_thread(move || version.unseal(&*seal, provider)).await {
            Ok(kdk) => core.host.give_key(KeyPush { provider, key, secret: kdk.into() }).await,
            Err(problem) => Err(problem),
        };
        match given {
            Ok(()) => drop(push.given.insert(key)),
            Err(problem) => push.failure = Some(format!("key {key}: {}", problem.detail)),
        }
    }
    push
}

/// An event when the provider came to be usable, or ceased to be.
fn told(record: &ProviderRecord, before: Option<&Push>, after: &Push) -> Vec<Draft> {
    let host_has_all = |push: &Push| push.failure.is_none();
    let draft = match (before.map(host_has_all), &after.failure) {
        (None | Some(true), Some(failure)) => {
            let message = format!("The host does not take the keys of key provider {}: {failure}", record.name);
            Draft::new("provider.degraded", message)
        }
        (Some(false), None) => {
            Draft::new("provider.active", format!("The host has the keys of key provider {} again.", record.name))
        }
        _ => return vec![],
    };
    vec![draft.provider(record.id)]
}
