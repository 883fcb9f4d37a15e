//! Finding and reading keys.

use cadenas_secret::SecretBytes;

use super::{
    Request,
    attributes::{Told, Writer},
    parse_identifier, same_key, unique_identifier,
};
use crate::{
    CryptographicAlgorithm, KEY_BYTES, KeyAttributes, KeyFormatType, KmipErrorKind, KmipId, KmipOperation, ObjectType,
    Version,
    message::{Fields, bytes, text},
    ttlv::{Item, Tag, Value},
};

/// A key's material (1.4, 4.11; 2.0, 6.1): 32 bytes for AES, or an error that says what came instead.
pub(crate) struct Get<'a>(pub(crate) &'a KmipId);

impl Request for Get<'_> {
    const OPERATION: KmipOperation = KmipOperation::Get;
    type Answer = SecretBytes;

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        vec![unique_identifier(self.0)]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<SecretBytes, KmipErrorKind> {
        same_key(self.0, payload)?;
        let object_type = ObjectType(payload.enumeration(Tag::OBJECT_TYPE)?);
        if object_type != ObjectType::SYMMETRIC_KEY {
            return Err(KmipErrorKind::NotASymmetricKey { found: object_type });
        }
        key_material(payload.structure(Tag::SYMMETRIC_KEY)?.structure(Tag::KEY_BLOCK)?)
    }
}

/// The material in a key block (1.4, 2.1.3), copied once, into locked memory.
fn key_material(block: Fields<'_>) -> Result<SecretBytes, KmipErrorKind> {
    if block.find(Tag::KEY_WRAPPING_DATA).is_some() {
        return Err(KmipErrorKind::Wrapped);
    }
    let algorithm = block.optional_enumeration(Tag::CRYPTOGRAPHIC_ALGORITHM)?.map(CryptographicAlgorithm);
    if let Some(found) = algorithm.filter(|algorithm| *algorithm != CryptographicAlgorithm::AES) {
        return Err(KmipErrorKind::WrongAlgorithm { found });
    }
    let format = KeyFormatType(block.enumeration(Tag::KEY_FORMAT_TYPE)?);
    let material = raw(format, block.structure(Tag::KEY_VALUE)?.item(Tag::KEY_MATERIAL)?)?;
    if material.len() != KEY_BYTES {
        return Err(KmipErrorKind::WrongLength { bits: material.len() * 8 });
    }
    Ok(SecretBytes::new_with(KEY_BYTES, |out| out.copy_from_slice(material)))
}

/// The bytes of the key: as they are, or in the one structure that holds nothing else (1.4, 2.1.7.1).
fn raw<'m>(format: KeyFormatType, material: &'m Item<'m>) -> Result<&'m [u8], KmipErrorKind> {
    match (format, &material.value) {
        (KeyFormatType::RAW, _) => Ok(bytes(material)?),
        (KeyFormatType::TRANSPARENT_SYMMETRIC_KEY, Value::Structure(_)) => {
            Ok(bytes(Fields::of(material)?.item(Tag::KEY)?)?)
        }
        (found, _) => Err(KmipErrorKind::WrongFormat { found }),
    }
}

/// Where a key is in its life (1.4, 4.12; 2.0, 6.1).
pub(crate) struct GetAttributes<'a>(pub(crate) &'a KmipId);

impl Request for GetAttributes<'_> {
    const OPERATION: KmipOperation = KmipOperation::GetAttributes;
    type Answer = KeyAttributes;

    fn payload(&self, version: Version) -> Vec<Item<'_>> {
        let mut items = vec![unique_identifier(self.0)];
        let wanted = [Tag::STATE, Tag::INITIAL_DATE, Tag::ACTIVATION_DATE, Tag::NAME];
        items.extend(Writer::new(version).references(&wanted));
        items
    }

    fn answer(&self, payload: Fields<'_>, version: Version) -> Result<KeyAttributes, KmipErrorKind> {
        same_key(self.0, payload)?;
        Told::new(payload, version)?.key_attributes()
    }
}

