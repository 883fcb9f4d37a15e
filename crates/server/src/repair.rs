//! What the host does about interrupted changes, and when it is asked to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cadenas_api::HostEvent;
use cadenas_keys::VmId;
use tokio::{sync::Mutex, time::MissedTickBehavior};

use crate::{core::Core, events::Draft, providers};

/// How often what waits is tried again.
const PERIOD: Duration = Duration::from_mins(1);
const NEEDS_REPAIR: &str = "vm.needs-repair";

/// What waits to be repaired, as it was last told; one repair at a time.
#[derive(Debug, Default)]
pub(crate) struct Repairs(Mutex<Waiting>);

type Waiting = BTreeSet<(Option<VmId>, String)>;

impl Repairs {
    /// Has the next round look after a VM that a task left as it should not be.
    pub(crate) async fn expect(&self, vm: VmId, reason: &str) {
        self.0.lock().await.insert((Some(vm), reason.to_owned()));
    }
}

/// Asks the host to finish or undo what was interrupted, and writes what it tells. Gives all it told.
pub(crate) async fn repair(core: &Core) -> Vec<HostEvent> {
    let mut waiting = core.repairs.0.lock().await;
    let told = core.host.repair().await;
    let fresh = news(&mut waiting, &told);
    drop(waiting);
    core.record(fresh).await;
    told
}

/// Until the server stops: tries again what waits, and gives the host again what it did not take.
pub(crate) async fn keep_repairing(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let regained = providers::retry_failed(&core).await.unwrap_or_else(|problem| {
            tracing::error!(%problem, "keys could not be given again");
            false
        });
        if regained || !core.repairs.0.lock().await.is_empty() {
            repair(&core).await;
        }
    }
}

/// Until the host ends: writes what happens on it by itself.
pub(crate) async fn keep_listening(core: Arc<Core>, mut events: tokio::sync::mpsc::UnboundedReceiver<HostEvent>) {
    let mut some = Vec::new();
    while events.recv_many(&mut some, 32).await > 0 {
        if some.iter().any(waits) {
            note(&mut *core.repairs.0.lock().await, &some);
        }
        core.record(some.drain(..).map(Draft::from).collect()).await;
    }
}

/// What is worth an event: a VM that still waits for the same reason as a minute ago is not.
fn news(waiting: &mut Waiting, told: &[HostEvent]) -> Vec<Draft> {
    let known = std::mem::take(waiting);
    note(waiting, told);
    let is_news = |event: &&HostEvent| !waits(event) || !known.contains(&(event.vm, event.message.clone()));
    told.iter().filter(is_news).cloned().map(Draft::from).collect()
}

fn note(waiting: &mut Waiting, told: &[HostEvent]) {
    waiting.extend(told.iter().filter(|event| waits(event)).map(|event| (event.vm, event.message.clone())));
}

fn waits(event: &HostEvent) -> bool {
    event.kind == NEEDS_REPAIR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_waits_is_told_once_for_each_reason() {
        let mut waiting = Waiting::new();
        let event = |kind, message: &str| HostEvent { kind, vm: None, message: message.to_owned() };
        let stuck = [event(NEEDS_REPAIR, "libvirt does not answer")];
        assert_eq!(news(&mut waiting, &stuck).len(), 1);
        assert_eq!(news(&mut waiting, &stuck).len(), 0);
        assert_eq!(news(&mut waiting, &[event(NEEDS_REPAIR, "the datastore is full")]).len(), 1);
        assert_eq!(news(&mut waiting, &[event("vm.rolled-forward", "done")]).len(), 1);
        assert!(waiting.is_empty());
    }
}
