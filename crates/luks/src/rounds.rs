//! How many PBKDF2 rounds a key slot takes.

use std::{num::NonZeroU32, time::Duration};

use cadenas_secret::{XTS_KEY_BYTES, digest::Hash, pbkdf2};

/// The fewest rounds that are written, as cryptsetup and QEMU have it. Enough for a passphrase of 256 random bits.
pub const MIN_ROUNDS: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

/// The most rounds that are written or accepted.
///
/// The number stands in the header, where anyone who can write to the disk can raise it; 2³² rounds in each of eight slots would
/// keep one attempt to unlock busy for hours. cryptsetup's and QEMU's default of two seconds gives some 10 million rounds on a
/// fast core, so 100 million leave room for ten times that, and bound a header whose eight slots all say so to minutes.
pub const MAX_ROUNDS: NonZeroU32 = NonZeroU32::new(100_000_000).expect("not zero");

/// How many rounds take about `time` on this machine for one slot of ours (SHA-256), within [`MIN_ROUNDS`] and [`MAX_ROUNDS`].
#[must_use]
pub fn rounds_for(time: Duration) -> NonZeroU32 {
    pbkdf2::rounds_for(Hash::Sha256, XTS_KEY_BYTES, time, MIN_ROUNDS).min(MAX_ROUNDS)
}

/// `rounds`, moved to the nearest bound if it is outside them.
pub(crate) fn bounded(rounds: NonZeroU32) -> NonZeroU32 {
    rounds.clamp(MIN_ROUNDS, MAX_ROUNDS)
}

/// Reads a number of rounds from a header; `None` if it is zero or more than [`MAX_ROUNDS`].
pub(crate) fn accepted(found: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(found).filter(|rounds| *rounds <= MAX_ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_gives_the_minimum_and_no_length_of_time_passes_the_maximum() {
        assert_eq!(rounds_for(Duration::ZERO), MIN_ROUNDS);
        assert_eq!(rounds_for(Duration::from_secs(1 << 20)), MAX_ROUNDS);
    }

    #[test]
    fn few_rounds_of_other_programs_are_read_though_never_written() {
        assert_eq!(accepted(1), NonZeroU32::new(1));
        assert_eq!(bounded(NonZeroU32::MIN), MIN_ROUNDS);
    }

    #[test]
    fn zero_and_too_many_rounds_are_refused() {
        assert_eq!(accepted(0), None);
        assert_eq!(accepted(MAX_ROUNDS.get()), Some(MAX_ROUNDS));
        assert_eq!(accepted(MAX_ROUNDS.get() + 1), None);
    }
}
