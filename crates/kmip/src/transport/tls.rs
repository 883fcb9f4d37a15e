//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) by rustls, on AWS-LC.

use std::{
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, ClientConnection, SignatureScheme,
    client::{ResolvesClientCert, Resumption, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    sign::CertifiedKey,
};

use super::{
    Deadline,
    deadline::DeadlineStream,
    failure::{Situation, Stage},
    trust,
};
use crate::{ClientIdentity, ConfigError, Endpoint, KmipErrorKind, Trust};

/// Whom we trust and who we are, ready for any number of connections.
pub(crate) struct TlsSettings {
    config: ClientConfig,
    identity: Option<Arc<CertifiedKey>>,
}

impl TlsSettings {
    pub(crate) fn new(trust: &Trust, identity: Option<&ClientIdentity>) -> Result<Self, ConfigError> {
        let provider = provider();
        let verifier = trust::verifier(trust, &provider)?;
        let identity = identity
            .map(ClientIdentity::certified_key)
            .transpose()
            .map_err(|error| ConfigError::UnusableIdentity { reason: error.to_string() })?;
        Ok(Self { config: client_config(provider, verifier), identity: identity.map(Arc::new) })
    }

    /// Agrees on TLS over an open connection.
    pub(super) fn handshake(
        &self,
        tcp: TcpStream,
        endpoint: &Endpoint,
        deadline: Deadline,
    ) -> Result<TlsStream, KmipErrorKind> {
        handshake(self.config.clone(), self.identity.clone(), tcp, endpoint, deadline)
    }
}

/// A TLS connection, and what is to be known of it when it fails.
pub(super) struct TlsStream {
    pub(super) tls: ClientConnection,
    pub(super) tcp: DeadlineStream,
    asking: Arc<ClientCertificate>,
}

impl TlsStream {
    /// Whether the server asked for a client certificate.
    pub(super) fn asked(&self) -> bool {
        self.asking.asked.load(Ordering::Relaxed)
    }

    pub(super) fn situation(&self, stage: Stage, deadline: Deadline) -> Situation {
        self.asking.situation(stage, deadline)
    }
}

/// The cryptography, named here so that nothing depends on a default of the process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(super) fn client_config(provider: Arc<CryptoProvider>, verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session skips the server's certificate. Connections are kept instead.
    config.resumption = Resumption::disabled();
    config
}

pub(super) fn handshake(
    mut config: ClientConfig,
    identity: Option<Arc<CertifiedKey>>,
    tcp: TcpStream,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Result<TlsStream, KmipErrorKind> {
    let asking = Arc::new(ClientCertificate { identity, asked: AtomicBool::new(false) });
    config.client_auth_cert_resolver = Arc::clone(&asking) as _;
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|error| KmipErrorKind::Tls { reason: error.to_string() })?;
    let mut tls = ClientConnection::new(Arc::new(config), name)
        .map_err(|error| KmipErrorKind::Tls { reason: error.to_string() })?;
    let mut tcp = DeadlineStream::new(tcp, deadline);
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|error| {
            let error = last_words(&mut tls, &mut tcp).unwrap_or(error);
            asking.situation(Stage::Handshake, deadline).kind(&error)
        })?;
    }
    Ok(TlsStream { tls, tcp, asking })
}

/// The alert with which the server hung up, if we found out by writing before we read it.
pub(super) fn last_words(tls: &mut ClientConnection, tcp: &mut DeadlineStream) -> Option<io::Error> {
    tls.read_tls(tcp).ok().filter(|count| *count > 0)?;
    tls.process_new_packets().err().map(io::Error::other)
}

/// Shows our certificate when it is asked for, and remembers that it was.
#[derive(Debug)]
struct ClientCertificate {
    identity: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ClientCertificate {
    fn situation(&self, stage: Stage, deadline: Deadline) -> Situation {
        Situation {
            stage,
            asked: self.asked.load(Ordering::Relaxed),
            has_identity: self.identity.is_some(),
            limit: deadline.limit(),
        }
    }
}

impl ResolvesClientCert for ClientCertificate {
    /// Whatever the server hints at: it may know us without having named our issuer.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        // Also without one, so that we learn whether we are asked.
        true
    }
}
