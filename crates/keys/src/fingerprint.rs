//! Fingerprints: which key it is, without telling the key.

use cadenas_secret::{SecretBytes, hkdf};

use crate::{Fingerprint, context::length_prefixed};

const LABEL: &[u8] = b"cadenas/fingerprint/v1";

/// 16 bytes of HKDF-SHA-256 without salt over the length-prefixed label `cadenas/fingerprint/v1`.
pub(crate) fn fingerprint_of(secret: &SecretBytes) -> Fingerprint {
    let derived = hkdf::sha256(secret, &[], &length_prefixed(&[LABEL]), Fingerprint::BYTES);
    Fingerprint::from_bytes(derived.expose().try_into().expect("as many bytes as were asked for"))
}
