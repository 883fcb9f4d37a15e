//! Contexts of derivations and wraps.

/// The fields, each with its length in front (32 bits, big-endian), so that no two lists of fields give the same bytes.
pub(crate) fn length_prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let mut context = Vec::with_capacity(fields.iter().map(|field| 4 + field.len()).sum());
    for field in fields {
        let len = u32::try_from(field.len()).expect("a field is an ID, a name or a label");
        context.extend_from_slice(&len.to_be_bytes());
        context.extend_from_slice(field);
    }
    context
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_that_concatenate_to_the_same_text_differ() {
        assert_ne!(length_prefixed(&[b"ab", b"c"]), length_prefixed(&[b"a", b"bc"]));
        assert_ne!(length_prefixed(&[b"ab"]), length_prefixed(&[b"ab", b""]));
        assert_eq!(length_prefixed(&[b"ab", b""]), b"\0\0\0\x02ab\0\0\0\0");
    }

    proptest! {
        #[test]
        fn different_fields_give_different_contexts(
            one in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
            other in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            let context = |fields: &[Vec<u8>]| length_prefixed(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(one == other, context(&one) == context(&other));
        }
    }
}
