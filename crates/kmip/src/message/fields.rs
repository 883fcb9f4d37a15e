//! Looking into a structure.

use crate::{
    KmipErrorKind,
    ttlv::{Item, Tag, Value},
};

/// The items of a structure, found by their tags. Those that nobody asks for are not looked at: servers may add what later
/// versions or they themselves define.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'m> {
    inside: Tag,
    items: &'m [Item<'m>],
}

/// A structure does not hold what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    #[error("{inside} has no {tag}")]
    Missing { inside: Tag, tag: Tag },
    #[error("{tag} is not of the type {expected} but {found}")]
    WrongType { tag: Tag, expected: &'static str, found: &'static str },
}

impl From<FieldError> for KmipErrorKind {
    fn from(error: FieldError) -> Self {
        Self::malformed(error)
    }
}

impl<'m> Fields<'m> {
    /// The items of `item`, which must be a structure.
    pub(crate) fn of(item: &'m Item<'m>) -> Result<Self, FieldError> {
        match &item.value {
            Value::Structure(items) => Ok(Self { inside: item.tag, items }),
            value => Err(wrong_type(item.tag, "Structure", value)),
        }
    }

    /// A structure without items, as an answer without a payload.
    pub(crate) fn none(inside: Tag) -> Self {
        Self { inside, items: &[] }
    }

    /// The first item with this tag.
    pub(crate) fn find(self, tag: Tag) -> Option<&'m Item<'m>> {
        self.items.iter().find(|item| item.tag == tag)
    }

    /// All items with this tag.
    pub(crate) fn all(self, tag: Tag) -> impl Iterator<Item = &'m Item<'m>> {
        self.items.iter().filter(move |item| item.tag == tag)
    }

    /// The item with this tag, which must be there.
    pub(crate) fn item(self, tag: Tag) -> Result<&'m Item<'m>, FieldError> {
        self.find(tag).ok_or(FieldError::Missing { inside: self.inside, tag })
    }

    /// The structure with this tag.
    pub(crate) fn structure(self, tag: Tag) -> Result<Fields<'m>, FieldError> {
        Fields::of(self.item(tag)?)
    }

    /// The text with this tag.
    pub(crate) fn text(self, tag: Tag) -> Result<&'m str, FieldError> {
        text(self.item(tag)?)
    }

    /// The text with this tag, if there is one.
    pub(crate) fn optional_text(self, tag: Tag) -> Result<Option<&'m str>, FieldError> {
        self.find(tag).map(text).transpose()
    }

    /// The number with this tag.
    pub(crate) fn integer(self, tag: Tag) -> Result<i32, FieldError> {
        integer(self.item(tag)?)
    }

    /// The enumeration with this tag.
    pub(crate) fn enumeration(self, tag: Tag) -> Result<u32, FieldError> {
        enumeration(self.item(tag)?)
    }

    /// The enumeration with this tag, if there is one.
    pub(crate) fn optional_enumeration(self, tag: Tag) -> Result<Option<u32>, FieldError> {
        self.find(tag).map(enumeration).transpose()
    }

    /// The bytes with this tag, if there are any.
    #[cfg(feature = "testing")]
    pub(crate) fn optional_bytes(self, tag: Tag) -> Result<Option<&'m [u8]>, FieldError> {
        self.find(tag).map(bytes).transpose()
    }
}

/// An item's text.
pub(crate) fn text<'m>(item: &'m Item<'m>) -> Result<&'m str, FieldError> {
    match &item.value {
        Value::TextString(text) => Ok(text),
        value => Err(wrong_type(item.tag, "Text String", value)),
    }
}

/// An item's bytes.
pub(crate) fn bytes<'m>(item: &'m Item<'m>) -> Result<&'m [u8], FieldError> {
    match &item.value {
        Value::ByteString(bytes) => Ok(bytes),
        value => Err(wrong_type(item.tag, "Byte String", value)),
    }
}

/// An item's number out of a set.
pub(crate) fn enumeration(item: &Item<'_>) -> Result<u32, FieldError> {
    match item.value {
        Value::Enumeration(code) => Ok(code),
        ref value => Err(wrong_type(item.tag, "Enumeration", value)),
    }
}

/// An item's number.
pub(crate) fn integer(item: &Item<'_>) -> Result<i32, FieldError> {
    match item.value {
        Value::Integer(number) => Ok(number),
        ref value => Err(wrong_type(item.tag, "Integer", value)),
    }
}

/// An item's moment, in seconds since 1970.
pub(crate) fn date_time(item: &Item<'_>) -> Result<i64, FieldError> {
    match item.value {
        Value::DateTime(seconds) => Ok(seconds),
        Value::DateTimeExtended(micros) => Ok(micros.div_euclid(1_000_000)),
        ref value => Err(wrong_type(item.tag, "Date-Time", value)),
    }
}

fn wrong_type(tag: Tag, expected: &'static str, found: &Value<'_>) -> FieldError {
    FieldError::WrongType { tag, expected, found: found.type_name() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_mistyped_item_is_named_with_where_it_should_be() {
        let item = Item::structure(Tag::KEY_BLOCK, vec![Item::integer(Tag::KEY_FORMAT_TYPE, 1)]);
        let fields = Fields::of(&item).expect("a structure");
        let missing = fields.structure(Tag::KEY_VALUE).expect_err("not there");
        assert_eq!(missing.to_string(), "Key Block has no Key Value");
        let mistyped = fields.enumeration(Tag::KEY_FORMAT_TYPE).expect_err("an integer");
        assert_eq!(mistyped.to_string(), "Key Format Type is not of the type Enumeration but Integer");
        assert_eq!(fields.optional_text(Tag::NAME), Ok(None));
    }
}
