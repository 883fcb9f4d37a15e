//! Standard key providers: the key servers behind them, and how both sides know each other.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Password;

/// The key servers of a standard provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KmsCluster {
    /// `HOST:PORT`, in the order in which they are asked.
    pub servers: Vec<String>,
    /// How a server's certificate is trusted; absent: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<KmsTrust>,
    /// The certificate that the servers know us by; absent: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<CertificateView>,
    /// Whether a certificate signing request waits for its certificate.
    #[serde(default)]
    pub csr_pending: bool,
    /// The user whose name and password go with each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How the servers' certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KmsTrust {
    /// A server has one of these very certificates.
    Pinned(Vec<Sha256>),
    /// A server's certificate is signed by one of these authorities, for its name, and valid today.
    Authorities(Vec<CertificateView>),
}

/// The SHA-256 fingerprint of a certificate: 64 hex digits in lower case; colons and upper case are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String)]
pub struct Sha256(pub [u8; 32]);

/// The text is not a SHA-256 fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint; write 64 hex digits, with or without colons")]
pub struct NotASha256;

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Sha256 {
    type Err = NotASha256;

    fn from_str(text: &str) -> Result<Self, NotASha256> {
        let digits: Vec<char> = text.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.iter().all(char::is_ascii_hexdigit) {
            return Err(NotASha256);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair: String = pair.iter().collect();
            *byte = u8::from_str_radix(&pair, 16).map_err(|_| NotASha256)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A certificate, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// DNS names and addresses that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Valid from.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
    /// Valid until.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
    /// Its fingerprint.
    pub sha256: Sha256,
    /// The certificate itself.
    pub pem: String,
}

/// A server's certificate, as it showed it, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShownCertificate {
    /// The server.
    pub server: String,
    /// Its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Replaces the servers of a standard provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetKmsServers {
    /// `HOST` or `HOST:PORT` (default port 5696), in the order in which they are asked.
    pub servers: Vec<String>,
}

/// Trusts the servers of a standard provider, in one of two ways.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustKms {
    /// Trust these very certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pin: Vec<Sha256>,
    /// Trust what these authorities signed: certificates in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// Gives a standard provider the identity that its servers know it by.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SetKmsIdentity {
    /// A new key with a certificate that it signs itself, to be uploaded to the key server.
    SelfSigned,
    /// A new key with a certificate signing request; the present identity stays until the certificate comes.
    Csr,
    /// The certificate that was signed for the request, in PEM, with its intermediates.
    Signed {
        /// The certificate.
        certificate: String,
    },
    /// A certificate and its private key from elsewhere, both in PEM.
    Uploaded {
        /// The certificate, with its intermediates.
        certificate: String,
        /// The private key, not encrypted.
        #[schema(value_type = String, format = Password)]
        key: Password,
    },
}

/// What [`SetKmsIdentity`] made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KmsIdentity {
    /// The certificate that is shown to the servers from now on; absent while only a request was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
    /// The certificate signing request, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

/// Gives a standard provider the user whose name and password go with each request, or takes it away.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetKmsUser {
    /// The user's name; absent: none from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Password>,
}

/// What works with one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KmsServerTest {
    /// The server.
    pub server: String,
    /// Whether everything that is needed works.
    pub ok: bool,
    /// Step by step, until one failed.
    pub steps: Vec<KmsTestStep>,
}

/// One step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KmsTestStep {
    /// `tcp`, `tls`, `version`, `operations`, `latency`.
    pub step: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found, or why it does not work.
    pub detail: String,
}

/// The state of a key in its key server (KMIP, section "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KmsKeyState {
    /// Not yet usable.
    PreActive,
    /// Usable.
    Active,
    /// Opens what it wrapped, wraps nothing any more.
    Deactivated,
    /// Somebody else may have it.
    Compromised,
    /// Gone.
    Destroyed,
    /// Gone, and somebody else may have it.
    DestroyedCompromised,
    /// The server does not know it.
    Missing,
}

impl fmt::Display for KmsKeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
            Self::DestroyedCompromised => "destroyed-compromised",
            Self::Missing => "missing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_with_and_without_colons() {
        let digits = "0123456789abcdef".repeat(4);
        let colons: Vec<_> =
            digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
        let parsed: Sha256 = digits.parse().expect("64 digits");
        assert_eq!(colons.join(":").parse(), Ok(parsed));
        assert_eq!(parsed.to_string(), digits);
        for other in ["", &digits[1..], &format!("{digits}0"), &digits.replace('f', "g"), "é"] {
            assert_eq!(other.parse::<Sha256>(), Err(NotASha256));
        }
    }

    #[test]
    fn a_private_key_does_not_show_in_debug() {
        let text = r#"{"uploaded": {"certificate": "-----BEGIN", "key": "hunter2"}}"#;
        let request: SetKmsIdentity = serde_json::from_str(text).expect("valid");
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
