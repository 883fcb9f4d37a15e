//! Private keys of the older forms, put into PKCS#8 (RFC 5958).

use cadenas_secret::SecretBytes;
use der::{
    AnyRef, Decode as _, Encode as _, ErrorKind, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use pkcs8::{AlgorithmIdentifierRef, PrivateKeyInfoRef};

use super::IdentityError;

/// `rsaEncryption` (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey` (RFC 5480, 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The tag of the curve in an `ECPrivateKey` (RFC 5915, section 3).
const CURVE: TagNumber = TagNumber(0);

/// An `RSAPrivateKey` (RFC 8017, appendix A.1.2).
pub(super) fn from_pkcs1(key: &[u8]) -> Result<SecretBytes, IdentityError> {
    wrapped(RSA, AnyRef::NULL, key).map_err(unusable)
}

/// An `ECPrivateKey` (RFC 5915), which must name its curve.
pub(super) fn from_sec1(key: &[u8]) -> Result<SecretBytes, IdentityError> {
    let curve = curve(key).map_err(unusable)?;
    wrapped(EC, AnyRef::from(&curve), key).map_err(unusable)
}

fn wrapped(algorithm: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> der::Result<SecretBytes> {
    let algorithm = AlgorithmIdentifierRef { oid: algorithm, parameters: Some(parameters) };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key)?);
    info.to_der().map(SecretBytes::take_from)
}

fn curve(key: &[u8]) -> der::Result<ObjectIdentifier> {
    let outer = AnyRef::from_der(key)?;
    let mut reader = SliceReader::new(outer.value())?;
    while !reader.is_finished() {
        let part = AnyRef::decode(&mut reader)?;
        if matches!(part.tag(), Tag::ContextSpecific { number: CURVE, .. }) {
            return ObjectIdentifier::from_der(part.value());
        }
    }
    Err(ErrorKind::Incomplete { expected_len: der::Length::ONE, actual_len: der::Length::ZERO }.into())
}

fn unusable(error: der::Error) -> IdentityError {
    IdentityError::UnusableKey { reason: error.to_string() }
}
