//! What an error of TCP or TLS means.

use std::{io, time::Duration};

use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

use crate::KmipErrorKind;

/// What was going on when it went wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    /// The TLS handshake, or messages after it.
    pub(super) stage: Stage,
    /// Whether the server asked for a client certificate.
    pub(super) asked: bool,
    /// Whether we have one.
    pub(super) has_identity: bool,
    /// The time that there was.
    pub(super) limit: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Handshake,
    Messages,
}

impl Situation {
    /// The cause of `error`.
    pub(super) fn kind(&self, error: &io::Error) -> KmipErrorKind {
        if let Some(error) = tls_error(error) {
            return self.tls(error);
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.timeout(),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => KmipErrorKind::Closed,
            _ => KmipErrorKind::Unreachable { reason: error.to_string() },
        }
    }

    fn timeout(&self) -> KmipErrorKind {
        match self.stage {
            Stage::Handshake => KmipErrorKind::ConnectTimeout { limit: self.limit },
            Stage::Messages => KmipErrorKind::CallTimeout { limit: self.limit },
        }
    }

    fn tls(&self, error: &Error) -> KmipErrorKind {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => {
                let ours = reason.downcast_ref().cloned();
                ours.unwrap_or_else(|| KmipErrorKind::CertificateUnusable { reason: reason.to_string() })
            }
            Error::InvalidCertificate(error) => KmipErrorKind::CertificateUnusable { reason: error.to_string() },
            Error::InvalidMessage(_) if self.stage == Stage::Handshake => KmipErrorKind::NotTls,
            Error::AlertReceived(alert) => self.alert(*alert),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => KmipErrorKind::Tls { reason: "it speaks neither TLS 1.2 nor TLS 1.3".to_owned() },
            other => KmipErrorKind::Tls { reason: other.to_string() },
        }
    }

    /// An alert by which the server ended the connection (RFC 8446, 6.2; RFC 5246, 7.2.2).
    fn alert(&self, alert: AlertDescription) -> KmipErrorKind {
        let named = alert.as_str().map_or_else(|| format!("{:#04x}", u8::from(alert)), str::to_owned);
        if !self.is_about_client_certificate(alert) {
            return KmipErrorKind::Tls { reason: format!("the server ended it with the alert {named}") };
        }
        if self.has_identity {
            KmipErrorKind::ClientCertificateRefused { alert: named }
        } else {
            KmipErrorKind::ClientCertificateMissing { alert: named }
        }
    }

    /// Before TLS 1.3 there is no alert for a missing certificate, and servers send a general one.
    fn is_about_client_certificate(&self, alert: AlertDescription) -> bool {
        match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::NoCertificate
            | AlertDescription::CertificateRequired => true,
            AlertDescription::AccessDenied | AlertDescription::HandshakeFailure | AlertDescription::DecryptError => {
                self.asked
            }
            _ => false,
        }
    }
}

/// The TLS error inside an I/O error, if it is one.
fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
