//! Writing.

use zeroize::Zeroizing;

use super::{HEADER_BYTES, Item, Value};

/// The bytes of `item`, in a buffer that is wiped when it is dropped.
#[must_use]
pub fn write(item: &Item<'_>) -> Zeroizing<Vec<u8>> {
    // Of the right size from the start: a buffer that grows leaves its old self behind.
    let mut out = Zeroizing::new(Vec::with_capacity(item_len(item)));
    put(item, &mut out);
    out
}

fn put(item: &Item<'_>, out: &mut Vec<u8>) {
    let len = value_len(&item.value);
    out.extend_from_slice(&item.tag.to_bytes());
    out.push(item.value.type_code());
    out.extend_from_slice(&u32::try_from(len).expect("what we write is shorter than 4 GiB").to_be_bytes());
    put_value(&item.value, out);
    out.resize(out.len() + padding(len), 0);
}

fn put_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Structure(items) => items.iter().for_each(|item| put(item, out)),
        Value::Integer(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::LongInteger(number) | Value::DateTime(number) | Value::DateTimeExtended(number) => {
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Enumeration(number) | Value::Interval(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Boolean(yes) => out.extend_from_slice(&u64::from(*yes).to_be_bytes()),
        Value::TextString(text) => out.extend_from_slice(text.as_bytes()),
        Value::ByteString(bytes) | Value::BigInteger(bytes) => out.extend_from_slice(bytes),
    }
}

/// The bytes that an item takes: header, value and padding.
fn item_len(item: &Item<'_>) -> usize {
    let len = value_len(&item.value);
    HEADER_BYTES + len + padding(len)
}

/// The bytes of a value without padding, which is what its length field says.
fn value_len(value: &Value<'_>) -> usize {
    match value {
        Value::Structure(items) => items.iter().map(item_len).sum(),
        Value::Integer(_) | Value::Enumeration(_) | Value::Interval(_) => 4,
        Value::LongInteger(_) | Value::Boolean(_) | Value::DateTime(_) | Value::DateTimeExtended(_) => 8,
        Value::TextString(text) => text.len(),
        Value::ByteString(bytes) | Value::BigInteger(bytes) => bytes.len(),
    }
}

/// The bytes that fill a value up to a multiple of 8.
pub(super) fn padding(len: usize) -> usize {
    len.next_multiple_of(8) - len
}
