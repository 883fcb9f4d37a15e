//! What goes on by itself: keys that are missing are fetched when their servers answer again, and the state of every key in
//! use is looked at every few minutes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cadenas_api::{KmsKeyState, MissingKey, Padlock, Problem, ProviderRef, Vm};
use cadenas_keys::Fingerprint;
use cadenas_kmip::KmipErrorKind;
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    clusters::ask,
    keks::{self, KekRecord, fetch, note_state, state},
};
use crate::{
    core::Core,
    events::Draft,
    providers::{Catalog, ProviderRecord},
    repair,
};

/// How often missing keys are asked for. The clusters' own back-off spares servers that are away.
const UNLOCK_PERIOD: Duration = Duration::from_secs(10);

/// Until the server stops; the states of the keys in use are looked at every `state_period`. While nothing is locked, neither are
/// the VMs looked at in between.
pub(crate) async fn keep_watching(core: Arc<Core>, state_period: Duration) {
    let mut ticks = tokio::time::interval(UNLOCK_PERIOD.min(state_period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut states_seen, mut some_locked) = (Instant::now(), true);
    loop {
        ticks.tick().await;
        let states_are_due = states_seen.elapsed() >= state_period;
        if some_locked || states_are_due {
            some_locked = logged(unlock_all(&core).await).unwrap_or(true);
        }
        if states_are_due {
            states_seen = Instant::now();
            logged(look_at_states(&core).await);
        }
    }
}

fn logged<T>(result: Result<T, Problem>) -> Option<T> {
    result.inspect_err(|problem| tracing::warn!(%problem, "standard key providers could not be looked after")).ok()
}

/// Fetches what locked VMs lack of standard providers, as far as it comes now. Tells whether some stay locked for want of it.
pub(crate) async fn unlock_all(core: &Arc<Core>) -> Result<bool, Problem> {
    let catalog = core.catalog().await?;
    if !catalog.providers.values().any(|record| record.as_standard().is_ok()) {
        return Ok(false);
    }
    let locked = core.host.vms().await?.into_iter().filter(|vm| vm.padlock == Padlock::Locked);
    let (mut unlocked, mut some_stay) = (Vec::new(), false);
    for vm in locked {
        // Who asks for this VM hears why it stays locked; here it is tried again.
        match unlock(core, &catalog, &vm).await {
            Ok(true) => unlocked.push(vm),
            Ok(false) => {}
            Err(_) => some_stay = true,
        }
    }
    if !unlocked.is_empty() {
        core.record(unlocked.iter().map(unlocked_event).collect()).await;
        repair::repair(core).await;
    }
    Ok(some_stay)
}

fn unlocked_event(vm: &Vm) -> Draft {
    Draft::new("vm.unlocked", format!("VM {}: its key server gave its keys.", vm.name)).vm(vm.id)
}

/// Fetches the keys that `vm` lacks of standard providers that are known here. Tells whether that is all it lacked.
pub(crate) async fn unlock(core: &Arc<Core>, catalog: &Catalog, vm: &Vm) -> Result<bool, Problem> {
    let _provider_stays = core.provider_use.read().await;
    let mut all = !vm.missing_keys.is_empty();
    for missing in &vm.missing_keys {
        match catalog.providers.get(&missing.provider).filter(|record| record.as_standard().is_ok()) {
            Some(record) => drop(fetch(core, record, vm.id, missing, fingerprint(vm, missing)).await?),
            None => all = false,
        }
    }
    Ok(all)
}

fn fingerprint(vm: &Vm, missing: &MissingKey) -> Option<Fingerprint> {
    let wraps = |used: &&ProviderRef| (used.id, used.key) == (missing.provider, missing.key);
    vm.providers.iter().find(wraps).map(|used| used.fingerprint)
}

/// Looks at the state of every key that a VM is wrapped under.
pub(crate) async fn look_at_states(core: &Arc<Core>) -> Result<(), Problem> {
    let (catalog, keks) = (core.catalog().await?, keks::all(core).await?);
    let mut in_use: BTreeMap<_, Vec<KekRecord>> = BTreeMap::new();
    for used in core.host.vms().await?.iter().flat_map(|vm| &vm.providers) {
        if let Some(kek) = keks.get(&(used.id, used.key)) {
            in_use.entry(used.id).or_default().push(kek.clone());
        }
    }
    for (provider, keks) in in_use {
        if let Some(record) = catalog.providers.get(&provider) {
            // One provider's trouble is not the others'.
            logged(look_at(core, record, keks).await);
        }
    }
    Ok(())
}

/// Stops when the servers do not answer: they are away, and the next round comes.
async fn look_at(core: &Arc<Core>, record: &ProviderRecord, keks: Vec<KekRecord>) -> Result<(), Problem> {
    for kek in keks {
        let Ok(id) = kek.kms_key.as_str().parse() else { continue };
        match ask(core, record, move |cluster| cluster.attributes(&id)).await? {
            Ok(attributes) => note_state(core, record, &kek, state(attributes.state)).await?,
            Err(error) if matches!(error.kind, KmipErrorKind::NotFound { .. }) => {
                note_state(core, record, &kek, KmsKeyState::Missing).await?;
            }
            // Of this key the server tells nothing; it may of the next.
            Err(error) if error.kind.is_server_verdict() => {
                tracing::warn!(provider = %record.name, key = %kek.kms_key, %error, "a key's state is not told");
            }
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}
