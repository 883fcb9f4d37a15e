//! Reading: every length is checked against what is there before anything is done with it.

use std::borrow::Cow;

use super::{Item, Tag, Value, writer::padding};

/// The longest message that is read, header and all. Answers to our requests have a few hundred bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How deep structures may stand in each other. KMIP's own go to about ten.
pub const MAX_DEPTH: usize = 32;
/// The most items in a message.
pub const MAX_ITEMS: usize = 1 << 14;
/// Tag, type and length.
pub const HEADER_BYTES: usize = 8;

/// Why bytes are not one TTLV item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum TtlvError {
    #[error("it ends after {found} of {expected} bytes")]
    Truncated { found: usize, expected: usize },
    #[error("{extra} bytes follow its end")]
    Trailing { extra: usize },
    #[error("it says that it has {claimed} bytes, and at most {MAX_MESSAGE_BYTES} are read")]
    TooLong { claimed: usize },
    #[error("it is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("it has more than {MAX_ITEMS} items")]
    TooManyItems,
    #[error("{tag} at byte {at} reaches beyond the end of what it is in")]
    Overrun { tag: Tag, at: usize },
    #[error("{tag} has the type {code:#04x}, which does not exist")]
    UnknownType { tag: Tag, code: u8 },
    #[error("{tag} has a length of {len}, which its type does not have")]
    BadLength { tag: Tag, len: usize },
    #[error("{tag} is neither true nor false")]
    NotABoolean { tag: Tag },
    #[error("{tag} is not UTF-8")]
    NotText { tag: Tag },
}

/// How many bytes a message has in all, going by the header with which it begins; no more than [`MAX_MESSAGE_BYTES`].
pub fn announced_len(header: [u8; HEADER_BYTES]) -> Result<usize, TtlvError> {
    let head = Head::of(header);
    head.check_structure()?;
    let claimed = HEADER_BYTES.saturating_add(head.len).saturating_add(padding(head.len));
    if claimed > MAX_MESSAGE_BYTES { Err(TtlvError::TooLong { claimed }) } else { Ok(claimed) }
}

/// The one item that `message` is, borrowing from it.
pub fn read(message: &[u8]) -> Result<Item<'_>, TtlvError> {
    let found = message.len();
    let header = message.first_chunk().ok_or(TtlvError::Truncated { found, expected: HEADER_BYTES })?;
    let expected = announced_len(*header)?;
    if found < expected {
        return Err(TtlvError::Truncated { found, expected });
    }
    if found > expected {
        return Err(TtlvError::Trailing { extra: found - expected });
    }
    Reader { message, at: 0, items_left: MAX_ITEMS }.item(expected, 1)
}

/// The first 8 bytes of an item.
struct Head {
    tag: Tag,
    type_code: u8,
    len: usize,
}

impl Head {
    fn of([high, middle, low, type_code, len @ ..]: [u8; HEADER_BYTES]) -> Self {
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        Self { tag: Tag::from_bytes([high, middle, low]), type_code, len }
    }

    fn is_structure(&self) -> bool {
        self.type_code == 0x01
    }

    /// A structure has as many bytes as its items, which come in multiples of 8.
    fn check_structure(&self) -> Result<(), TtlvError> {
        let fits = !self.is_structure() || self.len.is_multiple_of(8);
        fits.then_some(()).ok_or(TtlvError::BadLength { tag: self.tag, len: self.len })
    }
}

/// A place in a message whose whole length is there.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    items_left: usize,
}

impl<'a> Reader<'a> {
    /// The item that begins here and ends at `end` at the latest, `depth` levels down.
    fn item(&mut self, end: usize, depth: usize) -> Result<Item<'a>, TtlvError> {
        if depth > MAX_DEPTH {
            return Err(TtlvError::TooDeep);
        }
        self.items_left = self.items_left.checked_sub(1).ok_or(TtlvError::TooManyItems)?;
        let begin = self.at;
        let head = self.head(end)?;
        head.check_structure()?;
        let room = end - self.at;
        if head.len > room || padding(head.len) > room - head.len {
            return Err(TtlvError::Overrun { tag: head.tag, at: begin });
        }
        let value = if head.is_structure() {
            Value::Structure(self.items(self.at + head.len, depth)?)
        } else {
            let bytes = &self.message[self.at..self.at + head.len];
            self.at += head.len;
            simple(&head, bytes)?
        };
        // The specification fixes how many bytes of padding there are, not what is in them (1.4, 9.1.1.3).
        self.at += padding(head.len);
        Ok(Item { tag: head.tag, value })
    }

    fn head(&mut self, end: usize) -> Result<Head, TtlvError> {
        let rest = &self.message[self.at..end];
        let header = rest.first_chunk().ok_or(TtlvError::Truncated { found: rest.len(), expected: HEADER_BYTES })?;
        self.at += HEADER_BYTES;
        Ok(Head::of(*header))
    }

    /// The items of a structure that ends at `end`.
    fn items(&mut self, end: usize, depth: usize) -> Result<Vec<Item<'a>>, TtlvError> {
        let mut items = Vec::new();
        while self.at < end {
            items.push(self.item(end, depth + 1)?);
        }
        Ok(items)
    }
}

