//! What could not be done at once is done later, by itself.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cadenas_api::{HostEvent, Problem, ProblemCode, ProviderState};

use crate::{host::Script, rig::Rig};

/// Longer than the server's period; the clock of these tests jumps.
const NEXT_ROUND: Duration = Duration::from_secs(61);

#[tokio::test]
async fn keys_that_the_host_refused_are_given_again() {
    let mut rig = Rig::start().await;
    rig.active("nkp").await;
    rig.stop().await;
    rig.host = Arc::new(rig.host.restarted());
    rig.host.refuses_keys.store(true, Ordering::Relaxed);
    rig.go().await.expect("starts all the same");
    assert_eq!(rig.client.provider("nkp").await.expect("there").state, ProviderState::Degraded);
    rig.host.refuses_keys.store(false, Ordering::Relaxed);
    next_round().await;
    assert_eq!(rig.client.provider("nkp").await.expect("there").state, ProviderState::Active);
    assert!(rig.event_kinds().await.ends_with(&["provider.degraded".to_owned(), "provider.active".to_owned()]));
}

#[tokio::test]
async fn a_vm_that_waits_is_repaired_later() {
    let mut rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.stop().await;
    rig.host.will_repair("vm.needs-repair", vm, "libvirt does not answer");
    rig.go().await.expect("starts all the same");
    rig.host.will_repair("vm.rolled-forward", vm, "finished");
    next_round().await;
    rig.host.will_repair("vm.rolled-back", vm, "nobody asks for this any more");
    next_round().await;
    assert_eq!(rig.event_kinds().await, ["vm.needs-repair", "vm.rolled-forward"]);
}

#[tokio::test]
async fn what_a_task_or_the_host_left_is_repaired_later() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.script(vm, Script::Fail(Problem::new(ProblemCode::NeedsRepair, "the datastore is full")));
    rig.client.verify_vm("web01").await.expect("a task");
    rig.host.will_repair("vm.rolled-back", vm, "undone");
    next_round().await;
    rig.host.happens(&HostEvent { kind: "vm.needs-repair", vm: None, message: "a record is damaged".to_owned() });
    let heard = cadenas_api::EventQuery { after: Some(2), wait: Some(20), ..Default::default() };
    assert_eq!(rig.client.events(&heard).await.expect("events")[0].kind, "vm.needs-repair");
    rig.host.will_repair("vm.unlocked", vm, "open again");
    next_round().await;
    let kinds = rig.event_kinds().await;
    assert_eq!(kinds, ["vm.verify-failed", "vm.rolled-back", "vm.needs-repair", "vm.unlocked"]);
}

/// Lets the server's timers come up at once, and then gives it time to do what they ask for.
async fn next_round() {
    // The timers must be there before the clock jumps.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::time::pause();
    tokio::time::advance(NEXT_ROUND).await;
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(300)).await;
}
