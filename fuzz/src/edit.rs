//! Changes to a valid input: parsers that check much never get far with bytes that are random from the first one.

use bolero::{TypeGenerator, ValueGenerator, produce};

/// One change. Places are taken modulo the input's length, so that every change means something.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Edit {
    /// Another byte.
    Set(u32, u8),
    /// One flipped bit.
    Flip(u32, u8),
    /// A big-endian number of 32 bits where one could stand.
    Number(u32, #[generator(number())] u32),
    /// A big-endian number of 64 bits where one could stand.
    Long(u32, #[generator(long())] u64),
    /// Bytes that were not there.
    Insert(u32, [u8; 3]),
    /// A piece left out.
    Remove(u32, u8),
    /// A piece written once more elsewhere, as an attacker would who knows a valid one.
    Copy(u32, u32, u8),
    /// The end.
    Cut(u32),
}

/// One to six changes.
#[must_use]
pub fn edits() -> impl ValueGenerator<Output = Vec<Edit>> {
    produce::<Vec<Edit>>().with().len(1usize..=6)
}

/// `seed` after all of `edits`, in their order.
#[must_use]
pub fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        edit.apply(&mut bytes);
    }
    bytes
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Set(at, byte) => overwrite(bytes, at, &[byte]),
            Self::Flip(at, bit) => {
                let at = place(bytes, at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Number(at, number) => overwrite(bytes, at & !3, &number.to_be_bytes()),
            Self::Long(at, number) => overwrite(bytes, at & !7, &number.to_be_bytes()),
            Self::Insert(at, new) => {
                let at = place(bytes, at);
                bytes.splice(at..at, new);
            }
            Self::Remove(at, len) => drop(bytes.drain(piece(bytes, at, len))),
            Self::Copy(from, to, len) => {
                let copied = bytes[piece(bytes, from, len)].to_vec();
                overwrite(bytes, to, &copied);
            }
            Self::Cut(at) => bytes.truncate(place(bytes, at)),
        }
    }
}

/// Writes over what is at `at`, as far as the input goes.
fn overwrite(bytes: &mut [u8], at: u32, new: &[u8]) {
    let at = place(bytes, at);
    for (old, new) in bytes[at..].iter_mut().zip(new) {
        *old = *new;
    }
}

fn piece(bytes: &[u8], at: u32, len: u8) -> std::ops::Range<usize> {
    let start = place(bytes, at);
    start..bytes.len().min(start + usize::from(len))
}

fn place(bytes: &[u8], at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX) % bytes.len().max(1)
}

/// Numbers that lengths, offsets and counts break at, and any others.
fn number() -> impl ValueGenerator<Output = u32> {
    (0u8..12, produce::<u32>()).map_gen(|(kind, any)| match kind {
        0 => 0,
        1 => 1,
        2 => u32::MAX,
        3 => i32::MAX.cast_unsigned(),
        4 => 1 << (any % 32),
        5 => (1 << (any % 32)) - 1,
        6 | 7 => any % 4096,
        _ => any,
    })
}

fn long() -> impl ValueGenerator<Output = u64> {
    (0u8..12, produce::<u64>()).map_gen(|(kind, any)| match kind {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => i64::MAX.cast_unsigned(),
        4 => 1 << (any % 64),
        5 => (1 << (any % 64)) - 1,
        6 => any % 4096,
        7 => (any % 64) << 16,
        _ => any,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_what_it_says() {
        assert_eq!(edited(b"abcdef", &[Edit::Set(1, b'X')]), b"aXcdef");
        assert_eq!(edited(b"abcdef", &[Edit::Flip(6, 0)]), b"`bcdef");
        assert_eq!(edited(b"abcdef", &[Edit::Number(5, 0)]), b"abcd\0\0");
        assert_eq!(edited(b"abcdef", &[Edit::Insert(3, *b"123")]), b"abc123def");
        assert_eq!(edited(b"abcdef", &[Edit::Remove(4, 200)]), b"abcd");
        assert_eq!(edited(b"abcdef", &[Edit::Copy(0, 4, 3)]), b"abcdab");
        assert_eq!(edited(b"abcdef", &[Edit::Cut(2), Edit::Set(3, b'X')]), b"aX");
    }

    #[test]
    fn every_edit_takes_an_empty_input() {
        bolero::check!().with_generator(edits()).for_each(|edits| {
            assert!(edited(b"", edits).len() <= 3 * edits.len());
        });
    }
}
