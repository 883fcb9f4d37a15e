//! Certificates and keys as people keep them (RFC 7468).

use cadenas_secret::SecretBytes;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};
use zeroize::Zeroize as _;

use super::{IdentityError, pkcs8};

/// All certificates in a text, in DER.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&error))?;
    if found.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}

/// The one private key in a text, in PKCS#8.
pub(super) fn private_key(text: &SecretBytes) -> Result<SecretBytes, IdentityError> {
    if is_encrypted(text.expose()) {
        return Err(IdentityError::EncryptedPrivateKey);
    }
    let mut found =
        PrivateKeyDer::pem_slice_iter(text.expose()).collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&error))?;
    match (found.pop(), found.len()) {
        (None, _) => Err(IdentityError::NoPrivateKey),
        (Some(key), 0) => into_pkcs8(key),
        (Some(_), others) => Err(IdentityError::SeveralPrivateKeys { count: others + 1 }),
    }
}

/// The two ways in which OpenSSL encrypts a key in PEM (RFC 5958, section 3; RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|window| window == *mark))
}

fn into_pkcs8(mut key: PrivateKeyDer<'static>) -> Result<SecretBytes, IdentityError> {
    let converted = match &key {
        PrivateKeyDer::Pkcs8(key) => Ok(SecretBytes::take_from(key.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Sec1(key) => pkcs8::from_sec1(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs1(key) => pkcs8::from_pkcs1(key.secret_pkcs1_der()),
        _ => Err(IdentityError::UnusableKey { reason: "it is of a kind that is not known".to_owned() }),
    };
    key.zeroize();
    converted
}

/// The library's own words may quote the text, which may be a key's.
fn damaged(error: &Error) -> IdentityError {
    let reason = match error {
        Error::MissingSectionEnd { .. } => "a block has no end",
        Error::IllegalSectionStart { .. } => "a block does not begin as it should",
        Error::Base64Decode(_) => "a block is not in base64",
        _ => "it cannot be read",
    };
    IdentityError::DamagedPem { reason }
}
