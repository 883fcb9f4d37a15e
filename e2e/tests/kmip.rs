//! The KMIP client against `PyKMIP`, a server and a client that others wrote.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cadenas_e2e::PyKmip;
use cadenas_kmip::{
    CertificateFingerprint, ClientIdentity, Cluster, Config, Credential, IdentityRequest, KEY_BYTES, KeyState,
    KmipError, KmipErrorKind, KmipId, KmipOperation, RevocationReason, Timeouts, Trust, Version, fetch_certificate,
};
use cadenas_secret::SecretBytes;

const VM: &str = "7b9c8d1e-0000-4000-8000-000000000001";
/// The machine may be busy with other tests.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(20),
    call: Duration::from_secs(20),
    first_backoff: Duration::from_millis(500),
    longest_backoff: Duration::from_secs(1),
};

fn trust(kms: &PyKmip) -> Trust {
    Trust::Ca(vec![der(&fs::read(kms.ca()).unwrap())])
}

/// The one certificate in a PEM text.
fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let inside = text.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    STANDARD.decode(inside).unwrap()
}

fn config(kms: &PyKmip, identity: Option<ClientIdentity>) -> Config {
    let endpoints = vec![kms.address().parse().unwrap()];
    Config { endpoints, trust: trust(kms), identity, credential: None, timeouts: TIMEOUTS }
}

/// The identity that `PyKMIP`'s CA made for a client.
fn identity(kms: &PyKmip, name: &str) -> ClientIdentity {
    let files = kms.client(name);
    let key = SecretBytes::take_from(fs::read(files.key).unwrap());
    ClientIdentity::from_pem(&fs::read(files.certificate).unwrap(), &key).unwrap()
}

fn cluster(kms: &PyKmip, name: &str) -> Cluster {
    Cluster::new(config(kms, Some(identity(kms, name)))).unwrap()
}

