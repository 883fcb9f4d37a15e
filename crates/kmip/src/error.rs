//! What went wrong, with which server, while doing what.

use std::{fmt, time::Duration};

use crate::{
    CertificateFingerprint, CryptographicAlgorithm, Endpoint, KeyFormatType, ObjectType, Operation, ResultReason,
    ServerText, Version, ttlv, version::Versions,
};

/// Why a key server did not give what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmipError {
    /// The server; the first of the cluster if no single one is to blame.
    pub server: Endpoint,
    /// The step that failed.
    pub operation: Operation,
    /// Why.
    pub kind: KmipErrorKind,
}

impl KmipError {
    pub(crate) fn new(server: &Endpoint, operation: impl Into<Operation>, kind: KmipErrorKind) -> Self {
        Self { server: server.clone(), operation: operation.into(), kind }
    }
}

impl std::error::Error for KmipError {}

/// Names the server and the operation once, and then the cause.
impl fmt::Display for KmipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            kind @ KmipErrorKind::NoServer { .. } => write!(f, "{}: {kind}", self.operation),
            kind => write!(f, "key server {}: {}: {kind}", self.server, self.operation),
        }
    }
}

/// The cause, one variant for each. Texts of other machines in it are cut and have no control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum KmipErrorKind {
    // The way there.
    #[error("its name is not known: {reason}")]
    UnknownHost { reason: String },
    #[error("connection refused")]
    ConnectionRefused,
    #[error("it cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("no connection within {}", Seconds(*limit))]
    ConnectTimeout { limit: Duration },
    #[error("no whole answer within {}", Seconds(*limit))]
    CallTimeout { limit: Duration },
    #[error("the connection was closed before an answer came")]
    Closed,

    // TLS.
    #[error("what answers there does not speak TLS: is it the right port?")]
    NotTls,
    #[error("its certificate is from a CA that is not trusted here")]
    UnknownCa,
    #[error("its certificate expired at {}", Moment(*not_after))]
    CertificateExpired { not_after: i64 },
    #[error("its certificate is not valid before {}: is the clock right?", Moment(*not_before))]
    CertificateNotYetValid { not_before: i64 },
    #[error("its certificate is not for this name, but for {}", Names(names))]
    WrongName { names: Vec<String> },
    #[error(
        "its certificate is another one than was trusted: its fingerprint is {found}, trusted is {}",
        Listed(trusted)
    )]
    PinMismatch { trusted: Vec<CertificateFingerprint>, found: CertificateFingerprint },
    #[error("its certificate cannot be used: {reason}")]
    CertificateUnusable { reason: String },
    #[error("it refuses our client certificate (TLS alert {alert})")]
    ClientCertificateRefused { alert: String },
    #[error("it wants a client certificate, and none is set up (TLS alert {alert})")]
    ClientCertificateMissing { alert: String },
    #[error("TLS failed: {reason}")]
    Tls { reason: String },

    // The protocol.
    #[error("what answers there does not speak KMIP: is it the right port?")]
    NotKmip,
    #[error("no version of KMIP in common: ours are {}; it names {}", Versions(ours), Versions(theirs))]
    VersionNotShared { ours: Vec<Version>, theirs: Vec<Version> },
    #[error("the answer ends after {found} of {expected} bytes")]
    Truncated { found: usize, expected: usize },
    #[error("the answer has {claimed} bytes, and at most {} are read", ttlv::MAX_MESSAGE_BYTES)]
    TooLong { claimed: usize },
    #[error("the answer is nested more than {} levels deep", ttlv::MAX_DEPTH)]
    TooDeep,
    #[error("the answer is malformed: {what}")]
    Malformed { what: String },
    #[error("the answer has no batch item")]
    BatchItemMissing,
    #[error("the answer is to another request: {what}")]
    Mismatched { what: String },

    // The server's own verdict.
    #[error("it does not support the operation{said}")]
    OperationNotSupported { said: ServerText },
    #[error("permission denied{said}")]
    PermissionDenied { said: ServerText },
    #[error("it does not accept who we are{said}")]
    AuthenticationNotSuccessful { said: ServerText },
    #[error("it has no such key{said}")]
    NotFound { said: ServerText },
    #[error("the key's state does not allow it{said}")]
    KeyNotActive { said: ServerText },
    #[error("it refuses with {reason}{said}")]
    Refused { reason: ResultReason, said: ServerText },

    // The key.
    #[error("the object is {found}, and not a symmetric key")]
    NotASymmetricKey { found: ObjectType },
    #[error("the key is not for AES but for {found}")]
    WrongAlgorithm { found: CryptographicAlgorithm },
    #[error("the key has {bits} bits, and not 256")]
    WrongLength { bits: usize },
    #[error("the key comes as {found}, and not raw")]
    WrongFormat { found: KeyFormatType },
    #[error("the key comes wrapped with another key")]
    Wrapped,
    #[error("{count} keys have the name, and one was expected")]
    AmbiguousName { count: usize },

    // The cluster.
    #[error("no key server can be asked; the next attempt is made in {}{}", Seconds(*retry_in), Failures(failures))]
    NoServer { retry_in: Duration, failures: Vec<KmipError> },
}

impl KmipErrorKind {
    /// The server did its part and said no, or gave a key that cannot be used. Another server of the cluster would say the
    /// same, so it is not asked.
    #[must_use]
    pub fn is_server_verdict(&self) -> bool {
        matches!(
            self,
            Self::OperationNotSupported { .. }
                | Self::PermissionDenied { .. }
                | Self::AuthenticationNotSuccessful { .. }
                | Self::NotFound { .. }
                | Self::KeyNotActive { .. }
                | Self::Refused { .. }
                | Self::NotASymmetricKey { .. }
                | Self::WrongAlgorithm { .. }
                | Self::WrongLength { .. }
                | Self::WrongFormat { .. }
                | Self::Wrapped
                | Self::AmbiguousName { .. }
        )
    }

