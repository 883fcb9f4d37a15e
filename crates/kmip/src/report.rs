//! What works with a server and what does not.

use std::time::Duration;

use crate::{Endpoint, KmipError, KmipOperation, ServerCertificate, ServerText, Version};

/// What [`crate::Cluster::probe`] found out about one server, step by step. A step that fails makes those that need it
/// [`Step::Skipped`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointReport {
    /// The server.
    pub endpoint: Endpoint,
    /// The TCP connection, and how long it took.
    pub tcp: Step<Duration>,
    /// TLS, with the certificates of both sides.
    pub tls: Step<TlsReport>,
    /// The version of KMIP.
    pub version: Step<VersionReport>,
    /// The operations, and what the server calls itself.
    pub operations: Step<OperationsReport>,
    /// How long a small request takes on an open connection.
    pub round_trip: Step<Duration>,
}

impl EndpointReport {
    /// The first failure, if there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&KmipError> {
        let failures = [
            self.tcp.failure(),
            self.tls.failure(),
            self.version.failure(),
            self.operations.failure(),
            self.round_trip.failure(),
        ];
        failures.into_iter().flatten().next()
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// It worked.
    Done(T),
    /// It did not.
    Failed(KmipError),
    /// One before it did not.
    Skipped,
}

impl<T> Step<T> {
    /// What it brought, if it worked.
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Failed(_) | Self::Skipped => None,
        }
    }

    /// Why it did not work, if it was tried and did not.
    pub fn failure(&self) -> Option<&KmipError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done(_) | Self::Skipped => None,
        }
    }
}

impl<T> From<Result<T, KmipError>> for Step<T> {
    fn from(result: Result<T, KmipError>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) => Self::Failed(error),
        }
    }
}

/// The TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReport {
    /// As `TLSv1.3`.
    pub version: String,
    /// As `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The server's certificate, with its names and dates.
    pub certificate: ServerCertificate,
    /// Whether the server asked for a client certificate.
    pub asked_for_client_certificate: bool,
}

/// Which versions of KMIP there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionReport {
    /// Those that we offer.
    pub ours: Vec<Version>,
    /// Those that the server names. Empty for a server that does not know the question, which is then asked in 1.0.
    pub theirs: Vec<Version>,
    /// The one that is used.
    pub used: Version,
}

/// What a server can do (Query: 1.4, 4.25).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationsReport {
    /// Those that we use and the server says it has.
    pub supported: Vec<KmipOperation>,
    /// Those that we need and the server does not name.
    pub missing: Vec<KmipOperation>,
    /// What the server calls itself; empty if it does not say.
    pub vendor: ServerText,
}
