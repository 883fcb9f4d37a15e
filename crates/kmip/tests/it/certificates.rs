//! Trust in both directions.

use cadenas_kmip::{
    CertificateFingerprint, Cluster, Config, ConfigError, KmipError, KmipErrorKind, Trust, fetch_certificate,
    testing::{Authority, Clients, Dates, ServerOptions, TestKeys, TestServer, Tls},
};

use crate::scene::{Scene, TIMEOUTS, cluster, config, server};

const BOTH: [Tls; 2] = [Tls::Only12, Tls::Only13];

/// A server whose certificate is for these hosts and valid then.
fn server_with(authority: &Authority, hosts: &[&str], dates: Dates, tls: Tls) -> TestServer {
    let options = ServerOptions { tls, ..ServerOptions::default() };
    TestServer::start(&authority.server(hosts, dates), &TestKeys::default(), options)
}

fn said(server: &TestServer, trust: Trust) -> String {
    cluster(&[server], trust).locate("a").expect_err("not trusted").to_string()
}

fn handshake(server: &TestServer, text: &str) -> String {
    format!("key server {}: TLS handshake: {text}", server.endpoint())
}

#[test]
fn both_versions_of_tls_are_spoken() {
    for tls in BOTH {
        let scene = Scene::with(ServerOptions { tls, ..ServerOptions::default() });
        scene.cluster.create_key("cadenas-web01", "vm").expect("made");
    }
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    for tls in BOTH {
        let server = server_with(&Authority::new("test CA"), &["127.0.0.1"], Dates::Now, tls);
        for other in ["another CA", "test CA"] {
            let expected = handshake(&server, "its certificate is from a CA that is not trusted here");
            assert_eq!(said(&server, Authority::new(other).trust()), expected);
        }
    }
}

#[test]
fn a_certificate_must_be_valid_now() {
    let authority = Authority::new("test CA");
    for tls in BOTH {
        let server = server_with(&authority, &["127.0.0.1"], Dates::Past, tls);
        let text = said(&server, authority.trust());
        assert!(
            text.starts_with(&handshake(&server, "its certificate expired at 20")) && text.ends_with('Z'),
            "{text}"
        );
        let server = server_with(&authority, &["127.0.0.1"], Dates::Future, tls);
        let text = said(&server, authority.trust());
        let begins = handshake(&server, "its certificate is not valid before 20");
        assert!(text.starts_with(&begins) && text.ends_with("Z: is the clock right?"), "{text}");
    }
}

#[test]
fn a_certificate_must_be_for_the_host_and_says_for_which_it_is() {
    let authority = Authority::new("test CA");
    let server = server_with(&authority, &["kms1.example", "192.0.2.7", "2001:db8::7"], Dates::Now, Tls::Any);
    let names = "kms1.example, 192.0.2.7, 2001:db8::7";
    let expected = handshake(&server, &format!("its certificate is not for this name, but for {names}"));
    assert_eq!(said(&server, authority.trust()), expected);
    let nameless = server_with(&authority, &[], Dates::Now, Tls::Any);
    let expected = handshake(&nameless, "its certificate is not for this name, but for no name at all");
    assert_eq!(said(&nameless, authority.trust()), expected);
}

#[test]
fn a_host_name_is_looked_up_and_checked() {
    let scene = Scene::new();
    let named = format!("localhost:{}", scene.server.endpoint().port());
    let mut config = config(&[], scene.authority.trust());
    config.endpoints = vec![named.parse().expect("a name")];
    Cluster::new(config).expect("fits").locate("a").expect("answered");
}

#[test]
fn a_pinned_certificate_needs_neither_dates_nor_names_nor_a_ca() {
    let authority = Authority::new("unknown CA");
    for tls in BOTH {
        for dates in [Dates::Past, Dates::Now, Dates::Future] {
            let certified = authority.server(&["elsewhere.example"], dates);
            let pin = CertificateFingerprint::of(&certified.chain[0]);
            let options = ServerOptions { tls, ..ServerOptions::default() };
            let server = TestServer::start(&certified, &TestKeys::default(), options);
            let other = CertificateFingerprint::of(b"another server of the cluster");
            cluster(&[&server], Trust::Pinned(vec![other, pin])).locate("a").expect("trusted");
        }
    }
}

/// Appliances come with certificates that they signed themselves. Those that say they are a CA's are no server's as well.
#[test]
fn a_certificate_that_signed_itself_is_trusted_as_its_own_authority_or_pinned() {
    for as_ca in [false, true] {
        let certified = Authority::self_signed_server(&["127.0.0.1"], as_ca);
        let server = TestServer::start(&certified, &TestKeys::default(), ServerOptions::default());
        let own = certified.chain[0].clone();
        cluster(&[&server], Trust::Pinned(vec![CertificateFingerprint::of(&own)])).locate("a").expect("trusted");
        let by_itself = cluster(&[&server], Trust::Ca(vec![own])).locate("a");
        if as_ca {
            let expected = "its certificate cannot be used: it is a CA's own; trust it by its fingerprint";
            assert_eq!(by_itself.expect_err("a CA's").to_string(), handshake(&server, expected));
        } else {
            by_itself.expect("trusted");
        }
    }
}

