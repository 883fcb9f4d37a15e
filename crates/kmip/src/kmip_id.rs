//! The name that a key server gives a key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::text::{prints, shortened};

/// A KMIP Unique Identifier (1.4, 3.1): 1 to 255 bytes of text that prints. Only the server that gave it knows what it means.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KmipId(String);

impl KmipId {
    /// More than any server uses; most use a UUID or a number.
    pub const MAX_BYTES: usize = 255;

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a KMIP identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a KMIP identifier: {text:?}; it is 1 to 255 bytes of printable text")]
pub struct NotAKmipId {
    text: String,
}

impl FromStr for KmipId {
    type Err = NotAKmipId;

    fn from_str(text: &str) -> Result<Self, NotAKmipId> {
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.chars().all(prints) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAKmipId { text: shortened(text) })
        }
    }
}

impl fmt::Display for KmipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KmipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KmipId({})", self.0)
    }
}

impl Serialize for KmipId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KmipId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_short_text_that_prints() {
        for text in ["1", "0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0", "key \"7\"", "clé", &"a".repeat(255)] {
            let id: KmipId = text.parse().expect("an identifier");
            assert_eq!(id.to_string(), text);
            let json = serde_json::to_string(&id).expect("JSON");
            assert_eq!(serde_json::from_str::<KmipId>(&json).expect("the same"), id);
        }
        for text in ["", "a\n", "a\0", "\u{1b}[2J", "\u{202e}a", "\u{7f}", &"a".repeat(256)] {
            assert!(text.parse::<KmipId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_refusal_shows_no_more_than_needed() {
        let error = "\u{1b}".repeat(10_000).parse::<KmipId>().expect_err("not printable").to_string();
        assert!(error.len() < 700 && !error.contains('\u{1b}'), "{error}");
    }
}
