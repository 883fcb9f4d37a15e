//! Several servers, and servers that come and go.

use std::{
    thread,
    time::{Duration, Instant},
};

use cadenas_kmip::{
    Cluster, Config, KeyState, KmipErrorKind, KmipOperation, ResultReason, Timeouts,
    testing::{Authority, Fault, ServerOptions, TestKeys, TestServer, When},
};
use cadenas_secret::SecretBytes;

use crate::scene::{Scene, TIMEOUTS, cluster, config, server};

/// Two servers with the same keys.
struct Pair {
    first: TestServer,
    second: TestServer,
    cluster: Cluster,
}

impl Pair {
    fn new() -> Self {
        let (authority, keys) = (Authority::new("test CA"), TestKeys::default());
        let [first, second] = [(); 2].map(|()| server(&authority, &keys, ServerOptions::default()));
        let cluster = cluster(&[&first, &second], authority.trust());
        Self { first, second, cluster }
    }
}

#[test]
fn the_first_server_is_asked_as_long_as_it_answers() {
    let pair = Pair::new();
    pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    assert_eq!(pair.second.connections(), 0);
}

#[test]
fn the_next_server_is_asked_when_one_is_away_and_the_first_again_when_it_is_back() {
    let mut pair = Pair::new();
    let id = pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    pair.first.stop();
    pair.cluster.key(&id).expect("the second answers");
    pair.first.restart();
    drop(pair.second.take_log());
    pair.cluster.key(&id).expect("the second answers, while the first is left alone");
    assert!(!pair.second.take_log().is_empty());
    thread::sleep(TIMEOUTS.first_backoff);
    drop(pair.first.take_log());
    pair.cluster.key(&id).expect("the first answers");
    assert!(!pair.first.take_log().is_empty() && pair.second.take_log().is_empty());
}

#[test]
fn whatever_is_no_proper_answer_leads_to_the_next_server() {
    let pair = Pair::new();
    let id = pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    for fault in
        [Fault::HangUp, Fault::Cut, Fault::OverLong, Fault::Deep, Fault::NoBatchItem, Fault::OtherBatchId, Fault::Web]
    {
        pair.first.fail(KmipOperation::GetAttributes, fault.clone(), When::Always);
        pair.cluster.attributes(&id).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(pair.second.take_log(), [KmipOperation::GetAttributes], "{fault:?}");
        pair.first.mend();
        drop(pair.cluster.probe());
    }
}

#[test]
fn a_servers_verdict_is_final() {
    let pair = Pair::new();
    let id = pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    for (reason, fault) in [
        (true, Fault::Refuse(ResultReason::PERMISSION_DENIED, "no")),
        (true, Fault::Refuse(ResultReason::ITEM_NOT_FOUND, "no")),
        (true, Fault::Refuse(ResultReason::GENERAL_FAILURE, "no")),
        (true, Fault::ShortKey),
    ] {
        pair.first.fail(KmipOperation::Get, fault, When::Next);
        let error = pair.cluster.key(&id).expect_err("refused");
        assert_eq!((error.kind.is_server_verdict(), &error.server), (reason, &pair.first.endpoint()));
    }
    assert_eq!(pair.second.connections(), 0);
    pair.cluster.key(&id).expect("the connection is of use all the same");
    assert_eq!(pair.first.connections(), 1);
}

#[test]
fn when_all_servers_are_away_the_call_fails_at_once_and_says_what_happened() {
    let mut pair = Pair::new();
    pair.first.stop();
    pair.second.stop();
    let fresh = pair.cluster.locate("a").expect_err("all are away");
    let began = Instant::now();
    let known = pair.cluster.locate("a").expect_err("all are left alone");
    assert!(began.elapsed() < TIMEOUTS.first_backoff / 2, "{:?}", began.elapsed());
    for error in [fresh, known] {
        let text = error.to_string();
        let expected = format!(
            "; key server {}: connect: connection refused; key server {}: connect: connection refused",
            pair.first.endpoint(),
            pair.second.endpoint()
        );
        assert!(text.starts_with("Locate: no key server can be asked; the next attempt is made in "), "{text}");
        assert!(text.ends_with(&expected), "{text}");
        assert!(error.kind.is_unavailable());
        let KmipErrorKind::NoServer { retry_in, failures } = error.kind else { panic!("{text}") };
        assert!(retry_in <= TIMEOUTS.first_backoff && failures.len() == 2);
    }
}

#[test]
fn a_single_server_that_is_away_is_named_first_and_then_left_alone_for_longer_and_longer() {
    let mut scene = Scene::new();
    scene.server.stop();
    assert_eq!(scene.said(scene.cluster.locate("a")), "connect: connection refused");
    let mut waits = Vec::new();
    while waits.len() < 3 {
        match scene.cluster.locate("a").expect_err("away").kind {
            KmipErrorKind::NoServer { retry_in, .. } => {
                if waits.last().is_none_or(|last| retry_in > *last) {
                    waits.push(retry_in);
                }
                thread::sleep(Duration::from_millis(20));
            }
            KmipErrorKind::ConnectionRefused => {}
            other => panic!("{other}"),
        }
    }
    assert!(waits[2] > TIMEOUTS.first_backoff, "{waits:?}");
}

#[test]
fn many_calls_at_once_are_no_storm_on_a_server_that_is_away() {
    let scene = Scene::new();
    scene.server.fail(KmipOperation::DiscoverVersions, Fault::HangUp, When::Always);
    scene.cluster.locate("a").expect_err("it hangs up");
    let before = scene.server.connections();
    thread::sleep(TIMEOUTS.first_backoff);
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| scene.cluster.locate("a").expect_err("it hangs up, or is left alone"));
        }
    });
    assert_eq!(scene.server.connections() - before, 1, "one of them tried");
}