#[test]
fn another_certificate_than_the_pinned_one_shows_both_fingerprints() {
    let authority = Authority::new("test CA");
    for tls in BOTH {
        let server = server_with(&authority, &["127.0.0.1"], Dates::Now, tls);
        let found = fetch_certificate(&server.endpoint(), &TIMEOUTS).expect("shown").sha256;
        let pins = vec![CertificateFingerprint::of(b"old"), CertificateFingerprint::of(b"older")];
        let expected = handshake(
            &server,
            &format!(
                "its certificate is another one than was trusted: its fingerprint is {found}, trusted is {} or {}",
                pins[0], pins[1]
            ),
        );
        assert_eq!(said(&server, Trust::Pinned(pins)), expected);
    }
}

/// The certificate is the pinned one, but the server has another key.
#[test]
fn a_pinned_certificate_without_its_key_is_refused() {
    let authority = Authority::new("test CA");
    let (stolen, own) = (authority.server(&["127.0.0.1"], Dates::Now), authority.server(&["127.0.0.1"], Dates::Now));
    let pin = CertificateFingerprint::of(&stolen.chain[0]);
    let mixed = cadenas_kmip::testing::Certified { chain: stolen.chain, key: own.key };
    for tls in BOTH {
        let options = ServerOptions { tls, ..ServerOptions::default() };
        let server = TestServer::start(&mixed, &TestKeys::default(), options);
        let error = cluster(&[&server], Trust::Pinned(vec![pin])).locate("a").expect_err("not proved");
        assert!(matches!(error.kind, KmipErrorKind::CertificateUnusable { .. }), "{error}");
        fetch_certificate(&server.endpoint(), &TIMEOUTS).expect_err("not proved");
    }
}

#[test]
fn nothing_trusted_is_no_configuration() {
    let server = TestServer::good(&Authority::new("test CA"));
    for nothing in [Trust::Ca(vec![]), Trust::Pinned(vec![])] {
        let error = Cluster::new(config(&[&server], nothing)).expect_err("nothing is trusted");
        assert_eq!(error, ConfigError::NoTrust);
    }
    let error = Cluster::new(config(&[&server], Trust::Ca(vec![b"no certificate".to_vec()]))).expect_err("no CA");
    assert!(error.to_string().starts_with("certificate 1 of the trusted CAs cannot be used: "), "{error}");
}

/// A server that wants a certificate of `clients`.
fn strict(authority: &Authority, clients: &Authority, tls: Tls) -> TestServer {
    let clients = Clients::Of(clients.certificate().to_vec());
    server(authority, &TestKeys::default(), ServerOptions { tls, clients, ..ServerOptions::default() })
}

#[test]
fn a_client_certificate_is_shown_when_it_is_wanted() {
    let (authority, clients) = (Authority::new("test CA"), Authority::new("CA of the clients"));
    for tls in BOTH {
        let server = strict(&authority, &clients, tls);
        let identity = Some(clients.client("cadenas"));
        let cluster = Cluster::new(Config { identity, ..config(&[&server], authority.trust()) }).expect("fits");
        cluster.create_key("cadenas-web01", "vm").expect("made");
    }
}

/// In TLS 1.3 the server says so only after our side of the handshake is over.
#[test]
fn a_client_certificate_that_is_refused_or_missing_is_the_handshakes_fault() {
    let (authority, clients) = (Authority::new("test CA"), Authority::new("CA of the clients"));
    for tls in BOTH {
        let server = strict(&authority, &clients, tls);
        let missing = "it wants a client certificate, and none is set up (TLS alert CertificateRequired)";
        let expected = handshake(&server, missing);
        assert_eq!(said(&server, authority.trust()), expected);
        let identity = Some(Authority::new("another CA").client("cadenas"));
        let cluster = Cluster::new(Config { identity, ..config(&[&server], authority.trust()) }).expect("fits");
        let error = cluster.locate("a").expect_err("refused");
        assert_eq!(error.to_string(), handshake(&server, "it refuses our client certificate (TLS alert UnknownCA)"));
        assert!(error.kind.is_about_certificates() && !error.kind.is_server_verdict());
    }
}

#[test]
fn a_certificate_can_be_looked_at_before_it_is_trusted() {
    let (authority, clients) = (Authority::new("test CA"), Authority::new("CA of the clients"));
    for tls in BOTH {
        let server = strict(&authority, &clients, tls);
        let shown = fetch_certificate(&server.endpoint(), &TIMEOUTS).expect("shown without a client certificate");
        assert_eq!((shown.subject.as_str(), shown.issuer.as_str()), ("CN=key server", "CN=test CA"));
        assert_eq!(shown.names, ["localhost", "127.0.0.1"]);
        assert!(shown.not_before < shown.not_after);
        assert_eq!(CertificateFingerprint::of(&shown.chain[0]), shown.sha256);
        assert!(shown.pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(server.take_full_log().is_empty(), "no message was sent");
    }
}

#[test]
fn a_certificate_that_cannot_be_looked_at_says_why() {
    let mut scene = Scene::new();
    scene.server.stop();
    let fetched = |scene: &Scene| -> Result<_, KmipError> { fetch_certificate(&scene.server.endpoint(), &TIMEOUTS) };
    assert_eq!(scene.said(fetched(&scene)), "connect: connection refused");
    let scene = Scene::with(ServerOptions { tls: Tls::Plain(b"hello, hello"), ..ServerOptions::default() });
    assert_eq!(
        scene.said(fetched(&scene)),
        "TLS handshake: what answers there does not speak TLS: is it the right port?"
    );
}
