//! Items as a tree.

use std::{borrow::Cow, fmt};

use super::Tag;

/// A tag and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it means.
    pub tag: Tag,
    /// What it is.
    pub value: Value<'a>,
}

/// A value of one of the types of TTLV (1.4, 9.1.1.2).
#[derive(Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Items in their order.
    Structure(Vec<Item<'a>>),
    /// A number of 32 bits.
    Integer(i32),
    /// A number of 64 bits.
    LongInteger(i64),
    /// A number of any length: two's complement, big-endian, its sign extended to a multiple of 8 bytes.
    BigInteger(Cow<'a, [u8]>),
    /// One of a set of numbers.
    Enumeration(u32),
    /// Yes or no.
    Boolean(bool),
    /// UTF-8.
    TextString(Cow<'a, str>),
    /// Any bytes.
    ByteString(Cow<'a, [u8]>),
    /// Seconds since 1970.
    DateTime(i64),
    /// A duration in seconds.
    Interval(u32),
    /// Microseconds since 1970 (since 2.0).
    DateTimeExtended(i64),
}

impl<'a> Item<'a> {
    /// Items in their order.
    #[must_use]
    pub fn structure(tag: Tag, items: Vec<Self>) -> Self {
        Self { tag, value: Value::Structure(items) }
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn integer(tag: Tag, value: i32) -> Self {
        Self { tag, value: Value::Integer(value) }
    }

    /// One of a set of numbers.
    #[must_use]
    pub fn enumeration(tag: Tag, code: u32) -> Self {
        Self { tag, value: Value::Enumeration(code) }
    }

    /// Text, borrowed.
    #[must_use]
    pub fn text(tag: Tag, value: &'a str) -> Self {
        Self { tag, value: Value::TextString(Cow::Borrowed(value)) }
    }

    /// Bytes, borrowed.
    #[must_use]
    pub fn bytes(tag: Tag, value: &'a [u8]) -> Self {
        Self { tag, value: Value::ByteString(Cow::Borrowed(value)) }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn date_time(tag: Tag, seconds: i64) -> Self {
        Self { tag, value: Value::DateTime(seconds) }
    }
}

impl Value<'_> {
    /// The number of the type.
    pub(super) fn type_code(&self) -> u8 {
        match self {
            Self::Structure(_) => 0x01,
            Self::Integer(_) => 0x02,
            Self::LongInteger(_) => 0x03,
            Self::BigInteger(_) => 0x04,
            Self::Enumeration(_) => 0x05,
            Self::Boolean(_) => 0x06,
            Self::TextString(_) => 0x07,
            Self::ByteString(_) => 0x08,
            Self::DateTime(_) => 0x09,
            Self::Interval(_) => 0x0a,
            Self::DateTimeExtended(_) => 0x0b,
        }
    }

    /// The specification's name of the type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Structure(_) => "Structure",
            Self::Integer(_) => "Integer",
            Self::LongInteger(_) => "Long Integer",
            Self::BigInteger(_) => "Big Integer",
            Self::Enumeration(_) => "Enumeration",
            Self::Boolean(_) => "Boolean",
            Self::TextString(_) => "Text String",
            Self::ByteString(_) => "Byte String",
            Self::DateTime(_) => "Date-Time",
            Self::Interval(_) => "Interval",
            Self::DateTimeExtended(_) => "Date-Time Extended",
        }
    }
}

/// Of text and bytes only the length is shown: a password and key material look like any other.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())?;
        match self {
            Self::Structure(items) => f.debug_list().entries(items).finish(),
            Self::Integer(value) => write!(f, "({value})"),
            Self::LongInteger(value) | Self::DateTime(value) | Self::DateTimeExtended(value) => write!(f, "({value})"),
            Self::Enumeration(value) | Self::Interval(value) => write!(f, "({value})"),
            Self::Boolean(value) => write!(f, "({value})"),
            Self::TextString(text) => write!(f, "({} bytes)", text.len()),
            Self::ByteString(bytes) | Self::BigInteger(bytes) => write!(f, "({} bytes)", bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_not_shown() {
        let item = Item::structure(
            Tag::CREDENTIAL_VALUE,
            vec![
                Item::text(Tag::PASSWORD, "hunter2"),
                Item::bytes(Tag::KEY_MATERIAL, b"hunter2"),
                Item::integer(Tag(1), 7),
            ],
        );
        let shown = format!("{item:?}");
        assert!(!shown.contains("hunter2") && shown.contains("Text String(7 bytes)"), "{shown}");
    }
}
