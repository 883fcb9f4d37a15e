//! Certificates, as far as people have to see them (X.509: RFC 5280).

use der::{Decode as _, asn1::OctetString};
use pem_rfc7468::LineEnding;
use x509_cert::{
    Certificate,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::{CertificateFingerprint, ServerText};

/// A server's certificate, to be shown to a person who decides whether to trust it. It proves nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Whom it is for, as RFC 4514 writes names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The hosts that it is for: DNS names and IP addresses.
    pub names: Vec<String>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
    /// What to pin it by.
    pub sha256: CertificateFingerprint,
    /// The DER bytes of it and of those that the server sent along, in the server's order.
    pub chain: Vec<Vec<u8>>,
}

/// The bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate: {reason}")]
pub struct NotACertificate {
    pub(crate) reason: String,
}

impl ServerCertificate {
    /// Looks into the first certificate of a chain; the others are only kept.
    pub fn from_chain(chain: Vec<Vec<u8>>) -> Result<Self, NotACertificate> {
        let first = chain.first().ok_or_else(|| NotACertificate { reason: "there is none".to_owned() })?;
        let sha256 = CertificateFingerprint::of(first);
        let certificate = parse(first)?;
        let tbs = certificate.tbs_certificate();
        Ok(Self {
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            names: names(&certificate)?,
            not_before: seconds(tbs.validity().not_before),
            not_after: seconds(tbs.validity().not_after),
            sha256,
            chain,
        })
    }

    /// The chain in PEM, the server's own certificate first.
    #[must_use]
    pub fn pem(&self) -> String {
        self.chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }
}

/// The hosts that a certificate is for (RFC 5280, 4.2.1.6). The common name is none: nobody checks it any more.
pub(crate) fn host_names(der: &[u8]) -> Result<Vec<String>, NotACertificate> {
    names(&parse(der)?)
}

/// A PEM block (RFC 7468) of what is not secret.
pub(crate) fn pem(label: &'static str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der).expect("a label of ours, and memory for the text")
}

fn parse(der: &[u8]) -> Result<Certificate, NotACertificate> {
    Certificate::from_der(der).map_err(not_a_certificate)
}

fn names(certificate: &Certificate) -> Result<Vec<String>, NotACertificate> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(not_a_certificate)?;
    let Some((_, names)) = extension else {
        return Ok(Vec::new());
    };
    Ok(names.0.iter().filter_map(host_name).collect())
}

fn host_name(name: &GeneralName) -> Option<String> {
    match name {
        // Whoever made the certificate chose it, control characters included.
        GeneralName::DnsName(name) => Some(ServerText::new(name.as_str()).as_str().to_owned()),
        GeneralName::IpAddress(address) => ip_address(address),
        _ => None,
    }
}

fn ip_address(address: &OctetString) -> Option<String> {
    let bytes = address.as_bytes();
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    v4.or_else(v6).map(|address| address.to_string())
}

fn seconds(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn not_a_certificate(error: der::Error) -> NotACertificate {
    NotACertificate { reason: error.to_string() }
}
