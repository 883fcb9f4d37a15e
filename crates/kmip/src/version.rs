//! Versions of the protocol.

use std::fmt;

/// A version of KMIP, as `1.4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the point.
    pub major: u16,
    /// After it.
    pub minor: u16,
}

impl Version {
    /// 1.0, which has no Discover Versions.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// 1.1, the first with Discover Versions.
    pub const V1_1: Self = Self { major: 1, minor: 1 };
    /// 1.2.
    pub const V1_2: Self = Self { major: 1, minor: 2 };
    /// 1.3.
    pub const V1_3: Self = Self { major: 1, minor: 3 };
    /// 1.4, the last that writes attributes by name.
    pub const V1_4: Self = Self { major: 1, minor: 4 };
    /// 2.0, which writes attributes by tag.
    pub const V2_0: Self = Self { major: 2, minor: 0 };

    /// All that we speak, the newest first.
    pub const SPOKEN: [Self; 6] = [Self::V2_0, Self::V1_4, Self::V1_3, Self::V1_2, Self::V1_1, Self::V1_0];

    /// Whether attributes are written by tag (2.0, 5.1) and not by name (1.4, 2.1.1).
    pub(crate) fn has_tagged_attributes(self) -> bool {
        self.major >= 2
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// `2.0, 1.4`, or `none`.
pub(crate) struct Versions<'a>(pub(crate) &'a [Version]);

impl fmt::Display for Versions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            [first, rest @ ..] => {
                first.fmt(f)?;
                rest.iter().try_for_each(|version| write!(f, ", {version}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_and_listed() {
        assert!(Version::V2_0 > Version::V1_4 && Version::V1_4 > Version::V1_0);
        assert_eq!(Versions(&[Version::V2_0, Version::V1_0]).to_string(), "2.0, 1.0");
        assert_eq!(Versions(&[]).to_string(), "none");
    }
}
