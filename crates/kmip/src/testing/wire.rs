//! Answers as bytes, right and wrong.

use std::borrow::Cow;

use super::{
    Fault,
    service::{Asked, Refusal},
};
use crate::{
    CryptographicAlgorithm, KmipOperation, Version,
    message::protocol_version,
    ttlv::{Item, Tag, Value, write},
};

const SUCCESS: u32 = 0;
const FAILED: u32 = 1;

/// The proper answer.
pub(super) fn answer(asked: &Asked, done: Result<Vec<Item<'static>>, Refusal>) -> Item<'static> {
    let mut item = vec![
        Item::enumeration(Tag::OPERATION, asked.operation.code()),
        owned_bytes(Tag::UNIQUE_BATCH_ITEM_ID, &asked.batch_id),
    ];
    match done {
        Ok(payload) => {
            item.push(Item::enumeration(Tag::RESULT_STATUS, SUCCESS));
            item.push(Item::structure(Tag::RESPONSE_PAYLOAD, payload));
        }
        Err(Refusal(reason, said)) => {
            item.push(Item::enumeration(Tag::RESULT_STATUS, FAILED));
            item.push(Item::enumeration(Tag::RESULT_REASON, reason.code()));
            item.push(owned_text(Tag::RESULT_MESSAGE, &said));
        }
    }
    message(asked.version, vec![Item::structure(Tag::BATCH_ITEM, item)])
}

/// The answer as this fault spoils it.
pub(super) fn spoiled(fault: &Fault, asked: &Asked, mut proper: Item<'static>) -> Vec<u8> {
    match fault {
        Fault::OverLong => return b"\x42\x00\x7b\x01\xff\xff\xff\xf8".to_vec(),
        Fault::Deep => return write(&nested(1000)).to_vec(),
        Fault::Web => return b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec(),
        Fault::NoBatchItem => return write(&message(asked.version, vec![])).to_vec(),
        Fault::Garbled => return garbled(&proper),
        Fault::TwoBatchItems => {
            let again = proper.clone();
            children(&mut proper).extend(children(&mut again.clone()).pop());
        }
        Fault::OtherOperation => {
            replace(&mut proper, Tag::OPERATION, Value::Enumeration(other(asked.operation).code()));
        }
        Fault::OtherBatchId => {
            replace(&mut proper, Tag::UNIQUE_BATCH_ITEM_ID, Value::ByteString(Cow::Borrowed(b"other")));
        }
        Fault::OtherKey => replace(&mut proper, Tag::UNIQUE_IDENTIFIER, Value::TextString(Cow::Borrowed("key-0"))),
        Fault::OtherVersion => replace(&mut proper, Tag::PROTOCOL_VERSION_MAJOR, Value::Integer(3)),
        Fault::NoPayload => replace(&mut proper, Tag::RESPONSE_PAYLOAD, Value::Structure(vec![])),
        Fault::ShortKey => replace(&mut proper, Tag::KEY_MATERIAL, Value::ByteString(Cow::Borrowed(&[7; 16]))),
        Fault::OtherAlgorithm(algorithm) => other_algorithm(&mut proper, *algorithm),
        Fault::Refuse(..) | Fault::Late(_) | Fault::Drip(_) | Fault::Cut | Fault::HangUp | Fault::HangUpBefore => {}
    }
    write(&proper).to_vec()
}

pub(super) fn owned_text(tag: Tag, text: &str) -> Item<'static> {
    Item { tag, value: Value::TextString(Cow::Owned(text.to_owned())) }
}

pub(super) fn owned_bytes(tag: Tag, bytes: &[u8]) -> Item<'static> {
    Item { tag, value: Value::ByteString(Cow::Owned(bytes.to_vec())) }
}

fn message(version: Version, batch: Vec<Item<'static>>) -> Item<'static> {
    let count = i32::try_from(batch.len()).expect("a few");
    let header = vec![
        protocol_version(version),
        Item::date_time(Tag::TIME_STAMP, 1_700_000_000),
        Item::integer(Tag::BATCH_COUNT, count),
    ];
    let mut items = vec![Item::structure(Tag::RESPONSE_HEADER, header)];
    items.extend(batch);
    Item::structure(Tag::RESPONSE_MESSAGE, items)
}

fn nested(depth: usize) -> Item<'static> {
    let inner = Item::structure(Tag::BATCH_ITEM, vec![]);
    let nested = (2..depth).fold(inner, |item, _| Item::structure(Tag::BATCH_ITEM, vec![item]));
    Item::structure(Tag::RESPONSE_MESSAGE, vec![nested])
}

/// The type of the first item inside does not exist.
fn garbled(proper: &Item<'_>) -> Vec<u8> {
    let mut bytes = write(proper).to_vec();
    bytes[11] = 0x7f;
    bytes
}

fn other(operation: KmipOperation) -> KmipOperation {
    if operation == KmipOperation::Query { KmipOperation::Locate } else { KmipOperation::Query }
}

fn other_algorithm(proper: &mut Item<'static>, algorithm: CryptographicAlgorithm) {
    replace(proper, Tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(algorithm.code()));
}

fn children<'a>(item: &'a mut Item<'static>) -> &'a mut Vec<Item<'static>> {
    match &mut item.value {
        Value::Structure(items) => items,
        _ => panic!("not a structure"),
    }
}

/// Gives every item with this tag another value.
fn replace(item: &mut Item<'static>, tag: Tag, value: Value<'static>) {
    if item.tag == tag {
        item.value = value;
    } else if let Value::Structure(items) = &mut item.value {
        for item in items {
            replace(item, tag, value.clone());
        }
    }
}
