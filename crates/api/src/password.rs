//! Passwords on their way through the API.

use cadenas_secret::SecretBytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A password in locked memory; JSON carries it as a string.
///
/// Its `Debug` tells only the length. The message buffer it came in belongs to the HTTP library; the program's allocator
/// wipes that buffer when it is freed.
#[derive(Debug)]
pub struct Password(SecretBytes);

impl Password {
    /// Takes a password that is already in locked memory. Refuses nothing: the policy on passwords is the caller's.
    #[must_use]
    pub fn new(secret: SecretBytes) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &SecretBytes {
        &self.0
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.0.expose())
            .map_err(|_| serde::ser::Error::custom("a password must be UTF-8 text"))?;
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntoLockedMemory;
        impl de::Visitor<'_> for IntoLockedMemory {
            type Value = Password;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a password")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Password, E> {
                Ok(Password(SecretBytes::new_with(text.len(), |bytes| bytes.copy_from_slice(text.as_bytes()))))
            }
        }
        deserializer.deserialize_str(IntoLockedMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_survives_json_but_not_debug() {
        let password: Password = serde_json::from_str(r#""d\u00e9j\u00e0 \"vu\"""#).expect("valid");
        assert!(password.secret().equals("déjà \"vu\"".as_bytes()));
        assert!(!format!("{password:?}").contains("vu"));
        assert_eq!(serde_json::to_string(&password).expect("UTF-8"), r#""déjà \"vu\"""#);
    }
}
