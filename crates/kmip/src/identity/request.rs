//! New keys: with a certificate that they sign themselves, or with a request to a CA (PKCS#10: RFC 2986).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use cadenas_secret::SecretBytes;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{ClientIdentity, IdentityError, pem};
use crate::{certificate, text::prints};

/// X.520's upper bound for a common name (RFC 5280, appendix A.1).
const MAX_NAME_CHARS: usize = 64;
const MAX_YEARS: u32 = 100;
const YEAR: Duration = Duration::from_hours(24 * 365);

/// A private key that waits for its certificate.
pub struct IdentityRequest {
    /// PKCS#8.
    key: SecretBytes,
    /// PKCS#10.
    request: Vec<u8>,
}

impl IdentityRequest {
    /// A new P-256 key, and a request for a certificate for `common_name`.
    pub fn new(common_name: &str) -> Result<Self, IdentityError> {
        let params = client_params(common_name)?;
        let (pair, key) = new_key();
        let request = params.serialize_request(&pair).expect("a client's parameters can be requested");
        Ok(Self { key, request: request.der().to_vec() })
    }

    /// The parts as [`Self::key`] and [`Self::request`] give them.
    pub fn from_parts(key: SecretBytes, request: Vec<u8>) -> Result<Self, IdentityError> {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.expose()))
            .map_err(|error| IdentityError::UnusableKey { reason: error.to_string() })?;
        Ok(Self { key, request })
    }

    /// The private key in PKCS#8, DER.
    #[must_use]
    pub fn key(&self) -> &SecretBytes {
        &self.key
    }

    /// The request in DER.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The request in PEM, for the CA.
    #[must_use]
    pub fn request_pem(&self) -> String {
        certificate::pem("CERTIFICATE REQUEST", &self.request)
    }

    /// The identity, with the certificate that the CA made, in PEM; its chain may follow it. The request can be completed
    /// again if this was the wrong one.
    pub fn complete(&self, certificates: &[u8]) -> Result<ClientIdentity, IdentityError> {
        let key = SecretBytes::new_with(self.key.len(), |out| out.copy_from_slice(self.key.expose()));
        ClientIdentity::from_parts(pem::certificates(certificates)?, key)
    }
}

impl fmt::Debug for IdentityRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityRequest({} bytes)", self.request.len())
    }
}

pub(super) fn self_signed(common_name: &str, years: u32) -> Result<ClientIdentity, IdentityError> {
    if !(1..=MAX_YEARS).contains(&years) {
        return Err(IdentityError::BadValidity { years });
    }
    let mut params = client_params(common_name)?;
    let now = SystemTime::now();
    // Clocks differ; a server whose clock is a little behind takes the certificate too.
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + YEAR * years).into();
    let (pair, key) = new_key();
    let certificate = params.self_signed(&pair).expect("a client's parameters can be signed");
    ClientIdentity::from_parts(vec![certificate.der().to_vec()], key)
}

/// What a client's certificate says. Servers check the extended key usage, and many take the common name as the user.
fn client_params(common_name: &str) -> Result<CertificateParams, IdentityError> {
    let fits = (1..=MAX_NAME_CHARS).contains(&common_name.chars().count()) && common_name.chars().all(prints);
    if !fits {
        return Err(IdentityError::BadCommonName { name: crate::text::shortened(common_name) });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn new_key() -> (KeyPair, SecretBytes) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the random generator works");
    let key = SecretBytes::take_from(pair.serialize_der());
    (pair, key)
}
