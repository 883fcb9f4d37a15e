//! Step by step through the servers.

use cadenas_kmip::{
    Cluster, Config, EndpointReport, KmipOperation, ResultReason, Step, Version,
    testing::{Authority, Clients, Fault, ServerOptions, TestKeys, Tls, When},
};

use crate::scene::{Scene, cluster, config, server};

fn report(cluster: &Cluster) -> EndpointReport {
    let [report] = cluster.probe().try_into().expect("one server");
    report
}

#[test]
fn a_good_server_passes_every_step() {
    for (tls, name, begins) in [(Tls::Only12, "TLSv1_2", "TLS_ECDHE_"), (Tls::Only13, "TLSv1_3", "TLS13_")] {
        let versions = vec![Version::V1_4, Version::V1_2];
        let scene = Scene::with(ServerOptions { tls, versions: versions.clone(), ..ServerOptions::default() });
        let report = report(&scene.cluster);
        assert_eq!(report.failure(), None);
        assert!(report.tcp.done().is_some() && report.round_trip.done().is_some());
        let tls = report.tls.done().expect("TLS");
        assert_eq!((tls.version.as_str(), tls.asked_for_client_certificate), (name, false));
        assert!(tls.cipher.starts_with(begins), "{}", tls.cipher);
        assert_eq!(tls.certificate.names, ["localhost", "127.0.0.1"]);
        let agreed = report.version.done().expect("a version");
        assert_eq!((agreed.theirs.as_slice(), agreed.used), (&versions[..], Version::V1_4));
        assert_eq!(agreed.ours, Version::SPOKEN);
        let operations = report.operations.done().expect("operations");
        assert_eq!(operations.missing, []);
        assert_eq!(operations.supported, KmipOperation::ALL);
        assert_eq!(operations.vendor.as_str(), "a server in memory");
    }
}

#[test]
fn missing_operations_are_listed() {
    let lacking = vec![KmipOperation::Locate, KmipOperation::Register, KmipOperation::Revoke];
    let scene = Scene::with(ServerOptions { lacking, ..ServerOptions::default() });
    let report = report(&scene.cluster);
    let operations = report.operations.done().expect("operations");
    assert_eq!(operations.missing, [KmipOperation::Locate, KmipOperation::Revoke]);
}

#[test]
fn a_failing_step_skips_those_after_it() {
    let mut scene = Scene::new();
    scene.server.fail(KmipOperation::Query, Fault::Refuse(ResultReason::PERMISSION_DENIED, ""), When::Next);
    let refused = report(&scene.cluster);
    assert!(refused.version.done().is_some() && refused.round_trip.done().is_some());
    assert!(refused.failure().expect("Query").to_string().ends_with(": Query: permission denied"));

    scene.server.fail(KmipOperation::DiscoverVersions, Fault::Web, When::Next);
    let web = report(&scene.cluster);
    assert!(web.tls.done().is_some());
    assert!(web.version.failure().is_some());
    assert_eq!((web.operations, web.round_trip), (Step::Skipped, Step::Skipped));

    scene.server.stop();
    let away = report(&scene.cluster);
    assert!(away.failure().expect("refused").to_string().ends_with(": connect: connection refused"));
    assert_eq!((away.tls, away.version), (Step::Skipped, Step::Skipped));
}

#[test]
fn a_client_certificate_that_is_refused_fails_the_tls_step() {
    let (authority, clients) = (Authority::new("test CA"), Authority::new("CA of the clients"));
    for tls in [Tls::Only12, Tls::Only13] {
        let options =
            ServerOptions { tls, clients: Clients::Of(clients.certificate().to_vec()), ..ServerOptions::default() };
        let server = server(&authority, &TestKeys::default(), options);
        let report_without = report(&cluster(&[&server], authority.trust()));
        assert!(report_without.tls.failure().is_some(), "{report_without:?}");
        assert_eq!(report_without.version, Step::Skipped);
        let identity = Some(clients.client("cadenas"));
        let with = Cluster::new(Config { identity, ..config(&[&server], authority.trust()) }).expect("fits");
        assert!(report(&with).tls.done().expect("TLS").asked_for_client_certificate);
    }
}

#[test]
fn a_probe_does_not_wait_and_brings_a_server_back() {
    let mut scene = Scene::new();
    scene.server.stop();
    for _ in 0..2 {
        scene.cluster.locate("a").expect_err("away");
    }
    scene.server.restart();
    assert_eq!(report(&scene.cluster).failure(), None);
    scene.cluster.locate("a").expect("asked at once");
}

#[test]
fn every_server_has_its_report_in_order() {
    let authority = Authority::new("test CA");
    let [first, mut second] = [(); 2].map(|()| server(&authority, &TestKeys::default(), ServerOptions::default()));
    second.stop();
    let [one, other] = cluster(&[&first, &second], authority.trust()).probe().try_into().expect("two");
    assert_eq!((one.endpoint, other.endpoint.clone()), (first.endpoint(), second.endpoint()));
    assert!(other.failure().is_some());
}