/// A value that has no items in it, of just these bytes.
fn simple<'a>(head: &Head, bytes: &'a [u8]) -> Result<Value<'a>, TtlvError> {
    let tag = head.tag;
    Ok(match head.type_code {
        0x02 => Value::Integer(i32::from_be_bytes(array(tag, bytes)?)),
        0x03 => Value::LongInteger(i64::from_be_bytes(array(tag, bytes)?)),
        0x04 => Value::BigInteger(big_integer(tag, bytes)?),
        0x05 => Value::Enumeration(u32::from_be_bytes(array(tag, bytes)?)),
        0x06 => Value::Boolean(boolean(tag, bytes)?),
        0x07 => Value::TextString(text(tag, bytes)?),
        0x08 => Value::ByteString(Cow::Borrowed(bytes)),
        0x09 => Value::DateTime(i64::from_be_bytes(array(tag, bytes)?)),
        0x0a => Value::Interval(u32::from_be_bytes(array(tag, bytes)?)),
        0x0b => Value::DateTimeExtended(i64::from_be_bytes(array(tag, bytes)?)),
        code => return Err(TtlvError::UnknownType { tag, code }),
    })
}

fn array<const N: usize>(tag: Tag, bytes: &[u8]) -> Result<[u8; N], TtlvError> {
    bytes.try_into().map_err(|_| TtlvError::BadLength { tag, len: bytes.len() })
}

fn big_integer(tag: Tag, bytes: &[u8]) -> Result<Cow<'_, [u8]>, TtlvError> {
    let whole = !bytes.is_empty() && bytes.len().is_multiple_of(8);
    whole.then_some(Cow::Borrowed(bytes)).ok_or(TtlvError::BadLength { tag, len: bytes.len() })
}

fn boolean(tag: Tag, bytes: &[u8]) -> Result<bool, TtlvError> {
    match u64::from_be_bytes(array(tag, bytes)?) {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(TtlvError::NotABoolean { tag }),
    }
}

fn text(tag: Tag, bytes: &[u8]) -> Result<Cow<'_, str>, TtlvError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| TtlvError::NotText { tag })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ttlv::write;

    fn refused(hex: &str) -> String {
        read(&hex::decode(hex.replace(' ', "")).expect("hex")).expect_err(hex).to_string()
    }

    #[test]
    fn each_kind_of_damage_has_its_message() {
        for (hex, message) in [
            ("", "it ends after 0 of 8 bytes"),
            ("4200780100000010", "it ends after 8 of 24 bytes"),
            ("420078 01 00000000 00", "1 bytes follow its end"),
            ("420078 01 00100000", "it says that it has 1048584 bytes, and at most 1048576 are read"),
            ("420078 01 fffffff8", "it says that it has 4294967296 bytes, and at most 1048576 are read"),
            (
                "420078 01 00000010 420094 07 00000009 6161616161616161",
                "Unique Identifier at byte 8 reaches beyond the end of what it is in",
            ),
            (
                "420078 01 00000010 420094 01 00000004 6161616100000000",
                "Unique Identifier has a length of 4, which its type does not have",
            ),
            (
                "420078 01 00000008 420094 07 00000001",
                "Unique Identifier at byte 8 reaches beyond the end of what it is in",
            ),
            ("420078 01 00000003 00000000 00000000", "Request Message has a length of 3, which its type does not have"),
            ("420094 0c 00000000", "Unique Identifier has the type 0x0c, which does not exist"),
            ("420094 00 00000000", "Unique Identifier has the type 0x00, which does not exist"),
            ("42000d 02 00000008 0000000000000001", "Batch Count has a length of 8, which its type does not have"),
            ("42000d 03 00000004 0000000100000000", "Batch Count has a length of 4, which its type does not have"),
            ("42000d 04 00000000", "Batch Count has a length of 0, which its type does not have"),
            ("42000d 04 00000004 0000000100000000", "Batch Count has a length of 4, which its type does not have"),
            ("42000d 05 00000003 0000010000000000", "Batch Count has a length of 3, which its type does not have"),
            ("540001 06 00000008 0000000000000002", "tag 0x540001 is neither true nor false"),
            ("420094 07 00000001 ff00000000000000", "Unique Identifier is not UTF-8"),
        ] {
            assert_eq!(refused(hex), message, "{hex}");
        }
    }

    #[test]
    fn what_is_in_the_padding_does_not_matter() {
        let bytes = hex::decode("42009407000000016100000000000000").expect("hex");
        let mut dirty = bytes.clone();
        dirty[9..].fill(0xff);
        assert_eq!(read(&dirty), read(&bytes));
    }

    #[test]
    fn a_message_nested_a_thousand_levels_deep_is_refused_before_the_stack_ends() {
        let nested =
            |depth| (1..depth).fold(Item::structure(Tag(1), vec![]), |item, _| Item::structure(Tag(1), vec![item]));
        assert!(read(&write(&nested(MAX_DEPTH))).is_ok());
        assert_eq!(read(&write(&nested(MAX_DEPTH + 1))), Err(TtlvError::TooDeep));
        assert_eq!(read(&write(&nested(1000))), Err(TtlvError::TooDeep));
    }

    #[test]
    fn the_number_of_items_is_bounded() {
        let wide = |count| Item::structure(Tag(1), vec![Item::structure(Tag(2), vec![]); count]);
        assert!(read(&write(&wide(MAX_ITEMS - 1))).is_ok());
        assert_eq!(read(&write(&wide(MAX_ITEMS))), Err(TtlvError::TooManyItems));
    }
}
