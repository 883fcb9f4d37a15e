//! Looking at a server's certificate before anything is trusted.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Deadline, connect, tls};
use crate::{Endpoint, KmipError, KmipErrorKind, Operation, ServerCertificate, Timeouts};

/// The certificate that a server shows, for a person to look at and to pin. The server has proved that it has the key of it,
/// and nothing else. No client certificate is shown to it, and no message of KMIP is sent.
pub fn fetch_certificate(endpoint: &Endpoint, timeouts: &Timeouts) -> Result<ServerCertificate, KmipError> {
    let deadline = Deadline::after(timeouts.connect);
    let tcp = connect(endpoint, deadline).map_err(|kind| KmipError::new(endpoint, Operation::Connect, kind))?;
    let provider = tls::provider();
    let watcher = Arc::new(Watcher { algorithms: provider.signature_verification_algorithms, shown: Mutex::default() });
    let config = tls::client_config(provider, Arc::clone(&watcher) as _);
    let finished = tls::handshake(config, None, tcp, endpoint, deadline);
    let failed = |kind| KmipError::new(endpoint, Operation::TlsHandshake, kind);
    // A server that wants a client certificate ends the handshake, but not before it has shown its own.
    let chain = match (watcher.proved_chain(), finished) {
        (Some(chain), _) => chain,
        (None, Err(kind)) => return Err(failed(kind)),
        (None, Ok(_)) => return Err(failed(KmipErrorKind::Tls { reason: "no certificate was shown".to_owned() })),
    };
    ServerCertificate::from_chain(chain)
        .map_err(|error| failed(KmipErrorKind::CertificateUnusable { reason: error.to_string() }))
}

/// Takes any certificate whose key the server proves to have, and keeps it.
#[derive(Debug)]
struct Watcher {
    algorithms: WebPkiSupportedAlgorithms,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    chain: Vec<Vec<u8>>,
    proved: bool,
}

impl Watcher {
    fn proved_chain(&self) -> Option<Vec<Vec<u8>>> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.proved.then(|| std::mem::take(&mut shown.chain))
    }

    fn proved(&self) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).proved = true;
    }
}

impl ServerCertVerifier for Watcher {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).chain = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms).inspect(|_| self.proved())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms).inspect(|_| self.proved())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
