//! Byte fields in JSON: base64url without padding (RFC 4648, section 5), in its one canonical spelling.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// `#[serde(with = "base64url_array")]` for a field of exactly `N` bytes.
pub(crate) mod base64url_array {
    use super::{Deserializer, Error as _, Serializer, base64url_bytes};

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        base64url_bytes::serialize(bytes, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        base64url_bytes::deserialize(deserializer)?
            .try_into()
            .map_err(|bytes: Vec<u8>| D::Error::custom(format_args!("{} bytes where {N} must be", bytes.len())))
    }
}

/// `#[serde(with = "base64url_bytes")]` for a field of any length.
pub(crate) mod base64url_bytes {
    use super::{Decoded, Deserialize as _, Deserializer, Engine as _, Serializer, URL_SAFE_NO_PAD};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Decoded::deserialize(deserializer).map(|decoded| decoded.0)
    }
}

/// `#[serde(default, deserialize_with = "present")]` for a field that is left out or has a value; `null` is no third way.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Bytes decoded from base64url. The engine refuses padding, other alphabets and trailing bits that are not zero.
struct Decoded(Vec<u8>);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(|_| D::Error::custom("not base64url without padding"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two(#[serde(with = "base64url_array")] [u8; 2]);

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(serde_json::to_string(&Two([0xff, 0xf0])).expect("JSON"), r#""__A""#);
        assert_eq!(serde_json::from_str::<Two>(r#""__A""#).expect("canonical"), Two([0xff, 0xf0]));
        for other in [r#""__A=""#, r#""//A""#, r#""__B""#, r#""__""#, r#""__AA""#, r#""_ _A""#, r#""""#, "[255,240]"] {
            assert!(serde_json::from_str::<Two>(other).is_err(), "{other}");
        }
    }
}
