//! Which certificate it is.

use std::{fmt, str::FromStr};

use cadenas_secret::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::text::shortened;

/// SHA-256 of a certificate's DER bytes.
///
/// Its text is that of `openssl x509 -fingerprint -sha256`: upper-case hex digits in pairs with colons between them. It is
/// read without colons and in lower case too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateFingerprint([u8; 32]);

impl CertificateFingerprint {
    /// The fingerprint of this certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(digest::sha256(&[der]))
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text is not a SHA-256 fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: {text:?}; write 64 hex digits, in pairs with colons or without")]
pub struct NotACertificateFingerprint {
    text: String,
}

impl FromStr for CertificateFingerprint {
    type Err = NotACertificateFingerprint;

    fn from_str(text: &str) -> Result<Self, NotACertificateFingerprint> {
        let mut bytes = [0; 32];
        let read = match text.len() {
            64 => hex::decode_to_slice(text, &mut bytes).is_ok(),
            95 => hex::decode_to_slice(pairs(text), &mut bytes).is_ok(),
            _ => false,
        };
        if read { Ok(Self(bytes)) } else { Err(NotACertificateFingerprint { text: shortened(text) }) }
    }
}

/// The pairs of digits between colons; anything else comes out with a length that is no fingerprint's.
fn pairs(text: &str) -> String {
    text.split(':').filter(|pair| pair.len() == 2).collect()
}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.0.split_first().expect("32 bytes");
        write!(f, "{first:02X}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02X}"))
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({self})")
    }
}

impl Serialize for CertificateFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertificateFingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4: SHA-256 of "abc".
    const ABC: &str = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

    #[test]
    fn both_spellings_are_read_and_one_is_written() {
        let fingerprint = CertificateFingerprint::of(b"abc");
        assert_eq!(fingerprint.to_string(), ABC);
        for text in [ABC.to_owned(), ABC.to_lowercase(), ABC.replace(':', ""), ABC.replace(':', "").to_lowercase()] {
            assert_eq!(text.parse::<CertificateFingerprint>().expect("a spelling"), fingerprint);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let colons_elsewhere = format!("{}:{}", &ABC[1..], &ABC[..1]);
        for text in
            ["", &ABC[..94], &ABC.replace("BA", "BG"), &ABC.replace(':', "-"), &colons_elsewhere, &"é".repeat(32)]
        {
            assert!(text.parse::<CertificateFingerprint>().is_err(), "{text:?}");
        }
    }
}
