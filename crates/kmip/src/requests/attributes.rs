//! Attributes of keys, in both of KMIP's ways of writing them.
//!
//! Until 1.4 an attribute is a structure of a name in words and a value (1.4, 2.1.1). Since 2.0 it is an item whose tag says
//! which it is (2.0, 5.1), and the words are the tag's name; what has no tag is a vendor attribute (2.0, 4.53).

use crate::{
    CryptographicAlgorithm, KeyAttributes, KeyState, KmipErrorKind, Version,
    message::{FieldError, Fields, date_time, enumeration},
    ttlv::{Item, Tag},
};

/// Encrypt, decrypt, wrap key, unwrap key (Cryptographic Usage Mask: 1.4, 9.1.3.3.1).
const USAGE_MASK: i32 = 0x04 | 0x08 | 0x10 | 0x20;
/// Name Type: Uninterpreted Text String (1.4, 9.1.3.2.11).
const UNINTERPRETED_TEXT: u32 = 1;
/// A client's custom attribute has a name that begins with `x-` (1.4, 3.39)…
const CUSTOM_VM: &str = "x-Cadenas-VM";
/// …which 2.0 takes apart: `x` is the vendor of what was a custom attribute (2.0, 4.53).
const VENDOR: &str = "x";
const VENDOR_VM: &str = "Cadenas-VM";

/// What a key is given, or is looked for by: the attributes of one request, all written in the way of its version.
pub(crate) struct Writer {
    version: Version,
}

impl Writer {
    pub(crate) fn new(version: Version) -> Self {
        Self { version }
    }

    pub(crate) fn algorithm(&self, algorithm: CryptographicAlgorithm) -> Item<'static> {
        self.standard(Item::enumeration(Tag::CRYPTOGRAPHIC_ALGORITHM, algorithm.code()))
    }

    pub(crate) fn length(&self, bits: i32) -> Item<'static> {
        self.standard(Item::integer(Tag::CRYPTOGRAPHIC_LENGTH, bits))
    }

    /// What our keys may be used for.
    pub(crate) fn usage(&self) -> Item<'static> {
        self.standard(Item::integer(Tag::CRYPTOGRAPHIC_USAGE_MASK, USAGE_MASK))
    }

    pub(crate) fn name<'a>(&self, name: &'a str) -> Item<'a> {
        let kind = Item::enumeration(Tag::NAME_TYPE, UNINTERPRETED_TEXT);
        self.standard(Item::structure(Tag::NAME, vec![Item::text(Tag::NAME_VALUE, name), kind]))
    }

    /// The VM that a key is for. No standard has it.
    pub(crate) fn vm<'a>(&self, vm: &'a str) -> Item<'a> {
        let value = Item::text(Tag::ATTRIBUTE_VALUE, vm);
        let parts = if self.version.has_tagged_attributes() {
            let vendor = Item::text(Tag::VENDOR_IDENTIFICATION, VENDOR);
            vec![vendor, Item::text(Tag::ATTRIBUTE_NAME, VENDOR_VM), value]
        } else {
            vec![Item::text(Tag::ATTRIBUTE_NAME, CUSTOM_VM), value]
        };
        Item::structure(Tag::ATTRIBUTE, parts)
    }

    /// Attributes of a new key.
    pub(crate) fn for_new_key<'a>(&self, attributes: Vec<Item<'a>>) -> Item<'a> {
        let tag = if self.version.has_tagged_attributes() { Tag::ATTRIBUTES } else { Tag::TEMPLATE_ATTRIBUTE };
        Item::structure(tag, attributes)
    }

    /// Attributes that a key must have to be found.
    pub(crate) fn for_search<'a>(&self, attributes: Vec<Item<'a>>) -> Vec<Item<'a>> {
        if self.version.has_tagged_attributes() {
            vec![Item::structure(Tag::ATTRIBUTES, attributes)]
        } else {
            attributes
        }
    }

    /// The attributes with these tags, to be told.
    pub(crate) fn references(&self, tags: &[Tag]) -> Vec<Item<'static>> {
        let reference = |tag: &Tag| {
            if self.version.has_tagged_attributes() {
                Item::enumeration(Tag::ATTRIBUTE_REFERENCE, tag.code())
            } else {
                Item::text(Tag::ATTRIBUTE_NAME, words(*tag))
            }
        };
        tags.iter().map(reference).collect()
    }

    /// An attribute that has a tag.
    fn standard<'a>(&self, item: Item<'a>) -> Item<'a> {
        if self.version.has_tagged_attributes() {
            return item;
        }
        let name = Item::text(Tag::ATTRIBUTE_NAME, words(item.tag));
        Item::structure(Tag::ATTRIBUTE, vec![name, Item { tag: Tag::ATTRIBUTE_VALUE, value: item.value }])
    }
}

/// The attributes that an answer tells.
pub(crate) struct Told<'m> {
    version: Version,
    items: Fields<'m>,
}

impl<'m> Told<'m> {
    pub(crate) fn new(payload: Fields<'m>, version: Version) -> Result<Self, FieldError> {
        let items = if version.has_tagged_attributes() { payload.structure(Tag::ATTRIBUTES)? } else { payload };
        Ok(Self { version, items })
    }

    /// What a server tells of a key's life.
    pub(crate) fn key_attributes(&self) -> Result<KeyAttributes, KmipErrorKind> {
        let state = self.first(Tag::STATE)?.ok_or(FieldError::Missing { inside: Tag::ATTRIBUTES, tag: Tag::STATE })?;
        let state = enumeration(state)?;
        let state = KeyState::from_code(state).ok_or_else(|| {
            KmipErrorKind::malformed(format_args!("the key's State is {state}, which does not exist"))
        })?;
        let names = self.all(Tag::NAME)?.into_iter().map(name_value).collect::<Result<_, _>>()?;
        let created = self.first(Tag::INITIAL_DATE)?.map(date_time).transpose()?;
        let activated = self.first(Tag::ACTIVATION_DATE)?.map(date_time).transpose()?;
        Ok(KeyAttributes { state, names, created, activated })
    }

    fn first(&self, tag: Tag) -> Result<Option<&'m Item<'m>>, FieldError> {
        Ok(self.all(tag)?.first().copied())
    }

    /// The values of all attributes with this tag.
    fn all(&self, tag: Tag) -> Result<Vec<&'m Item<'m>>, FieldError> {
        if self.version.has_tagged_attributes() {
            return Ok(self.items.all(tag).collect());
        }
        let mut values = Vec::new();
        for attribute in self.items.all(Tag::ATTRIBUTE) {
            let attribute = Fields::of(attribute)?;
            if attribute.text(Tag::ATTRIBUTE_NAME)? == words(tag) {
                values.push(attribute.item(Tag::ATTRIBUTE_VALUE)?);
            }
        }
        Ok(values)
    }
}

fn name_value(name: &Item<'_>) -> Result<String, FieldError> {
    Ok(Fields::of(name)?.text(Tag::NAME_VALUE)?.to_owned())
}

/// An attribute's name until 1.4.
fn words(tag: Tag) -> &'static str {
    tag.name().expect("the tags of attributes have names")
}
