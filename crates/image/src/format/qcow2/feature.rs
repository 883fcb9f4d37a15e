//! Incompatible features: each one set must be understood, or the image must not be touched.

use super::Refusal;

/// Keeps its data in an external file.
const DATA_FILE: u32 = 2;
/// Says which compression it uses.
const COMPRESSION: u32 = 3;

/// Its L2 entries are extended by a bitmap of subclusters.
const EXTENDED_L2: u32 = 4;

/// The incompatible features that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incompatible {
    pub(crate) data_file: bool,
    pub(crate) compression: bool,
    pub(crate) extended_l2: bool,
}

impl Incompatible {
    /// Refuses, by name, what is not understood. `names` is the image's own list of (bit, name) for incompatible features.
    pub(crate) fn parse(bits: u64, names: &[(u8, String)]) -> Result<Self, Refusal> {
        let understood = 1 << DATA_FILE | 1 << COMPRESSION | 1 << EXTENDED_L2;
        if let Some(bit) = (0..64).find(|bit| bits & !understood & 1 << bit != 0) {
            return Err(Refusal::Unsupported(describe(bit, names)));
        }
        let has = |bit: u32| bits & 1 << bit != 0;
        Ok(Self { data_file: has(DATA_FILE), compression: has(COMPRESSION), extended_l2: has(EXTENDED_L2) })
    }
}

fn describe(bit: u8, names: &[(u8, String)]) -> String {
    match bit {
        0 => "the dirty bit: it was not closed properly; mend it with `qemu-img check -r all`".to_owned(),
        1 => "the corrupt bit: QEMU found its tables wrong; mend it with `qemu-img check -r all`".to_owned(),
        _ => match names.iter().find(|(named, _)| *named == bit) {
            Some((_, name)) => format!("incompatible feature {bit} ({name:?})"),
            None => format!("incompatible feature {bit}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (bit, word) in [(0, "dirty"), (1, "corrupt"), (5, "incompatible feature 5"), (63, "63")] {
            let refusal = Incompatible::parse(1 << bit, &[]).expect_err("not understood");
            assert!(matches!(&refusal, Refusal::Unsupported(text) if text.contains(word)), "{refusal:?}");
        }
        let named = Incompatible::parse(1 << 9, &[(9, "time travel".to_owned())]).expect_err("not understood");
        assert_eq!(named, Refusal::Unsupported("incompatible feature 9 (\"time travel\")".to_owned()));
    }

    #[test]
    fn what_is_understood_is_told() {
        let understood = Incompatible::parse(0b1_1100, &[]).expect("understood");
        assert_eq!(understood, Incompatible { data_file: true, compression: true, extended_l2: true });
    }
}
