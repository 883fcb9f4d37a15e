//! Published examples.

use std::borrow::Cow;

use super::{Item, Tag, Value, read, write};

/// The tag of the specification's examples.
const TAG: Tag = Tag::COMPROMISE_DATE;

fn check(hex: &str, item: &Item<'_>) {
    let bytes = hex::decode(hex.replace(' ', "")).expect("hex");
    assert_eq!(read(&bytes).as_ref(), Ok(item), "{hex}");
    assert_eq!(write(item)[..], bytes, "{hex}");
}

/// *KMIP Specification 1.4*, section 9.1.2: all of its examples, in its order.
#[test]
fn the_specifications_examples() {
    let item = |value| Item { tag: TAG, value };
    check("420020 02 00000004 0000000800000000", &item(Value::Integer(8)));
    check("420020 03 00000008 01b69b4ba5749200", &item(Value::LongInteger(123_456_789_000_000_000)));
    let big = 1_234_567_890_000_000_000_000_000_000_i128.to_be_bytes();
    check("420020 04 00000010 0000000003fd35eb6bc2df4618080000", &item(Value::BigInteger(Cow::Borrowed(&big))));
    check("420020 05 00000004 000000ff00000000", &item(Value::Enumeration(255)));
    check("420020 06 00000008 0000000000000001", &item(Value::Boolean(true)));
    check("420020 07 0000000b 48656c6c6f20576f726c640000000000", &Item::text(TAG, "Hello World"));
    check("420020 08 00000003 0102030000000000", &Item::bytes(TAG, &[1, 2, 3]));
    // Friday, March 14, 2008, 11:56:40 GMT.
    check("420020 09 00000008 0000000047da67f8", &Item::date_time(TAG, 1_205_495_800));
    // Ten days.
    check("420020 0a 00000004 000d2f0000000000", &item(Value::Interval(864_000)));
    let inner = vec![Item::enumeration(Tag(0x42_0004), 254), Item::integer(Tag(0x42_0005), 255)];
    check(
        "420020 01 00000020 420004 05 00000004 000000fe00000000 420005 02 00000004 000000ff00000000",
        &Item::structure(TAG, inner),
    );
}

/// 2.0 added a type without an example; the value counts microseconds.
#[test]
fn a_date_with_microseconds() {
    check("420020 0b 00000008 00000000000f4241", &Item { tag: TAG, value: Value::DateTimeExtended(1_000_001) });
}
