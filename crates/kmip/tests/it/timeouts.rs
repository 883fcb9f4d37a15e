//! Deadlines.

use std::time::{Duration, Instant};

use cadenas_kmip::{
    Cluster, Config, KmipOperation, Timeouts,
    testing::{Fault, ServerOptions, Tls, When},
};

use crate::scene::{Scene, TIMEOUTS, config};

const LIMIT: Duration = Duration::from_secs(1);
/// A slow and busy machine needs longer than it should.
const TOLERANCE: Duration = Duration::from_secs(5);

fn hasty(scene: &Scene) -> Cluster {
    let timeouts = Timeouts { connect: LIMIT, call: LIMIT, ..TIMEOUTS };
    Cluster::new(Config { timeouts, ..config(&[&scene.server], scene.authority.trust()) }).expect("fits")
}

fn said_in_time(scene: &Scene) -> String {
    let cluster = hasty(scene);
    let began = Instant::now();
    let said = scene.said(cluster.locate("a"));
    assert!(began.elapsed() >= LIMIT && began.elapsed() < LIMIT + TOLERANCE, "{:?}", began.elapsed());
    said
}

#[test]
fn a_server_that_is_silent_on_tls_is_given_up() {
    let scene = Scene::with(ServerOptions { tls: Tls::Silent, ..ServerOptions::default() });
    assert_eq!(said_in_time(&scene), "TLS handshake: no connection within 1 s");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let scene = Scene::new();
    scene.server.fail(KmipOperation::Locate, Fault::Late(Duration::from_secs(30)), When::Always);
    assert_eq!(said_in_time(&scene), "Locate: no whole answer within 1 s");
}

/// More than 100 bytes at 20 milliseconds each would take more than 2 seconds, and no single read takes long.
#[test]
fn a_server_that_drips_gets_no_more_time() {
    let scene = Scene::new();
    scene.server.fail(KmipOperation::Locate, Fault::Drip(Duration::from_millis(20)), When::Always);
    assert_eq!(said_in_time(&scene), "Locate: no whole answer within 1 s");
}

#[test]
fn a_closed_port_refuses() {
    let mut scene = Scene::new();
    scene.server.stop();
    assert_eq!(scene.said(scene.cluster.locate("a")), "connect: connection refused");
}

#[test]
fn a_name_that_does_not_exist_is_told() {
    let mut config = config(&[], cadenas_kmip::testing::Authority::new("test CA").trust());
    config.endpoints = vec!["no-such-host.invalid".parse().expect("a name")];
    let error = Cluster::new(config).expect("fits").locate("a").expect_err("no such host").to_string();
    assert!(
        error.starts_with("key server no-such-host.invalid:5696: connect: its name is not known: ")
            || error == "key server no-such-host.invalid:5696: connect: no connection within 20 s",
        "{error}"
    );
}
