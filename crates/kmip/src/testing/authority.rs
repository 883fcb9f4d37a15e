//! A CA of a test's own.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use cadenas_secret::SecretBytes;
use der::Decode as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use x509_cert::request::CertReq;

use crate::{ClientIdentity, Trust, certificate};

const DAY: Duration = Duration::from_hours(24);

/// A CA with a P-256 key.
pub struct Authority {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with the key that fits it.
pub struct Certified {
    /// DER, the own one first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8.
    pub key: SecretBytes,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// Now.
    Now,
    /// Until yesterday.
    Past,
    /// From tomorrow on.
    Future,
}

impl Authority {
    /// A new one with this common name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = new_key();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a CA can sign itself").der().to_vec();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its own certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        certificate::pem("CERTIFICATE", &self.certificate)
    }

    /// Trust in it alone.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::Ca(vec![self.certificate.clone()])
    }

    /// A server's certificate for these hosts.
    #[must_use]
    pub fn server(&self, hosts: &[&str], dates: Dates) -> Certified {
        let mut params = server_params(hosts);
        let days = dates.days();
        params.not_before = moment(*days.start());
        params.not_after = moment(*days.end());
        self.certified(&params)
    }

    /// A certificate for these hosts that a server signed itself, as one of a CA or as one of a server.
    #[must_use]
    pub fn self_signed_server(hosts: &[&str], as_ca: bool) -> Certified {
        let mut params = server_params(hosts);
        params.is_ca = if as_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = new_key();
        let own = params.self_signed(&key).expect("a key can sign its certificate").der().to_vec();
        Certified { chain: vec![own], key: SecretBytes::take_from(key.serialize_der()) }
    }

    /// A client's certificate.
    #[must_use]
    pub fn client(&self, name: &str) -> ClientIdentity {
        let Certified { chain, key } = self.certified(&client_params(name));
        ClientIdentity::from_parts(chain, key).expect("a certificate with its key")
    }

    /// The certificate in PEM for what a request (PKCS#10, DER) asks for.
    #[must_use]
    pub fn sign(&self, request: &[u8]) -> String {
        let request = CertReq::from_der(request).expect("a request");
        let key = P256PublicKey(request.info.public_key.subject_public_key.raw_bytes().to_vec());
        let signed = client_params("signed").signed_by(&key, &self.issuer).expect("a CA can sign");
        certificate::pem("CERTIFICATE", signed.der())
    }

    fn certified(&self, params: &CertificateParams) -> Certified {
        let key = new_key();
        let own = params.signed_by(&key, &self.issuer).expect("a CA can sign").der().to_vec();
        Certified { chain: vec![own], key: SecretBytes::take_from(key.serialize_der()) }
    }
}

/// The public key that a request is for.
struct P256PublicKey(Vec<u8>);

impl PublicKeyData for P256PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Dates {
    /// From which day on and until which, seen from today.
    fn days(self) -> RangeInclusive<i32> {
        match self {
            Self::Now => -1..=30,
            Self::Past => -30..=-1,
            Self::Future => 1..=30,
        }
    }
}

fn server_params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = distinguished("key server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(name);
    params
}

fn distinguished(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the random generator works")
}

fn moment<T: From<SystemTime>>(days: i32) -> T {
    let distance = DAY * days.unsigned_abs();
    let now = SystemTime::now();
    if days < 0 { now - distance } else { now + distance }.into()
}
