//! Events: numbered, paged, waited for.

use std::time::{Duration, Instant};

use cadenas_api::{EventQuery, HostEvent};

use crate::rig::Rig;

fn query(after: Option<u64>, limit: Option<u64>, wait: Option<u64>) -> EventQuery {
    EventQuery { after, limit, wait, newest_first: None }
}

#[tokio::test]
async fn events_are_paged_by_their_number_and_name_the_actor() {
    let rig = Rig::start().await;
    for name in ["a", "b", "c", "d"] {
        rig.create(name).await;
    }
    let all = rig.client.events(&query(None, None, None)).await.expect("events");
    assert_eq!(all.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let by = all[0].by.as_ref().expect("somebody");
    assert_eq!(by.uid, rustix_uid());
    assert!(all[0].provider.is_some());
    let page = rig.client.events(&query(Some(1), Some(2), None)).await.expect("events");
    assert_eq!(page.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3]);
    let clamped = rig.client.events(&query(None, Some(1_000_000), None)).await.expect("events");
    assert_eq!(clamped.len(), 4);
    assert!(rig.client.events(&query(Some(4), None, None)).await.expect("events").is_empty());
}

#[tokio::test]
async fn the_newest_come_first_when_asked_for_and_go_on_downwards() {
    let rig = Rig::start().await;
    for name in ["a", "b", "c", "d"] {
        rig.create(name).await;
    }
    let numbers = async |after| {
        let query = EventQuery { newest_first: Some(true), ..query(after, Some(3), None) };
        rig.client.events(&query).await.expect("events").iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None).await, [4, 3, 2]);
    assert_eq!(numbers(Some(2)).await, [1]);
}

#[tokio::test]
async fn who_follows_hears_of_an_event_when_it_happens() {
    let rig = Rig::start().await;
    rig.create("first").await;
    let (client, begun) = (rig.client.clone(), Instant::now());
    let following = tokio::spawn(async move { client.events(&query(Some(1), None, Some(30))).await.expect("events") });
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.create("second").await;
    let heard = following.await.expect("no panic");
    assert_eq!((heard.len(), heard[0].sequence, heard[0].kind.as_str()), (1, 2, "provider.created"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let begun = Instant::now();
    assert!(rig.client.events(&query(Some(2), None, Some(1))).await.expect("events").is_empty());
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_happens_on_the_host_is_told_too() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.host.happens(&HostEvent { kind: "vm.stopped", vm: Some(vm), message: "VM web01 stopped.".to_owned() });
    let heard = rig.client.events(&query(None, None, Some(20))).await.expect("events");
    assert_eq!((heard[0].kind.as_str(), heard[0].vm, &heard[0].by), ("vm.stopped", Some(vm), &None));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_follow() {
    let mut rig = Rig::start().await;
    let client = rig.client.clone();
    let following = tokio::spawn(async move { client.events(&query(None, None, Some(60))).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    rig.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(following.await.expect("no panic").expect("an answer").is_empty());
}

fn rustix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").expect("Linux").uid()
}
