//! Bytes in JSON, and text of others in messages.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes that JSON carries in base64. For what is sealed or public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// A user's text as a message may show it: in quotes, without control characters, and not page-long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let dots = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("\"{shown}{dots}\"")
}

/// `a, b and c`, for lists in messages; of a long list the beginning and how many more.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    match names {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] if names.len() <= SHOWN => format!("{} and {last}", rest.join(", ")),
        _ => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_short_and_printable() {
        assert_eq!(quoted("web01"), "\"web01\"");
        assert_eq!(quoted("a\u{1b}[2J\n"), "\"a\\u{1b}[2J\\n\"");
        assert!(quoted(&"é".repeat(10_000)).chars().count() < 80);
    }

    #[test]
    fn lists_read_as_sentences() {
        let names = |count| (0..count).map(|at| format!("vm{at}")).collect::<Vec<_>>();
        assert_eq!(listed(&names(1)), "vm0");
        assert_eq!(listed(&names(3)), "vm0, vm1 and vm2");
        assert!(listed(&names(500)).ends_with("vm19 and 480 more"));
    }
}
