//! What holds for every tree and every message.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{HEADER_BYTES, Item, MAX_MESSAGE_BYTES, Tag, TtlvError, Value, announced_len, read, write};

fn item() -> impl Strategy<Value = Item<'static>> {
    let leaf = (tag(), leaf_value()).prop_map(|(tag, value)| Item { tag, value });
    leaf.prop_recursive(6, 64, 8, |inner| {
        (tag(), prop::collection::vec(inner, 0..8)).prop_map(|(tag, items)| Item::structure(tag, items))
    })
}

fn tag() -> impl Strategy<Value = Tag> {
    (0..1_u32 << 24).prop_map(Tag)
}

fn leaf_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        any::<i64>().prop_map(Value::LongInteger),
        prop::collection::vec(any::<[u8; 8]>(), 1..4).prop_map(|words| Value::BigInteger(Cow::Owned(words.concat()))),
        any::<u32>().prop_map(Value::Enumeration),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(|text| Value::TextString(Cow::Owned(text))),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::ByteString(Cow::Owned(bytes))),
        any::<i64>().prop_map(Value::DateTime),
        any::<u32>().prop_map(Value::Interval),
        any::<i64>().prop_map(Value::DateTimeExtended),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(item in item()) {
        let bytes = write(&item);
        prop_assert_eq!(read(&bytes), Ok(item));
    }

    #[test]
    fn every_prefix_is_refused_as_cut_off(item in item()) {
        let bytes = write(&item);
        for len in 0..bytes.len() {
            let expected = if len < HEADER_BYTES { HEADER_BYTES } else { bytes.len() };
            prop_assert_eq!(read(&bytes[..len]), Err(TtlvError::Truncated { found: len, expected }));
        }
    }

    #[test]
    fn any_changed_byte_is_refused_or_read_as_something_of_the_same_length(
        item in item(), at in any::<prop::sample::Index>(), change in 1..=255_u8,
    ) {
        let mut bytes = write(&item).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(other) = read(&bytes) {
            prop_assert_eq!(write(&other).len(), bytes.len());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_written_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(item) = read(&bytes) {
            let written = write(&item);
            let again = read(&written);
            prop_assert_eq!(again.as_ref(), Ok(&item));
        }
    }

    #[test]
    fn no_header_announces_more_than_is_read(header in any::<[u8; HEADER_BYTES]>()) {
        if let Ok(len) = announced_len(header) {
            prop_assert!((HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&len) && len % 8 == 0);
        }
    }
}
