//! Deciding whether a server's certificate is the right one.
//!
//! Each verifier says why not as a [`KmipErrorKind`], which goes through rustls unchanged ([`refusal`], [`super::failure`]).

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{CertificateFingerprint, ConfigError, KmipErrorKind, Trust, certificate::host_names};

/// The verifier for this trust.
pub(super) fn verifier(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
    match trust {
        Trust::Ca(certificates) => Ok(Arc::new(ByCa { inner: by_roots(certificates, provider)? })),
        Trust::Pinned(pins) if pins.is_empty() => Err(ConfigError::NoTrust),
        Trust::Pinned(pins) => {
            let algorithms = provider.signature_verification_algorithms;
            Ok(Arc::new(ByFingerprint { trusted: pins.clone(), algorithms }))
        }
    }
}

fn by_roots(
    certificates: &[Vec<u8>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, ConfigError> {
    let mut roots = RootCertStore::empty();
    for (at, der) in certificates.iter().enumerate() {
        roots
            .add(CertificateDer::from(der.as_slice()).into_owned())
            .map_err(|error| ConfigError::UnusableCa { number: at + 1, reason: error.to_string() })?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| ConfigError::NoTrust)
}

/// Issuer, dates, purpose and name, as on the web (RFC 5280, RFC 6125).
#[derive(Debug)]
struct ByCa {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ByCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
            .map_err(|error| refusal(why_refused(error, end_entity)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn why_refused(error: Error, end_entity: &CertificateDer<'_>) -> KmipErrorKind {
    let Error::InvalidCertificate(error) = error else {
        return KmipErrorKind::CertificateUnusable { reason: error.to_string() };
    };
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => KmipErrorKind::UnknownCa,
        CertificateError::ExpiredContext { not_after, .. } => {
            KmipErrorKind::CertificateExpired { not_after: seconds(not_after) }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            KmipErrorKind::CertificateNotYetValid { not_before: seconds(not_before) }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            KmipErrorKind::WrongName { names: host_names(end_entity).unwrap_or_default() }
        }
        other => KmipErrorKind::CertificateUnusable { reason: unusable(&other) },
    }
}

/// The verifier's own reason. What it calls this is a self-signed certificate as `openssl req -x509` makes it.
fn unusable(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(OtherError(inner)) => match inner.to_string().as_str() {
            "CaUsedAsEndEntity" => "it is a CA's own; trust it by its fingerprint".to_owned(),
            other => other.to_owned(),
        },
        other => other.to_string(),
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The certificate itself is known. That the server has its key is proved by the handshake's signature, as always.
#[derive(Debug)]
struct ByFingerprint {
    trusted: Vec<CertificateFingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = CertificateFingerprint::of(end_entity);
        if self.trusted.contains(&found) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refusal(KmipErrorKind::PinMismatch { trusted: self.trusted.clone(), found }))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Our reason, in rustls's clothes.
fn refusal(kind: KmipErrorKind) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(kind))))
}
