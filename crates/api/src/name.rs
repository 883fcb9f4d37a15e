//! Names that people give.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a provider's name may be, for help texts and errors.
pub const NAME_RULE: &str =
    "use 1 to 63 of the characters a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or a digit";

const LONGEST: usize = 63;

/// A key provider's name: safe as a file name, in a URL and on a command line without quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(String);

impl ProviderName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let first_fits = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first_fits && name.len() <= LONGEST && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError { name: shortened(name) })
        }
    }
}

impl TryFrom<String> for ProviderName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name for a key provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" cannot be a key provider's name: {NAME_RULE}")]
pub struct NameError {
    name: String,
}

/// Names come from outside: an error shows no control characters and no page-long text.
fn shortened(name: &str) -> String {
    let shown: String = name.chars().take(LONGEST + 1).flat_map(char::escape_debug).collect();
    if name.chars().count() > LONGEST + 1 { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_taken() {
        for name in ["nkp", "nkp-paris.2", "A", "0_o", &"x".repeat(63)] {
            assert_eq!(name.parse::<ProviderName>().expect(name).as_str(), name);
        }
    }

    #[test]
    fn slashes_spaces_accents_and_300_characters_are_refused_with_the_rule() {
        for name in ["", "a/b", "a b", "clé", "-x", ".x", "a\u{1b}[2J", &"x".repeat(64), &"x".repeat(300)] {
            let error = name.parse::<ProviderName>().expect_err(name).to_string();
            assert!(error.contains(NAME_RULE) && error.len() < 400 && !error.contains('\u{1b}'), "{error}");
        }
    }
}