    /// No server could be asked or none answered: trying again later may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::UnknownHost { .. }
                | Self::ConnectionRefused
                | Self::Unreachable { .. }
                | Self::ConnectTimeout { .. }
                | Self::CallTimeout { .. }
                | Self::Closed
                | Self::NoServer { .. }
        )
    }

    /// The certificate of one side is the reason: somebody has to change trust or identity.
    #[must_use]
    pub fn is_about_certificates(&self) -> bool {
        matches!(
            self,
            Self::UnknownCa
                | Self::CertificateExpired { .. }
                | Self::CertificateNotYetValid { .. }
                | Self::WrongName { .. }
                | Self::PinMismatch { .. }
                | Self::CertificateUnusable { .. }
                | Self::ClientCertificateRefused { .. }
                | Self::ClientCertificateMissing { .. }
        )
    }

    /// The verdict that stands in an answer.
    pub(crate) fn verdict(reason: ResultReason, said: ServerText) -> Self {
        match reason {
            ResultReason::OPERATION_NOT_SUPPORTED => Self::OperationNotSupported { said },
            ResultReason::PERMISSION_DENIED | ResultReason::NOT_AUTHORISED => Self::PermissionDenied { said },
            ResultReason::AUTHENTICATION_NOT_SUCCESSFUL => Self::AuthenticationNotSuccessful { said },
            ResultReason::ITEM_NOT_FOUND | ResultReason::OBJECT_NOT_FOUND | ResultReason::OBJECT_DESTROYED => {
                Self::NotFound { said }
            }
            ResultReason::WRONG_KEY_LIFECYCLE_STATE => Self::KeyNotActive { said },
            reason => Self::Refused { reason, said },
        }
    }

    pub(crate) fn malformed(what: impl fmt::Display) -> Self {
        Self::Malformed { what: what.to_string() }
    }
}

/// What the encoding forbids, as the answer's fault.
impl From<ttlv::TtlvError> for KmipErrorKind {
    fn from(error: ttlv::TtlvError) -> Self {
        match error {
            ttlv::TtlvError::Truncated { found, expected } => Self::Truncated { found, expected },
            ttlv::TtlvError::TooLong { claimed } => Self::TooLong { claimed },
            ttlv::TtlvError::TooDeep => Self::TooDeep,
            other => Self::malformed(other),
        }
    }
}

/// A duration in seconds, with tenths where they matter.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.as_millis().div_ceil(100);
        if tenths.is_multiple_of(10) {
            write!(f, "{} s", tenths / 10)
        } else {
            write!(f, "{}.{} s", tenths / 10, tenths % 10)
        }
    }
}

/// Seconds since 1970, as a date and time.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "second {} since 1970", self.0),
        }
    }
}

/// `a, b or c`, or `no name at all`.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no name at all"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

struct Listed<'a>(&'a [CertificateFingerprint]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, pin)| {
            f.write_str(if at == 0 { "" } else { " or " })?;
            pin.fmt(f)
        })
    }
}

/// What came of the last attempt with each server.
struct Failures<'a>(&'a [KmipError]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|failure| write!(f, "; {failure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KmipOperation;

    fn error(kind: KmipErrorKind) -> KmipError {
        KmipError::new(&"kms1".parse().expect("an address"), KmipOperation::Get, kind)
    }

    #[test]
    fn a_message_names_server_operation_and_cause_once() {
        let text = error(KmipErrorKind::verdict(ResultReason::ITEM_NOT_FOUND, ServerText::new("no\nkey"))).to_string();
        assert_eq!(text, "key server kms1:5696: Get: it has no such key: it says \"no?key\"");
        let expired = KmipErrorKind::CertificateExpired { not_after: 1_577_836_800 };
        assert_eq!(
            error(expired).to_string(),
            "key server kms1:5696: Get: its certificate expired at 2020-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_cluster_without_servers_says_when_and_what_last_happened_with_each() {
        let failures = vec![error(KmipErrorKind::ConnectionRefused), error(KmipErrorKind::Closed)];
        let kind = KmipErrorKind::NoServer { retry_in: Duration::from_millis(1420), failures };
        assert!(kind.is_unavailable() && !kind.is_server_verdict());
        assert_eq!(
            error(kind).to_string(),
            "Get: no key server can be asked; the next attempt is made in 1.5 s; \
             key server kms1:5696: Get: connection refused; \
             key server kms1:5696: Get: the connection was closed before an answer came"
        );
    }

    #[test]
    fn a_pin_mismatch_shows_both_fingerprints() {
        let (one, other) = (CertificateFingerprint::of(b"one"), CertificateFingerprint::of(b"other"));
        let text = KmipErrorKind::PinMismatch { trusted: vec![one], found: other }.to_string();
        assert!(text.contains(&one.to_string()) && text.contains(&other.to_string()), "{text}");
    }

    #[test]
    fn seconds_are_rounded_up_and_never_shown_as_none() {
        for (millis, shown) in [(0, "0 s"), (1, "0.1 s"), (3000, "3 s"), (2950, "3 s"), (2901, "3 s"), (60_000, "60 s")]
        {
            assert_eq!(Seconds(Duration::from_millis(millis)).to_string(), shown);
        }
    }
}
