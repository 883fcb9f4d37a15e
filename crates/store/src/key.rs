//! Keys and prefixes: checked text, so that no store needs to quote or escape.

use std::{borrow::Borrow, fmt, str::FromStr};

use thiserror::Error;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// Segments joined by slashes, as `provider/2f1c…`.
///
/// A segment is one or more of `A-Z a-z 0-9 - . _ :`. Keys are ordered by their bytes, in every store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Joins `segments` with slashes.
    pub fn from_segments(segments: &[&str]) -> Result<Self, KeyError> {
        // Checked here too: a slash inside a segment would read as a boundary.
        segments.iter().try_for_each(|segment| check_segment(&segments.join("/"), segment))?;
        segments.join("/").parse()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes.
    #[must_use = "the segments are read by iterating"]
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The part after the last slash: the ID, where keys end in one.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// This key with one segment more.
    pub fn child(&self, segment: &str) -> Result<Self, KeyError> {
        Prefix::below(self).key(segment)
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong { len: text.len() });
        }
        text.split('/').try_for_each(|segment| check_segment(text, segment))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// All keys below some segments; `provider` means every `provider/…`, but neither `provider` itself nor `providers/…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix(String);

impl Prefix {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self(String::new())
    }

    /// Every key below `key`.
    #[must_use]
    pub fn below(key: &Key) -> Self {
        Self(format!("{key}/"))
    }

    /// The key directly below this prefix that ends in `segment`.
    pub fn key(&self, segment: &str) -> Result<Key, KeyError> {
        let text = format!("{}{segment}", self.0);
        check_segment(&text, segment)?;
        text.parse()
    }

    /// Whether `key` lies below this prefix.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        key.0.starts_with(&self.0)
    }

    /// Every key below the prefix lies in `start..end`, and no other key does.
    pub(crate) fn bounds(&self) -> (String, String) {
        let end = match self.0.strip_suffix('/') {
            // `0` follows `/` in ASCII, so this is the least text above all that starts with `…/`.
            Some(segments) => format!("{segments}0"),
            // `~` lies above every character of a key.
            None => "~".to_owned(),
        };
        (self.0.clone(), end)
    }
}

impl FromStr for Prefix {
    type Err = KeyError;

    /// `provider` or `provider/`; the empty text is [`Prefix::all`].
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Ok(Self::all());
        }
        let key: Key = text.strip_suffix('/').unwrap_or(text).parse()?;
        Ok(Self::below(&key))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("a key of {len} bytes is too long: at most {MAX_KEY_BYTES} are allowed")]
    TooLong {
        /// Bytes of the refused text.
        len: usize,
    },
    /// Nothing between two slashes, before the first or after the last.
    #[error("the key {key:?} has an empty part: write each part between single slashes")]
    EmptySegment {
        /// The refused text.
        key: String,
    },
    /// A character outside the allowed set.
    #[error("the key {key:?} holds {character:?}: use letters, digits and - . _ : only")]
    Character {
        /// The refused text.
        key: String,
        /// The first character that is not allowed.
        character: char,
    },
}

fn check_segment(key: &str, segment: &str) -> Result<(), KeyError> {
    if segment.is_empty() {
        return Err(KeyError::EmptySegment { key: key.to_owned() });
    }
    match segment.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(KeyError::Character { key: key.to_owned(), character }),
        None => Ok(()),
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_segments_between_single_slashes() {
        let key: Key = "provider/2f1c/version:1".parse().expect("a good key");
        assert_eq!(key.segments().collect::<Vec<_>>(), ["provider", "2f1c", "version:1"]);
        assert_eq!(key.last_segment(), "version:1");
        assert_eq!(Key::from_segments(&["provider", "2f1c", "version:1"]), Ok(key));
    }

    #[test]
    fn empty_parts_are_refused() {
        for text in ["", "/", "a/", "/a", "a//b"] {
            assert_eq!(text.parse::<Key>(), Err(KeyError::EmptySegment { key: text.to_owned() }));
        }
        assert!(Key::from_segments(&[]).is_err());
    }

    #[test]
    fn foreign_characters_are_refused_and_named() {
        for character in [' ', 'é', '\0', '\n', '%', '*', '\\', '~'] {
            let text = format!("vm/a{character}b");
            assert_eq!(text.parse::<Key>(), Err(KeyError::Character { key: text.clone(), character }));
        }
    }

    #[test]
    fn a_slash_inside_a_segment_is_refused() {
        assert!(Key::from_segments(&["vm", "a/b"]).is_err());
        assert!("vm".parse::<Key>().expect("a good key").child("a/b").is_err());
    }

    #[test]
    fn length_is_limited() {
        assert!("a".repeat(MAX_KEY_BYTES).parse::<Key>().is_ok());
        let refused = "a".repeat(MAX_KEY_BYTES + 1).parse::<Key>();
        assert_eq!(refused, Err(KeyError::TooLong { len: MAX_KEY_BYTES + 1 }));
    }

    #[test]
    fn a_prefix_holds_what_is_below_it_and_nothing_beside() {
        let prefix: Prefix = "vm".parse().expect("a good prefix");
        let (start, end) = prefix.bounds();
        for (text, inside) in [("vm/a", true), ("vm/a/b", true), ("vm", false), ("vm-x/a", false), ("vms/a", false)] {
            let key: Key = text.parse().expect("a good key");
            assert_eq!(prefix.contains(&key), inside, "{text}");
            assert_eq!(key.as_str() >= start.as_str() && key.as_str() < end.as_str(), inside, "{text}");
        }
    }

    #[test]
    fn the_empty_prefix_holds_everything() {
        let (start, end) = Prefix::all().bounds();
        for text in ["-", "0", "zzz/zzz", "a:b"] {
            assert!(text >= start.as_str() && text < end.as_str(), "{text}");
        }
        assert_eq!("".parse::<Prefix>(), Ok(Prefix::all()));
    }
}
