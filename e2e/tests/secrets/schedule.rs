//! The round keys of AES-256 (FIPS 197): what a cipher makes of its key, and from which the key can be had back.

const COLUMNS: usize = 60;
type Column = [u8; 4];

/// The round keys for encrypting and those for decrypting, as processors with AES instructions take them.
pub(crate) fn round_keys(key: &[u8; 32]) -> [Vec<u8>; 2] {
    let columns = expanded(key);
    let inverse = columns.map(inverse_mixed);
    [columns.as_flattened().to_vec(), inverse.as_flattened().to_vec()]
}

/// FIPS 197, section 5.2.
fn expanded(key: &[u8; 32]) -> [Column; COLUMNS] {
    let table = substitutes();
    let substituted = |column: Column| column.map(|byte| table[usize::from(byte)]);
    let mut columns = [[0; 4]; COLUMNS];
    columns[..8].copy_from_slice(key.as_chunks().0);
    let mut round = 1;
    for at in 8..COLUMNS {
        let mut column = columns[at - 1];
        if at.is_multiple_of(8) {
            column.rotate_left(1);
            column = substituted(column);
            column[0] ^= round;
            round = doubled(round);
        } else if at % 8 == 4 {
            column = substituted(column);
        }
        columns[at] = std::array::from_fn(|row| columns[at - 8][row] ^ column[row]);
    }
    columns
}

/// Section 5.3.3.
fn inverse_mixed(column: Column) -> Column {
    let row = |row: usize| {
        [14, 11, 13, 9].iter().enumerate().fold(0, |sum, (at, &by)| sum ^ times(by, column[(row + at) % 4]))
    };
    [row(0), row(1), row(2), row(3)]
}

/// Section 5.1.1: the inverse in the field, and an affine map.
fn substitutes() -> [u8; 256] {
    let mut substitutes = [0x63; 256];
    // 3 and its inverse 0xf6 run through the field in opposite order.
    let (mut element, mut inverse) = (1, 1);
    loop {
        let spread = (1..5).fold(inverse, |sum, by| sum ^ u8::rotate_left(inverse, by));
        substitutes[usize::from(element)] = spread ^ 0x63;
        (element, inverse) = (times(3, element), times(0xf6, inverse));
        if element == 1 {
            return substitutes;
        }
    }
}

fn times(mut by: u8, mut value: u8) -> u8 {
    let mut product = 0;
    while by > 0 {
        if by & 1 == 1 {
            product ^= value;
        }
        (by, value) = (by >> 1, doubled(value));
    }
    product
}

fn doubled(value: u8) -> u8 {
    (value << 1) ^ if value < 0x80 { 0 } else { 0x1b }
}

/// FIPS 197, appendix A.3.
#[test]
fn round_keys_are_those_of_the_standard() {
    let key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
    let key: Vec<u8> = hex::decode(key).expect("hex");
    let [encrypt, decrypt] = round_keys(key[..].try_into().expect("32 bytes"));
    assert_eq!(encrypt[..32], key);
    assert_eq!(hex::encode(&encrypt[224..]), "fe4890d1e6188d0b046df344706c631e");
    // Section 4.2.3's matrix and its inverse undo each other: the column of appendix B's first round.
    assert_eq!(inverse_mixed([0x04, 0x66, 0x81, 0xe5]), [0xd4, 0xbf, 0x5d, 0x30]);
    assert_eq!(decrypt.len(), 240);
}