#[test]
fn connections_are_kept_and_a_broken_one_is_replaced_without_a_failure() {
    let mut scene = Scene::new();
    let id = scene.cluster.create_key("cadenas-web01", "vm").expect("made");
    for _ in 0..10 {
        scene.cluster.key(&id).expect("there");
    }
    assert_eq!(scene.server.connections(), 1);
    scene.server.hang_up();
    scene.cluster.key(&id).expect("on a new connection");
    assert_eq!(scene.server.connections(), 2);
    scene.server.stop();
    scene.server.restart();
    scene.cluster.key(&id).expect("on a new connection");
    scene.cluster.key(&id).expect("on the same");
    assert_eq!(scene.server.connections(), 3);
}

#[test]
fn a_kept_connection_is_replaced_once_and_no_more() {
    let scene = Scene::new();
    let id = scene.cluster.create_key("cadenas-web01", "vm").expect("made");
    drop(scene.server.take_log());
    scene.server.fail(KmipOperation::Get, Fault::HangUp, When::Always);
    assert_eq!(scene.said(scene.cluster.key(&id)), "Get: the connection was closed before an answer came");
    assert_eq!(scene.server.take_log(), [KmipOperation::Get; 2]);
}

#[test]
fn a_key_whose_creation_was_not_answered_is_found_and_not_made_again() {
    for fault in [Fault::HangUp, Fault::Cut] {
        let pair = Pair::new();
        pair.first.fail(KmipOperation::Create, fault.clone(), When::Next);
        let id = pair.cluster.create_key("cadenas-web01", "vm").expect("found");
        assert_eq!(pair.first.keys().count(), 1, "{fault:?}");
        assert_eq!(pair.second.take_log(), [KmipOperation::Locate, KmipOperation::Activate], "{fault:?}");
        assert_eq!(pair.cluster.key(&id).expect("there").state, KeyState::Active);
    }
}

#[test]
fn a_key_that_was_not_made_before_the_connection_broke_is_made_then() {
    let pair = Pair::new();
    pair.first.fail(KmipOperation::Create, Fault::HangUpBefore, When::Next);
    pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    let asked = [KmipOperation::Locate, KmipOperation::Create, KmipOperation::Activate];
    assert_eq!((pair.first.keys().count(), pair.second.take_log().as_slice()), (1, &asked[..]));
}

#[test]
fn a_kept_connection_that_breaks_during_creation_makes_no_second_key() {
    let scene = Scene::new();
    scene.cluster.locate("a").expect("a connection is kept from now on");
    scene.server.fail(KmipOperation::Create, Fault::HangUp, When::Next);
    scene.cluster.create_key("cadenas-web01", "vm").expect("found");
    assert_eq!(scene.server.keys().count(), 1);
}

#[test]
fn a_registration_that_was_not_answered_is_not_repeated_either() {
    let pair = Pair::new();
    pair.first.fail(KmipOperation::Register, Fault::HangUp, When::Next);
    let key = SecretBytes::random(32);
    let id = pair.cluster.register("imported", "vm", &key).expect("found");
    assert_eq!(pair.first.keys().count(), 1);
    assert!(pair.cluster.key(&id).expect("there").material.equals(key.expose()));
}

#[test]
fn a_name_that_several_keys_have_is_not_guessed_at() {
    let pair = Pair::new();
    for _ in 0..2 {
        pair.cluster.create_key("cadenas-web01", "vm").expect("made");
    }
    pair.first.fail(KmipOperation::Create, Fault::HangUpBefore, When::Always);
    let error = pair.cluster.create_key("cadenas-web01", "vm").expect_err("two have the name").to_string();
    let expected = format!("key server {}: Locate: 2 keys have the name, and one was expected", pair.first.endpoint());
    assert_eq!(error, expected);
}

#[test]
fn an_activation_that_was_not_answered_is_looked_at() {
    let pair = Pair::new();
    pair.first.fail(KmipOperation::Activate, Fault::HangUp, When::Next);
    let id = pair.cluster.create_key("cadenas-web01", "vm").expect("active");
    let asked = [KmipOperation::Create, KmipOperation::Activate, KmipOperation::Activate, KmipOperation::GetAttributes];
    assert_eq!(pair.first.take_log(), asked, "on a new connection");
    assert_eq!(pair.cluster.key(&id).expect("there").state, KeyState::Active);
}

#[test]
fn threads_share_a_cluster() {
    let scene = Scene::new();
    thread::scope(|scope| {
        for number in 0..16 {
            let cluster = scene.cluster.clone();
            scope.spawn(move || {
                let name = format!("cadenas-{number}");
                let id = cluster.create_key(&name, "vm").expect("made");
                assert_eq!(cluster.key(&id).expect("there").names, [name]);
            });
        }
    });
    assert_eq!(scene.server.keys().count(), 16);
}

/// The server is given up, but what it did in the meantime is found.
#[test]
fn a_creation_that_takes_too_long_is_found_later() {
    let timeouts = Timeouts { call: Duration::from_secs(1), ..TIMEOUTS };
    let authority = Authority::new("test CA");
    let keys = TestKeys::default();
    let [first, second] = [(); 2].map(|()| server(&authority, &keys, ServerOptions::default()));
    let cluster = Cluster::new(Config { timeouts, ..config(&[&first, &second], authority.trust()) }).expect("fits");
    first.fail(KmipOperation::Create, Fault::Late(Duration::from_secs(3)), When::Next);
    cluster.create_key("cadenas-web01", "vm").expect("found");
    assert_eq!(keys.count(), 1);
}