fn said<T: std::fmt::Debug>(kms: &PyKmip, result: Result<T, KmipError>) -> String {
    let text = result.unwrap_err().to_string();
    text.strip_prefix(&format!("key server {}: ", kms.address())).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_key_lives_and_dies_in_every_version() {
    let kms = PyKmip::start();
    for version in Version::SPOKEN {
        let cluster = Cluster::offering(config(&kms, Some(identity(&kms, "cadenas"))), &[version]).unwrap();
        let name = format!("cadenas-{version}");
        let before = now();
        let id = cluster.create_key(&name, VM).unwrap_or_else(|error| panic!("{version}: {error}"));
        let key = cluster.key(&id).unwrap();
        assert_eq!((key.material.len(), key.state, &key.names), (KEY_BYTES, KeyState::Active, &vec![name.clone()]));
        assert!((before - 5..before + 60).contains(&key.created.unwrap()), "{key:?}");
        assert_eq!(cluster.locate(&name).unwrap(), std::slice::from_ref(&id));
        cluster.activate(&id).unwrap();

        let refused = said(&kms, cluster.destroy(&id));
        assert_eq!(refused, "Destroy: permission denied: it says \"Object is active and cannot be destroyed.\"");
        cluster.revoke(&id, RevocationReason::Superseded).unwrap();
        assert_eq!(cluster.key(&id).unwrap().state, KeyState::Deactivated);
        cluster.destroy(&id).unwrap();
        let gone = said(&kms, cluster.key(&id));
        assert_eq!(gone, format!("Get: it has no such key: it says \"Could not locate object: {id}\""));

        let material = SecretBytes::random(KEY_BYTES);
        let id = cluster.register(&format!("imported-{version}"), VM, &material).unwrap();
        let key = cluster.key(&id).unwrap();
        assert!(key.material.equals(material.expose()), "{version}");
        assert_eq!(key.state, KeyState::PreActive);
        cluster.revoke(&id, RevocationReason::KeyCompromise).unwrap();
        assert_eq!(cluster.attributes(&id).unwrap().state, KeyState::Compromised);
        cluster.destroy(&id).unwrap();
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[test]
fn each_client_reads_what_the_other_made() {
    let kms = PyKmip::start();
    let cluster = cluster(&kms, "cadenas");
    let theirs = kms.script(
        "cadenas",
        "id = client.create(enums.CryptographicAlgorithm.AES, 256, name='theirs')\n\
         print(id, client.get(id).value.hex())",
    );
    let (id, material) = theirs.trim().split_once(' ').unwrap();
    let id: KmipId = id.parse().unwrap();
    assert_eq!(cluster.locate("theirs").unwrap(), std::slice::from_ref(&id));
    let key = cluster.key(&id).unwrap();
    assert_eq!((hex::encode(key.material.expose()).as_str(), key.state), (material, KeyState::PreActive));

    let ours = cluster.create_key("ours", VM).unwrap();
    let told = kms.script(
        "cadenas",
        &format!(
            "key = client.get('{ours}')\n\
             attributes = client.get_attributes('{ours}', ['State', 'Cryptographic Usage Mask', 'Name'])[1]\n\
             print(key.value.hex(), key.cryptographic_algorithm.name, key.cryptographic_length)\n\
             print([attribute.attribute_value.value for attribute in attributes[:2]])\n\
             print(client.locate(attributes=[attributes[2]]))"
        ),
    );
    let lines: Vec<_> = told.lines().collect();
    let material = hex::encode(cluster.key(&ours).unwrap().material.expose());
    assert_eq!(lines[0], format!("{material} AES 256"));
    assert!(lines[1].contains("<State.ACTIVE: 2>") && lines[1].contains("60"), "{told}");
    assert_eq!(lines[2], format!("['{ours}']"));
}

#[test]
fn a_key_of_another_kind_is_named() {
    let kms = PyKmip::start();
    let cluster = cluster(&kms, "cadenas");
    let made = |script: &str| kms.script("cadenas", script).trim().parse::<KmipId>().unwrap();
    let short = made("print(client.create(enums.CryptographicAlgorithm.AES, 128))");
    assert_eq!(said(&kms, cluster.key(&short)), "Get: the key has 128 bits, and not 256");
    let other = made("print(client.create(enums.CryptographicAlgorithm.BLOWFISH, 256))");
    assert_eq!(said(&kms, cluster.key(&other)), "Get: the key is not for AES but for algorithm 0x10");
    let secret = made("print(client.register(objects.SecretData(b'secret', enums.SecretDataType.PASSWORD)))");
    assert_eq!(said(&kms, cluster.key(&secret)), "Get: the object is Secret Data, and not a symmetric key");
}

#[test]
fn what_an_administrator_does_to_a_key_is_seen() {
    let kms = PyKmip::start();
    let cluster = cluster(&kms, "cadenas");
    let id = cluster.create_key("cadenas-web01", VM).unwrap();
    for (state, seen) in [
        ("PRE_ACTIVE", KeyState::PreActive),
        ("DEACTIVATED", KeyState::Deactivated),
        ("COMPROMISED", KeyState::Compromised),
        ("DESTROYED", KeyState::Destroyed),
        ("DESTROYED_COMPROMISED", KeyState::DestroyedCompromised),
        ("ACTIVE", KeyState::Active),
    ] {
        kms.set_state(id.as_str(), state);
        assert_eq!(cluster.attributes(&id).unwrap().state, seen);
        assert_eq!(cluster.key(&id).unwrap().state, seen);
    }
    drop(kms.script("cadenas", &format!("client.revoke(enums.RevocationReasonCode.KEY_COMPROMISE, '{id}')")));
    assert_eq!(cluster.key(&id).unwrap().state, KeyState::Compromised);
    drop(kms.script("cadenas", &format!("client.destroy('{id}')")));
    assert!(matches!(cluster.key(&id).unwrap_err().kind, KmipErrorKind::NotFound { .. }));
}

#[test]
fn another_clients_key_is_out_of_reach() {
    let kms = PyKmip::start();
    let (ours, others) = (cluster(&kms, "cadenas"), cluster(&kms, "somebody"));
    let id = ours.create_key("cadenas-web01", VM).unwrap();
    let denied = format!("permission denied: it says \"Could not locate object: {id}\"");
    assert_eq!(said(&kms, others.key(&id)), format!("Get: {denied}"));
    assert_eq!(said(&kms, others.attributes(&id)), format!("Get Attributes: {denied}"));
    assert_eq!(said(&kms, others.destroy(&id)), format!("Destroy: {denied}"));
    assert_eq!(others.locate("cadenas-web01").unwrap(), []);
    ours.key(&id).unwrap();
}

#[test]
fn certificates_of_our_own_making_are_taken() {
    let mut kms = PyKmip::start();
    let request = IdentityRequest::new("cadenas").unwrap();
    let signed = kms.sign(&request.request_pem());
    let requested = request.complete(signed.as_bytes()).unwrap();
    let id = Cluster::new(config(&kms, Some(requested))).unwrap().create_key("cadenas-web01", VM).unwrap();

    let alone = ClientIdentity::self_signed("cadenas", 1).unwrap();
    let pem = alone.certificate_pem();
    let cluster = Cluster::new(config(&kms, Some(alone))).unwrap();
    let refused = said(&kms, cluster.key(&id));
    assert_eq!(refused, "TLS handshake: it refuses our client certificate (TLS alert UnknownCA)");
    kms.trust(&pem);
    drop(cluster.probe());
    cluster.key(&id).unwrap();
}

#[test]
fn without_a_certificate_it_says_what_is_missing() {
    let kms = PyKmip::start();
    let cluster = Cluster::new(config(&kms, None)).unwrap();
    assert_eq!(
        said(&kms, cluster.locate("a")),
        "TLS handshake: it wants a client certificate, and none is set up (TLS alert HandshakeFailure)"
    );
}

#[test]
fn its_certificate_can_be_looked_at_and_pinned() {
    let kms = PyKmip::start();
    let shown = fetch_certificate(&kms.address().parse().unwrap(), &TIMEOUTS).unwrap();
    assert_eq!((shown.subject.as_str(), shown.issuer.as_str()), ("CN=server", "CN=PyKMIP CA"));
    assert_eq!(shown.names, ["localhost", "127.0.0.1"]);
    assert_eq!(shown.sha256, CertificateFingerprint::of(&der(&fs::read(kms.certificate()).unwrap())));
    let pinned = |pin| {
        let trust = Trust::Pinned(vec![pin]);
        Cluster::new(Config { trust, ..config(&kms, Some(identity(&kms, "cadenas"))) }).unwrap()
    };
    pinned(shown.sha256).locate("a").unwrap();
    let error = pinned(CertificateFingerprint::of(b"another")).locate("a").unwrap_err();
    assert!(matches!(error.kind, KmipErrorKind::PinMismatch { .. }), "{error}");
}

/// `PyKMIP` looks at no password, but it must be able to read past it.
#[test]
fn a_user_and_password_may_go_along() {
    let kms = PyKmip::start();
    let password = SecretBytes::take_from(b"correct horse".to_vec());
    for version in [Version::V1_0, Version::V2_0] {
        let password = SecretBytes::take_from(password.expose().to_vec());
        let credential = Some(Credential { user: "cadenas".to_owned(), password });
        let config = Config { credential, ..config(&kms, Some(identity(&kms, "cadenas"))) };
        Cluster::offering(config, &[version]).unwrap().create_key(&format!("cadenas-{version}"), VM).unwrap();
    }
}

#[test]
fn a_probe_tells_what_it_is() {
    let kms = PyKmip::start();
    let [report] = cluster(&kms, "cadenas").probe().try_into().unwrap();
    assert_eq!(report.failure(), None);
    let tls = report.tls.done().unwrap();
    assert_eq!((tls.version.as_str(), tls.asked_for_client_certificate), ("TLSv1_2", true));
    let version = report.version.done().unwrap();
    assert_eq!((version.used, &version.theirs), (Version::V2_0, &Version::SPOKEN.to_vec()));
    let operations = report.operations.done().unwrap();
    assert_eq!(operations.vendor.as_str(), "PyKMIP 0.11.0 Software Server");
    assert_eq!(operations.missing, []);
    assert!(operations.supported.contains(&KmipOperation::Register));
}

#[test]
fn a_server_that_was_away_is_used_again() {
    let (mut first, mut second) = (PyKmip::start(), PyKmip::start());
    let mut config = config(&first, Some(identity(&first, "cadenas")));
    config.endpoints.push(second.address().parse().unwrap());
    config.trust = Trust::Ca([&first, &second].map(|kms| der(&fs::read(kms.ca()).unwrap())).to_vec());
    let cluster = Cluster::new(config).unwrap();
    let id = cluster.create_key("cadenas-web01", VM).unwrap();
    first.restart();
    cluster.key(&id).expect("the broken connection is replaced");
    first.stop();
    second.stop();
    let error = cluster.key(&id).unwrap_err();
    assert!(error.kind.is_unavailable(), "{error}");
    let began = Instant::now();
    let error = cluster.key(&id).unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(1) && error.contains("the next attempt is made in"), "{error}");
    first.restart();
    std::thread::sleep(TIMEOUTS.longest_backoff);
    cluster.key(&id).expect("it is back, with its keys");
}