/// The keys with a name (1.4, 4.9; 2.0, 6.1).
pub(crate) struct Locate<'a>(pub(crate) &'a str);

impl Request for Locate<'_> {
    const OPERATION: KmipOperation = KmipOperation::Locate;
    type Answer = Vec<KmipId>;

    fn payload(&self, version: Version) -> Vec<Item<'_>> {
        let writer = Writer::new(version);
        writer.for_search(vec![writer.name(self.0)])
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<Vec<KmipId>, KmipErrorKind> {
        let identifiers = payload.all(Tag::UNIQUE_IDENTIFIER);
        identifiers.map(|item| parse_identifier(text(item)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; KEY_BYTES] = [0x5a; KEY_BYTES];

    fn id() -> KmipId {
        "key-1".parse().expect("an identifier")
    }

    /// What Get makes of a key block with these items.
    fn got(block: Vec<Item<'_>>) -> Result<Vec<u8>, String> {
        let key = Item::structure(Tag::SYMMETRIC_KEY, vec![Item::structure(Tag::KEY_BLOCK, block)]);
        let object_type = Item::enumeration(Tag::OBJECT_TYPE, ObjectType::SYMMETRIC_KEY.code());
        let payload = Item::structure(Tag::RESPONSE_PAYLOAD, vec![object_type, key]);
        let answer = Get(&id()).answer(Fields::of(&payload).expect("a structure"), Version::V1_4);
        answer.map(|key| key.expose().to_vec()).map_err(|error| error.to_string())
    }

    fn block(format: KeyFormatType, material: Item<'_>) -> Vec<Item<'_>> {
        let value = Item::structure(Tag::KEY_VALUE, vec![material]);
        vec![Item::enumeration(Tag::KEY_FORMAT_TYPE, format.code()), value]
    }

    #[test]
    fn both_formats_of_a_plain_key_are_read() {
        let raw = Item::bytes(Tag::KEY_MATERIAL, &BYTES);
        assert_eq!(got(block(KeyFormatType::RAW, raw)), Ok(BYTES.to_vec()));
        let transparent = Item::structure(Tag::KEY_MATERIAL, vec![Item::bytes(Tag::KEY, &BYTES)]);
        assert_eq!(got(block(KeyFormatType::TRANSPARENT_SYMMETRIC_KEY, transparent)), Ok(BYTES.to_vec()));
    }

    #[test]
    fn other_forms_of_a_key_are_named() {
        let raw = || Item::bytes(Tag::KEY_MATERIAL, &BYTES);
        let refused = |block| got(block).expect_err("not a plain key");
        let mut wrapped = block(KeyFormatType::RAW, raw());
        wrapped.push(Item::structure(Tag::KEY_WRAPPING_DATA, vec![]));
        assert_eq!(refused(wrapped), "the key comes wrapped with another key");
        let opaque = block(KeyFormatType::OPAQUE, raw());
        assert_eq!(refused(opaque), "the key comes as Opaque, and not raw");
        let unknown = block(KeyFormatType(0x15), raw());
        assert_eq!(refused(unknown), "the key comes as key format 0x15, and not raw");
        let text = block(KeyFormatType::RAW, Item::text(Tag::KEY_MATERIAL, "a key"));
        assert_eq!(
            refused(text),
            "the answer is malformed: Key Material is not of the type Byte String but Text String"
        );
        assert_eq!(refused(vec![]), "the answer is malformed: Key Block has no Key Format Type");
    }

    #[test]
    fn an_identifier_that_cannot_be_one_is_malformed() {
        let payload = Item::structure(Tag::RESPONSE_PAYLOAD, vec![Item::text(Tag::UNIQUE_IDENTIFIER, "a\nb")]);
        let answer = Locate("a").answer(Fields::of(&payload).expect("a structure"), Version::V1_4);
        let text = answer.expect_err("a line feed").to_string();
        assert!(text.starts_with("the answer is malformed: not a KMIP identifier: \"a\\nb\""), "{text}");
    }
}
