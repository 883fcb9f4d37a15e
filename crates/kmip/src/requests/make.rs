//! New keys.

use cadenas_secret::SecretBytes;

use super::{Request, attributes::Writer, read_identifier};
use crate::{
    CryptographicAlgorithm, KeyFormatType, KmipErrorKind, KmipId, KmipOperation, ObjectType, Version,
    message::Fields,
    ttlv::{Item, Tag},
};

/// Length of our keys in bits.
const KEY_BITS: i32 = 256;

/// What every new key is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    /// The key's name, which no other key has.
    pub(crate) name: &'a str,
    /// The VM that it is for. Left out where the server takes no attributes of our own.
    pub(crate) vm: Option<&'a str>,
}

impl<'a> Label<'a> {
    /// The same without what not every server takes.
    pub(crate) fn plain(self) -> Self {
        Self { vm: None, ..self }
    }

    fn attributes(self, writer: &Writer) -> Vec<Item<'a>> {
        let mut items = vec![writer.usage(), writer.name(self.name)];
        items.extend(self.vm.map(|vm| writer.vm(vm)));
        items
    }
}

/// The server makes an AES-256 key (1.4, 4.1; 2.0, 6.1). It is not active yet.
pub(crate) struct Create<'a>(pub(crate) Label<'a>);

impl Request for Create<'_> {
    const OPERATION: KmipOperation = KmipOperation::Create;
    type Answer = KmipId;

    fn payload(&self, version: Version) -> Vec<Item<'_>> {
        let writer = Writer::new(version);
        let mut attributes = vec![writer.algorithm(CryptographicAlgorithm::AES), writer.length(KEY_BITS)];
        attributes.extend(self.0.attributes(&writer));
        vec![Item::enumeration(Tag::OBJECT_TYPE, ObjectType::SYMMETRIC_KEY.code()), writer.for_new_key(attributes)]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<KmipId, KmipErrorKind> {
        read_identifier(payload)
    }
}

/// The server takes an AES-256 key that was made elsewhere (1.4, 4.3; 2.0, 6.1). It is not active yet.
pub(crate) struct Register<'a> {
    pub(crate) label: Label<'a>,
    pub(crate) key: &'a SecretBytes,
}

impl Register<'_> {
    /// The key with what it is (1.4, 2.1.3 and 2.2.2).
    fn symmetric_key(&self) -> Item<'_> {
        let value = Item::structure(Tag::KEY_VALUE, vec![Item::bytes(Tag::KEY_MATERIAL, self.key.expose())]);
        let block = vec![
            Item::enumeration(Tag::KEY_FORMAT_TYPE, KeyFormatType::RAW.code()),
            value,
            Item::enumeration(Tag::CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm::AES.code()),
            Item::integer(Tag::CRYPTOGRAPHIC_LENGTH, KEY_BITS),
        ];
        Item::structure(Tag::SYMMETRIC_KEY, vec![Item::structure(Tag::KEY_BLOCK, block)])
    }
}

impl Request for Register<'_> {
    const OPERATION: KmipOperation = KmipOperation::Register;
    type Answer = KmipId;

    fn payload(&self, version: Version) -> Vec<Item<'_>> {
        let writer = Writer::new(version);
        vec![
            Item::enumeration(Tag::OBJECT_TYPE, ObjectType::SYMMETRIC_KEY.code()),
            writer.for_new_key(self.label.attributes(&writer)),
            self.symmetric_key(),
        ]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<KmipId, KmipErrorKind> {
        read_identifier(payload)
    }
}
