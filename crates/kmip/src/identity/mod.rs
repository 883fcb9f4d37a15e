//! Who we are to a key server: a certificate and its private key.

mod pem;
mod pkcs8;
mod request;

use std::fmt;

use cadenas_secret::SecretBytes;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

pub use request::IdentityRequest;

use crate::certificate;

/// A client certificate with its chain, and the private key that fits it.
pub struct ClientIdentity {
    /// DER, our own certificate first. Never empty.
    chain: Vec<Vec<u8>>,
    /// PKCS#8.
    key: SecretBytes,
}

/// Why there is no identity in what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum IdentityError {
    #[error("the common name {name:?} cannot stand in a certificate: it takes 1 to 64 printable characters")]
    BadCommonName { name: String },
    #[error("a certificate for {years} years cannot be made: it takes 1 to 100")]
    BadValidity { years: u32 },
    #[error("there is no certificate: a PEM file has a block that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("there is no private key: a PEM file has a block that begins with -----BEGIN PRIVATE KEY-----")]
    NoPrivateKey,
    #[error("there are {count} private keys, and one is needed")]
    SeveralPrivateKeys { count: usize },
    #[error("the private key is encrypted: decrypt it first, as with `openssl pkey`")]
    EncryptedPrivateKey,
    #[error("the PEM text is damaged: {reason}")]
    DamagedPem { reason: &'static str },
    #[error("the private key cannot be used: {reason}")]
    UnusableKey { reason: String },
    #[error("the certificate cannot be used: {reason}")]
    UnusableCertificate { reason: String },
    #[error("the private key does not fit the certificate")]
    KeyDoesNotFit,
}

/// Every certificate in a PEM text, in DER: those of authorities, above all. At least one.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    pem::certificates(text)
}

impl ClientIdentity {
    /// A certificate for `common_name` that a new P-256 key signs itself, valid from now on for `years`. Its text
    /// ([`Self::certificate_pem`]) is then made known to the key server.
    pub fn self_signed(common_name: &str, years: u32) -> Result<Self, IdentityError> {
        request::self_signed(common_name, years)
    }

    /// A certificate with its chain, and its private key, as they are uploaded: PEM, the key in PKCS#8, SEC 1 or PKCS#1.
    pub fn from_pem(certificates: &[u8], key: &SecretBytes) -> Result<Self, IdentityError> {
        Self::from_parts(pem::certificates(certificates)?, pem::private_key(key)?)
    }

    /// The parts as [`Self::chain`] and [`Self::key`] give them.
    pub fn from_parts(chain: Vec<Vec<u8>>, key: SecretBytes) -> Result<Self, IdentityError> {
        let identity = Self { chain, key };
        identity.certified_key()?;
        Ok(identity)
    }

    /// The certificates in DER, our own first.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key in PKCS#8, DER (RFC 5958).
    #[must_use]
    pub fn key(&self) -> &SecretBytes {
        &self.key
    }

    /// The certificates in PEM, our own first: what a key server is given to know us by.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().map(|der| certificate::pem("CERTIFICATE", der)).collect()
    }

    /// As TLS takes it; fails if certificate and key do not fit.
    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, IdentityError> {
        let chain: Vec<_> = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.expose()));
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|error| IdentityError::UnusableKey { reason: error.to_string() })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::KeyDoesNotFit),
            Err(error) => Err(IdentityError::UnusableCertificate { reason: error.to_string() }),
        }
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIdentity({} certificates)", self.chain.len())
    }
}
