//! Client certificates: made, requested, uploaded, stored.

use std::process::{Command, Stdio};

use cadenas_kmip::{
    ClientIdentity, Cluster, Config, IdentityError, IdentityRequest,
    testing::{Authority, Clients, ServerOptions, TestKeys},
};
use cadenas_secret::SecretBytes;

use crate::scene::{config, server};

/// Whether a server that trusts this certificate takes the identity.
fn is_taken(identity: ClientIdentity, trusted: &[u8]) -> bool {
    let authority = Authority::new("test CA");
    let options = ServerOptions { clients: Clients::Of(trusted.to_vec()), ..ServerOptions::default() };
    let server = server(&authority, &TestKeys::default(), options);
    let config = Config { identity: Some(identity), ..config(&[&server], authority.trust()) };
    Cluster::new(config).expect("fits").locate("a").is_ok()
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::take_from(text.as_bytes().to_vec())
}

fn copy(key: &SecretBytes) -> SecretBytes {
    SecretBytes::take_from(key.expose().to_vec())
}

#[test]
fn a_certificate_of_our_own_making_is_known_by_itself() {
    let identity = ClientIdentity::self_signed("cadenas", 3).expect("made");
    let text =
        openssl(&["x509", "-noout", "-subject", "-ext", "extendedKeyUsage,keyUsage"], &identity.certificate_pem());
    assert!(text.contains("CN = cadenas"), "{text}");
    assert!(text.contains("TLS Web Client Authentication") && text.contains("Digital Signature"), "{text}");
    let own = identity.chain()[0].clone();
    assert!(is_taken(identity, &own));
}

#[test]
fn a_request_is_completed_by_the_certificate_for_it() {
    let (ours, clients) = (IdentityRequest::new("cadenas").expect("made"), Authority::new("CA of the clients"));
    let text = openssl(&["req", "-noout", "-verify", "-subject"], &ours.request_pem());
    assert!(text.contains("CN = cadenas"), "{text}");
    let other = IdentityRequest::new("other").expect("made");
    let wrong = ours.complete(clients.sign(other.request()).as_bytes()).expect_err("another key's");
    assert_eq!(wrong, IdentityError::KeyDoesNotFit);
    assert_eq!(wrong.to_string(), "the private key does not fit the certificate");

    let stored = IdentityRequest::from_parts(copy(ours.key()), ours.request().to_vec()).expect("the same");
    let identity = stored.complete(clients.sign(stored.request()).as_bytes()).expect("completed");
    assert!(is_taken(identity, clients.certificate()));
}

#[test]
fn an_identity_is_stored_as_its_parts() {
    let clients = Authority::new("CA of the clients");
    let identity = clients.client("cadenas");
    let again = ClientIdentity::from_parts(identity.chain().to_vec(), copy(identity.key())).expect("the same");
    assert!(is_taken(again, clients.certificate()));
    let other = clients.client("other");
    let mixed = ClientIdentity::from_parts(other.chain().to_vec(), copy(identity.key())).expect_err("mixed");
    assert_eq!(mixed, IdentityError::KeyDoesNotFit);
    assert_eq!(
        ClientIdentity::from_parts(vec![], copy(identity.key())).expect_err("none"),
        IdentityError::NoCertificate
    );
    let damaged = ClientIdentity::from_parts(identity.chain().to_vec(), secret("key")).expect_err("no key");
    assert!(damaged.to_string().starts_with("the private key cannot be used: "), "{damaged}");
    assert!(!format!("{identity:?}").contains("key"));
}

/// OpenSSL writes private keys in three forms, for two algorithms.
#[test]
fn keys_as_openssl_writes_them_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(folder.path()).stderr(Stdio::null()).status();
        assert!(done.expect("openssl runs").success(), "{args:?}");
    };
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    run(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.sec1"]);
    run(&["pkcs8", "-topk8", "-nocrypt", "-in", "ec.sec1", "-out", "ec.pkcs8"]);
    run(&["pkcs8", "-topk8", "-passout", "pass:x", "-in", "ec.sec1", "-out", "ec.encrypted"]);
    run(&["ec", "-aes256", "-passout", "pass:x", "-in", "ec.sec1", "-out", "ec.sec1.encrypted"]);
    run(&["genrsa", "-traditional", "-out", "rsa.pkcs1", "2048"]);
    run(&["pkcs8", "-topk8", "-nocrypt", "-in", "rsa.pkcs1", "-out", "rsa.pkcs8"]);
    for (key, certificate) in [("ec.sec1", "ec.crt"), ("rsa.pkcs1", "rsa.crt")] {
        let extension = "basicConstraints=critical,CA:FALSE";
        let named = ["-subj", "/CN=cadenas", "-addext", extension];
        run(&[&["req", "-x509", "-new", "-key", key, "-out", certificate][..], &named].concat());
    }
    for (key, certificate) in
        [("ec.sec1", "ec.crt"), ("ec.pkcs8", "ec.crt"), ("rsa.pkcs1", "rsa.crt"), ("rsa.pkcs8", "rsa.crt")]
    {
        let identity = ClientIdentity::from_pem(text(certificate).as_bytes(), &secret(&text(key))).expect(key);
        let again = ClientIdentity::from_parts(identity.chain().to_vec(), copy(identity.key())).expect(key);
        assert!(is_taken(again, &identity.chain()[0]), "{key}");
    }
    let refused = |certificate: &str, key: &str| {
        ClientIdentity::from_pem(certificate.as_bytes(), &secret(key)).expect_err("no identity").to_string()
    };
    let (certificate, key) = (text("ec.crt"), text("ec.pkcs8"));
    for encrypted in ["ec.encrypted", "ec.sec1.encrypted"] {
        assert_eq!(
            refused(&certificate, &text(encrypted)),
            "the private key is encrypted: decrypt it first, as with `openssl pkey`"
        );
    }
    assert_eq!(refused(&certificate, &text("rsa.pkcs8")), "the private key does not fit the certificate");
    assert_eq!(
        refused(&key, &key),
        "there is no certificate: a PEM file has a block that begins with -----BEGIN CERTIFICATE-----"
    );
    assert_eq!(
        refused(&certificate, &certificate),
        "there is no private key: a PEM file has a block that begins with -----BEGIN PRIVATE KEY-----"
    );
    assert_eq!(refused(&certificate, &format!("{key}{key}")), "there are 2 private keys, and one is needed");
    let cut = &key[..key.len() - 30];
    assert_eq!(refused(&certificate, cut), "the PEM text is damaged: a block has no end");
    let not_base64 = key.replace("MIGH", "!!!!");
    assert_eq!(refused(&certificate, &not_base64), "the PEM text is damaged: a block is not in base64");
}

#[test]
fn names_and_validities_that_cannot_be_are_refused() {
    for name in ["", "a\nb", &"a".repeat(65)] {
        let error = ClientIdentity::self_signed(name, 1).expect_err("no name");
        assert!(error.to_string().contains("1 to 64 printable characters"), "{error}");
        IdentityRequest::new(name).expect_err("no name");
    }
    for years in [0, 101] {
        let error = ClientIdentity::self_signed("cadenas", years).expect_err("no validity");
        assert_eq!(error.to_string(), format!("a certificate for {years} years cannot be made: it takes 1 to 100"));
    }
}

fn openssl(args: &[&str], input: &str) -> String {
    use std::io::Write;

    let mut child =
        Command::new("openssl").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("openssl runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}
