//! What a standard provider is, as it is stored.

use cadenas_api::{CertificateView, KmsCluster, KmsTrust, Problem, ProblemCode, Sha256, chain};
use cadenas_keys::ProviderId;
use cadenas_kmip::{ClientIdentity, Cluster, Config, Credential, Endpoint, ServerCertificate, Timeouts, Trust};
use cadenas_secret::SecretBytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    providers::seal_failed,
    seal::{Seal, SealedPlace},
    text::Bytes,
};

/// The key servers, and how both sides know each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StandardRecord {
    /// In the order in which they are asked; at least one.
    pub(crate) servers: Vec<Endpoint>,
    pub(crate) trust: Option<TrustRecord>,
    pub(crate) identity: Option<IdentityRecord>,
    /// A key that waits for its certificate.
    pub(crate) request: Option<RequestRecord>,
    pub(crate) user: Option<UserRecord>,
}

/// How the servers' certificates are trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrustRecord {
    /// These very certificates.
    Pinned(Vec<Sha256>),
    /// What these sign; DER.
    Authorities(Vec<Bytes>),
}

/// The certificate that the servers know us by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityRecord {
    /// DER, our own first.
    chain: Vec<Bytes>,
    /// The private key, sealed.
    sealed: Bytes,
}

/// A private key and the request for its certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestRecord {
    /// PKCS#10, DER.
    pub(crate) request: Bytes,
    /// The private key, sealed.
    pub(crate) sealed: Bytes,
}

/// A user of the key servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRecord {
    name: String,
    /// The password, sealed.
    sealed: Bytes,
}

impl StandardRecord {
    /// Servers that nothing is known of yet.
    pub(crate) fn new(servers: Vec<Endpoint>) -> Self {
        Self { servers, trust: None, identity: None, request: None, user: None }
    }

    /// The servers as a cluster that can be asked. Unseals what they know us by.
    pub(crate) fn cluster(&self, seal: &dyn Seal, provider: ProviderId) -> Result<Cluster, Problem> {
        let Some(trust) = &self.trust else { return Err(not_trusted()) };
        let config = Config {
            endpoints: self.servers.clone(),
            trust: trust.to_config(),
            identity: self.identity.as_ref().map(|identity| identity.open(seal, provider)).transpose()?,
            credential: self.user.as_ref().map(|user| user.open(seal, provider)).transpose()?,
            timeouts: Timeouts::default(),
        };
        Cluster::new(config).map_err(|error| Problem::new(ProblemCode::ProviderNotUsable, error.to_string()))
    }

    /// As the API shows it: without anything secret.
    pub(crate) fn view(&self) -> KmsCluster {
        KmsCluster {
            servers: self.servers.iter().map(ToString::to_string).collect(),
            trust: self.trust.as_ref().map(TrustRecord::view),
            identity: self.identity.as_ref().and_then(IdentityRecord::view),
            csr_pending: self.request.is_some(),
            user: self.user.as_ref().map(|user| user.name.clone()),
        }
    }
}

fn not_trusted() -> Problem {
    Problem::new(ProblemCode::ProviderNotUsable, "the certificates of its key servers are not trusted yet")
        .next("Look at them and trust them: `cadenas provider trust NAME`.")
}

impl TrustRecord {
    fn to_config(&self) -> Trust {
        match self {
            Self::Pinned(pins) => {
                let pin = |pin: &Sha256| pin.to_string().parse().expect("64 hex digits");
                Trust::Pinned(pins.iter().map(pin).collect())
            }
            Self::Authorities(certificates) => Trust::Ca(certificates.iter().map(|der| der.0.clone()).collect()),
        }
    }

    fn view(&self) -> KmsTrust {
        match self {
            Self::Pinned(pins) => KmsTrust::Pinned(pins.clone()),
            Self::Authorities(certificates) => {
                KmsTrust::Authorities(certificates.iter().filter_map(|der| view_of(vec![der.0.clone()])).collect())
            }
        }
    }
}

impl IdentityRecord {
    pub(crate) fn seal(identity: &ClientIdentity, seal: &dyn Seal, provider: ProviderId) -> Result<Self, Problem> {
        let sealed = sealed(seal, SealedPlace::KmsIdentity { provider }, identity.key())?;
        Ok(Self { chain: identity.chain().iter().cloned().map(Bytes).collect(), sealed })
    }

    fn open(&self, seal: &dyn Seal, provider: ProviderId) -> Result<ClientIdentity, Problem> {
        let key = opened(seal, SealedPlace::KmsIdentity { provider }, &self.sealed)?;
        let chain = self.chain.iter().map(|der| der.0.clone()).collect();
        ClientIdentity::from_parts(chain, key).map_err(|error| Problem::internal(&error))
    }

    pub(crate) fn view(&self) -> Option<CertificateView> {
        view_of(self.chain.iter().map(|der| der.0.clone()).collect())
    }
}

impl UserRecord {
    pub(crate) fn seal(
        name: String,
        password: &SecretBytes,
        seal: &dyn Seal,
        provider: ProviderId,
    ) -> Result<Self, Problem> {
        Ok(Self { name, sealed: sealed(seal, SealedPlace::KmsPassword { provider }, password)? })
    }

    fn open(&self, seal: &dyn Seal, provider: ProviderId) -> Result<Credential, Problem> {
        let password = opened(seal, SealedPlace::KmsPassword { provider }, &self.sealed)?;
        Ok(Credential { user: self.name.clone(), password })
    }
}

pub(super) fn sealed(seal: &dyn Seal, place: SealedPlace, secret: &SecretBytes) -> Result<Bytes, Problem> {
    seal.seal(place, secret).map(Bytes).map_err(|error| seal_failed(&error))
}

pub(super) fn opened(seal: &dyn Seal, place: SealedPlace, sealed: &Bytes) -> Result<SecretBytes, Problem> {
    seal.unseal(place, &sealed.0).map_err(|error| seal_failed(&error))
}

/// A chain's first certificate for people; `None` if it is none, which was found out when it came.
fn view_of(chain: Vec<Vec<u8>>) -> Option<CertificateView> {
    ServerCertificate::from_chain(chain).ok().map(|certificate| view(&certificate))
}

/// A certificate for people.
pub(super) fn view(certificate: &ServerCertificate) -> CertificateView {
    CertificateView {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_before: time(certificate.not_before),
        not_after: time(certificate.not_after),
        sha256: Sha256(*certificate.sha256.as_bytes()),
        pem: certificate.pem(),
    }
}

/// Seconds since 1970; what lies beyond the calendar is as far as it goes.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// A certificate or private key that cannot be used.
pub(super) fn bad_certificate(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::BadCertificate, chain(error)).next("Nothing was changed. Give another file.")
}
