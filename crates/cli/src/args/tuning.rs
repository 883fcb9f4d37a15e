//! How much of the machine long work may take.

use std::num::{NonZeroU64, NonZeroUsize};

use clap::Args;

/// Bounds of long work.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct TuningArgs {
    /// Threads that read, encrypt and write [default: enough for the cores and for the disk]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// At most so many bytes of a disk in a second, with K, M or G for KiB, MiB, GiB [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = byte_count)]
    pub rate_limit: Option<NonZeroU64>,
}

/// A number of bytes: `500M`, `1GiB`, `4096`.
pub(super) fn byte_count(text: &str) -> Result<NonZeroU64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("give a number of bytes, or one with K, M, G or T".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.and_then(NonZeroU64::new).ok_or_else(|| "give a number of bytes from 1 on, such as 500M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_are_never_nothing() {
        let bytes = |text| byte_count(text).map(NonZeroU64::get);
        assert_eq!(
            ["1", "512b", "64k", "3MiB", "1G", "2t"].map(bytes).map(Result::ok),
            [1, 512, 65_536, 3 << 20, 1 << 30, 2 << 40].map(Some)
        );
        for text in ["", "0", "0G", "M", "1.5G", "-1", "1X", "99999999999T", "é"] {
            assert!(byte_count(text).is_err(), "{text:?}");
        }
    }
}
