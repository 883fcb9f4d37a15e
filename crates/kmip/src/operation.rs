//! What was being done when something went wrong.

use std::fmt;

use crate::codes::closed_codes;

closed_codes! {
    /// An operation of KMIP that we use (1.4, 9.1.3.2.27).
    KmipOperation {
        Create = 0x01 "Create";
        Register = 0x03 "Register";
        Locate = 0x08 "Locate";
        Get = 0x0a "Get";
        GetAttributes = 0x0b "Get Attributes";
        Activate = 0x12 "Activate";
        Revoke = 0x13 "Revoke";
        Destroy = 0x14 "Destroy";
        Query = 0x18 "Query";
        DiscoverVersions = 0x1e "Discover Versions";
    }
}

/// A step on the way to an answer, or the operation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Finding the server's address and opening a TCP connection.
    Connect,
    /// Agreeing on TLS, with both sides' certificates.
    TlsHandshake,
    /// A request and its answer.
    Kmip(KmipOperation),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::TlsHandshake => f.write_str("TLS handshake"),
            Self::Kmip(operation) => operation.fmt(f),
        }
    }
}

impl From<KmipOperation> for Operation {
    fn from(operation: KmipOperation) -> Self {
        Self::Kmip(operation)
    }
}
