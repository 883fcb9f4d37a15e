//! Names that become file names.
//!
//! Both types are checked while parsing, so that no path built from them leaves its folder.

use std::{fmt, path::Path, str::FromStr};

use cadenas_keys::shortened;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A VM's name as its home uses it: the descriptor is called after it.
///
/// One to 200 bytes of UTF-8, without `/` and control characters, and not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmName(String);

/// The text cannot be the name of an encrypted VM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the VM name {text:?} cannot be a file name: use 1 to {} bytes without `/` and control characters, not beginning with \
     a dot; rename the VM",
    VmName::MAX_BYTES
)]
pub struct NotAVmName {
    text: String,
}

impl VmName {
    /// Room is left for what is put around the name: `.NAME.cadenas.new` stays below the 255 bytes of a file name.
    const MAX_BYTES: usize = 200;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `NAME.cadenas`.
    #[must_use]
    pub fn descriptor(&self) -> FileName {
        FileName(format!("{}.{DESCRIPTOR_EXTENSION}", self.0))
    }
}

impl FromStr for VmName {
    type Err = NotAVmName;

    fn from_str(text: &str) -> Result<Self, NotAVmName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if fits && !text.starts_with('.') && !text.contains(|c: char| c == '/' || c.is_control()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAVmName { text: shortened(text) })
        }
    }
}

/// The extension of a descriptor.
pub(crate) const DESCRIPTOR_EXTENSION: &str = "cadenas";

/// The name of a file in a VM home: one normal path component of at most 255 bytes, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

/// The text is not the name of a file in a VM home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a file in the VM home: it must be one name, without `/`")]
pub struct NotAFileName {
    text: String,
}

impl FileName {
    const MAX_BYTES: usize = 255;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component of `path`, if that is UTF-8.
    pub(crate) fn last_of(path: &Path) -> Option<Self> {
        path.file_name()?.to_str()?.parse().ok()
    }

    /// The hidden name under which a new descriptor is written before it takes this name.
    pub(crate) fn staged(&self) -> Self {
        Self(format!(".{}.new", self.0))
    }

    /// The name of a descriptor that a decryption put aside: the commit point of the decryption.
    pub(crate) fn retired(&self) -> Self {
        Self(format!("{}.retired", self.0))
    }
}

impl FromStr for FileName {
    type Err = NotAFileName;

    fn from_str(text: &str) -> Result<Self, NotAFileName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text != "." && text != "..";
        if fits && !text.contains(|c: char| c == '/' || c.is_control()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAFileName { text: shortened(text) })
        }
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

text!(VmName);
text!(FileName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_accents_are_fine_slashes_and_300_characters_are_not() {
        for name in ["web01", "Serveur de données", "a.b-c_d", &"x".repeat(200)] {
            assert_eq!(name.parse::<VmName>().expect("a name").as_str(), name);
        }
        for name in ["", ".", "..", ".hidden", "a/b", "a\nb", "a\0b", &"x".repeat(201), &"é".repeat(300)] {
            assert!(name.parse::<VmName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_file_name_never_leaves_its_folder() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0", &"x".repeat(256)] {
            assert!(name.parse::<FileName>().is_err(), "{name:?}");
        }
        assert_eq!("vda.qcow2".parse::<FileName>().expect("a name").as_str(), "vda.qcow2");
    }

    #[test]
    fn every_name_made_from_a_vm_name_is_a_file_name() {
        let descriptor = "x".repeat(200).parse::<VmName>().expect("a name").descriptor();
        for name in [&descriptor, &descriptor.staged(), &descriptor.retired()] {
            assert_eq!(&name.as_str().parse::<FileName>().expect("a file name"), name);
        }
    }
}
