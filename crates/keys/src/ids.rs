//! Names of things, one type each, so that one cannot be taken for another.
//!
//! Every type here has exactly one spelling. Another spelling of the same value is refused while parsing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// The text is not a UUID in its one accepted spelling: 36 characters, hyphenated, lower case (RFC 9562, section 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {text:?}; write a UUID with hyphens, in lower case")]
pub struct NotAnId {
    what: &'static str,
    text: String,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// A UUID; its text is hyphenated and in lower case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random ID (UUID version 4).
            #[must_use]
            pub fn random() -> Self {
                Self(uuid::Builder::from_random_bytes(cadenas_secret::random::array()).into_uuid())
            }

            /// The UUID itself.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                canonical_uuid(text).map(Self).ok_or_else(|| NotAnId { what: $what, text: shortened(text) })
            }
        }

        text_serde!($name);
    };
}

/// Serde by way of `Display` and `FromStr`.
macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

typed_id!(
    /// A key provider. Its name may change, its ID never does.
    ProviderId,
    "a provider ID"
);
typed_id!(
    /// One version of a provider's key.
    KeyId,
    "a key ID"
);
typed_id!(
    /// A virtual machine: the UUID of its libvirt domain.
    VmId,
    "a VM ID"
);

/// Which key a KDK is, without telling the key: 16 bytes derived from it.
///
/// Its text is 32 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) const BYTES: usize = 16;

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not a key fingerprint: 32 hex digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key fingerprint: {text:?}; write 32 hex digits in lower case")]
pub struct NotAFingerprint {
    text: String,
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let mut bytes = [0; Self::BYTES];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if !text.contains(|c: char| c.is_ascii_uppercase()) => Ok(Self(bytes)),
            _ => Err(NotAFingerprint { text: shortened(text) }),
        }
    }
}

text_serde!(Fingerprint);

/// An object of a VM that has its own DEK: `configuration`, or `disk:` and the disk's target, as in `disk:vda`.
///
/// One to 64 characters out of `A-Z a-z 0-9 : _ . -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    const MAX_LEN: usize = 64;
    const CONFIGURATION: &str = "configuration";
    const DISK_PREFIX: &str = "disk:";

    /// The VM's sealed configuration.
    #[must_use]
    pub fn configuration() -> Self {
        Self(Self::CONFIGURATION.to_owned())
    }

    /// The disk with this target (libvirt's `<target dev='vda'/>`).
    pub fn disk(target: &str) -> Result<Self, NotAnObjectName> {
        format!("{}{target}", Self::DISK_PREFIX).parse()
    }

    /// The target of the disk that this name stands for, if it stands for one.
    #[must_use]
    pub fn disk_target(&self) -> Option<&str> {
        self.0.strip_prefix(Self::DISK_PREFIX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of an object: `configuration` or `disk:TARGET`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an object of a VM: {text:?}; it is `configuration`, or `disk:` and a target of letters, digits, `:`, `_`, `.` \
     and `-`, 64 characters at most"
)]
pub struct NotAnObjectName {
    text: String,
}

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        let known = text == Self::CONFIGURATION || text.strip_prefix(Self::DISK_PREFIX).is_some_and(|t| !t.is_empty());
        if known && text.len() <= Self::MAX_LEN && text.bytes().all(is_name_byte) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnObjectName { text: shortened(text) })
        }
    }
}

text_serde!(ObjectName);

/// How a key server names a key: the KMIP unique identifier, which the server chose.
///
/// 1 to 255 bytes of text without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KmsKeyId(String);

impl KmsKeyId {
    const MAX_LEN: usize = 255;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KmsKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not what a key server can name a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key server's name of a key: {text:?}; it has 1 to 255 bytes and no control characters")]
pub struct NotAKmsKeyId {
    text: String,
}

impl FromStr for KmsKeyId {
    type Err = NotAKmsKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKmsKeyId> {
        if (1..=Self::MAX_LEN).contains(&text.len()) && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAKmsKeyId { text: shortened(text) })
        }
    }
}

text_serde!(KmsKeyId);

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":_.-".contains(&byte)
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (*uuid.hyphenated().encode_lower(&mut buffer) == *text).then_some(uuid)
}

/// Hostile text for an error message, cut so that the message stays readable.
#[must_use]
pub fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0";

    #[test]
    fn an_id_parses_only_in_its_canonical_spelling() {
        assert_eq!(TEXT.parse::<ProviderId>().expect("canonical").to_string(), TEXT);
        for other in [
            TEXT.to_uppercase(),
            TEXT.replace('-', ""),
            format!("{{{TEXT}}}"),
            format!("urn:uuid:{TEXT}"),
            format!(" {TEXT}"),
            format!("{TEXT}\n"),
            String::new(),
        ] {
            assert!(other.parse::<ProviderId>().is_err(), "{other:?}");
            assert!(serde_json::from_value::<VmId>(other.into()).is_err());
        }
    }

    #[test]
    fn a_fingerprint_parses_only_in_its_canonical_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<Fingerprint>().expect("canonical").to_string(), text);
        for other in
            [&text.to_uppercase(), &text[2..], &format!("{text}00"), "", "0x112233445566778899aabbccddeeff", "é"]
        {
            assert!(other.parse::<Fingerprint>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn object_names_are_the_configuration_and_disks() {
        assert_eq!(ObjectName::configuration().to_string(), "configuration");
        assert_eq!(ObjectName::disk("vda").expect("a target").disk_target(), Some("vda"));
        assert_eq!(ObjectName::configuration().disk_target(), None);
        assert!(ObjectName::disk(&"a".repeat(59)).is_ok());
        for other in ["", "disk:", "disk:a/b", "disk:é", "disk: a", "Configuration", "nvram"] {
            assert!(other.parse::<ObjectName>().is_err(), "{other:?}");
        }
        assert!(ObjectName::disk(&"a".repeat(60)).is_err());
    }

    #[test]
    fn a_key_servers_name_of_a_key_is_short_text_without_control_characters() {
        for text in ["1", "b4faee10-aa2a-4446-8ad4-0881f3422959", "clé n° 7", &"x".repeat(255)] {
            assert_eq!(text.parse::<KmsKeyId>().expect("a name").as_str(), text);
        }
        for other in ["", "a\nb", "\u{7f}", &"x".repeat(256)] {
            assert!(other.parse::<KmsKeyId>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn serde_uses_the_same_text() {
        let id: KeyId = TEXT.parse().expect("canonical");
        assert_eq!(serde_json::to_string(&id).expect("JSON"), format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<KeyId>(&format!("\"{TEXT}\"")).expect("canonical"), id);
    }

    #[test]
    fn random_ids_differ_and_are_version_4() {
        let (one, other) = (VmId::random(), VmId::random());
        assert_ne!(one, other);
        assert_eq!(one.uuid().get_version_num(), 4);
    }

    #[test]
    fn a_long_hostile_text_is_cut_in_the_error() {
        let error = "é".repeat(10_000).parse::<KeyId>().expect_err("not a UUID");
        assert!(error.to_string().len() < 400);
    }
}
