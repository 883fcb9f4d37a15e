//! What a cluster has to know.

use std::{collections::BTreeSet, fmt, time::Duration};

use cadenas_secret::SecretBytes;

use crate::{CertificateFingerprint, ClientIdentity, Endpoint};

/// How to reach and trust a cluster of key servers, and who we are to it.
#[derive(Debug)]
pub struct Config {
    /// The servers, which hold the same keys, in the order in which they are asked.
    pub endpoints: Vec<Endpoint>,
    /// Which servers are the right ones.
    pub trust: Trust,
    /// The client certificate, if they want one. Nearly all do.
    pub identity: Option<ClientIdentity>,
    /// A user name and password, if they want that.
    pub credential: Option<Credential>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How a server proves that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Its certificate comes from one of these CAs (DER), is valid now, and is for the host that was asked.
    Ca(Vec<Vec<u8>>),
    /// Its certificate is one of these. Neither its dates nor its names matter: the fingerprint is the identity.
    Pinned(Vec<CertificateFingerprint>),
}

/// A user of the key server (1.4, 2.1.2: a credential of the type Username and Password).
pub struct Credential {
    /// The user's name.
    pub user: String,
    /// The password, in UTF-8.
    pub password: SecretBytes,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.user)
    }
}

/// How long to wait for what. Each is a deadline for the whole of it: a server that sends a byte now and then gets no more time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the address, TCP and TLS together.
    pub connect: Duration,
    /// For a request and its whole answer.
    pub call: Duration,
    /// How long a server is left alone after its first failure. It doubles with each that follows.
    pub first_backoff: Duration,
    /// How long at most.
    pub longest_backoff: Duration,
}

/// 3 seconds to connect, 5 for a call; a failing server is left alone for 1 second, and for a minute at most.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            call: Duration::from_secs(5),
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_mins(1),
        }
    }
}

/// Why no cluster can be made of a [`Config`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum ConfigError {
    #[error("no key server is named")]
    NoEndpoint,
    #[error("the key server {endpoint} is named twice")]
    DuplicateEndpoint { endpoint: Endpoint },
    #[error("nothing is trusted: give the CA's certificate, or the fingerprint of the server's")]
    NoTrust,
    #[error("certificate {number} of the trusted CAs cannot be used: {reason}")]
    UnusableCa { number: usize, reason: String },
    #[error("the client certificate cannot be used: {reason}")]
    UnusableIdentity { reason: String },
    #[error("the user name for the key server is empty")]
    NoUserName,
    #[error("the password for the key server is not UTF-8")]
    PasswordNotText,
}

impl Config {
    /// Checks what the types do not. Certificates and keys are checked where TLS takes them.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        if let Some(endpoint) = self.endpoints.iter().find(|endpoint| !seen.insert(*endpoint)) {
            return Err(ConfigError::DuplicateEndpoint { endpoint: endpoint.clone() });
        }
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        self.credential.as_ref().map_or(Ok(()), Credential::check)
    }
}

impl Credential {
    fn check(&self) -> Result<(), ConfigError> {
        if self.user.is_empty() {
            return Err(ConfigError::NoUserName);
        }
        std::str::from_utf8(self.password.expose()).map_err(|_| ConfigError::PasswordNotText).map(drop)
    }

    /// The password as text.
    pub(crate) fn password_text(&self) -> &str {
        std::str::from_utf8(self.password.expose()).expect("checked when the cluster was made")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoints: &[&str]) -> Config {
        Config {
            endpoints: endpoints.iter().map(|text| text.parse().expect("an address")).collect(),
            trust: Trust::Pinned(vec![CertificateFingerprint::of(b"")]),
            identity: None,
            credential: None,
            timeouts: Timeouts::default(),
        }
    }

    fn with_credential(user: &str, password: &[u8]) -> Config {
        let credential = Credential { user: user.to_owned(), password: SecretBytes::take_from(password.to_vec()) };
        Config { credential: Some(credential), ..config(&["kms1"]) }
    }

    #[test]
    fn endpoints_are_needed_and_differ() {
        assert_eq!(config(&["kms1", "kms2"]).check(), Ok(()));
        assert_eq!(config(&[]).check(), Err(ConfigError::NoEndpoint));
        let twice = config(&["kms1", "kms2", "KMS1:5696"]).check().expect_err("the same server twice");
        assert_eq!(twice.to_string(), "the key server kms1:5696 is named twice");
    }

    #[test]
    fn a_credential_is_text_and_its_password_is_not_shown() {
        let config = with_credential("cadenas", b"hunter2");
        assert_eq!(config.check(), Ok(()));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(with_credential("", b"hunter2").check(), Err(ConfigError::NoUserName));
        assert_eq!(with_credential("cadenas", b"\xff").check(), Err(ConfigError::PasswordNotText));
    }
}
