//! PBKDF2 with HMAC (RFC 8018, section 5.2).

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aws_lc_rs::pbkdf2;

use crate::{SecretBytes, digest::Hash};

/// `len` bytes derived from `password` with `rounds` of HMAC over `hash`.
#[must_use]
pub fn derive(hash: Hash, password: &SecretBytes, salt: &[u8], rounds: NonZeroU32, len: usize) -> SecretBytes {
    SecretBytes::new_with(len, |out| pbkdf2::derive(algorithm(hash), rounds, salt, password.expose(), out))
}

/// How many rounds take about `time` on this machine, for an output of `len` bytes; never less than `floor`.
///
/// Measured with doubling rounds until one run takes long enough to tell, as cryptsetup does; no longer than `time` itself.
#[must_use]
pub fn rounds_for(hash: Hash, len: usize, time: Duration, floor: NonZeroU32) -> NonZeroU32 {
    const LONG_ENOUGH: Duration = Duration::from_millis(50);
    let long_enough = LONG_ENOUGH.min(time);
    let password = SecretBytes::zeroed(32);
    let mut rounds = NonZeroU32::new(1 << 12).expect("not zero");
    loop {
        let start = Instant::now();
        drop(derive(hash, &password, &[0; 32], rounds, len));
        let taken = start.elapsed();
        if taken >= long_enough || rounds.get() >= 1 << 30 {
            let scaled = f64::from(rounds.get()) * time.as_secs_f64() / taken.as_secs_f64().max(1e-9);
            return floor.max(saturating_rounds(scaled));
        }
        rounds = rounds.saturating_mul(NonZeroU32::new(2).expect("not zero"));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
fn saturating_rounds(rounds: f64) -> NonZeroU32 {
    NonZeroU32::new(rounds as u32).unwrap_or(NonZeroU32::MIN)
}

fn algorithm(hash: Hash) -> pbkdf2::Algorithm {
    match hash {
        Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(hash: Hash, password: &str, salt: &str, rounds: u32, len: usize) -> SecretBytes {
        let password = SecretBytes::take_from(password.as_bytes().to_vec());
        derive(hash, &password, salt.as_bytes(), NonZeroU32::new(rounds).expect("not zero"), len)
    }

    /// RFC 6070, second vector.
    #[test]
    fn rfc_6070_sha1_vector() {
        let key = derived(Hash::Sha1, "password", "salt", 2, 20);
        assert!(key.equals(b"\xea\x6c\x01\x4d\xc7\x2d\x6f\x8c\xcd\x1e\xd9\x2a\xce\x1d\x41\xf0\xd8\xde\x89\x57"));
    }

    /// RFC 7914, section 11: PBKDF2-HMAC-SHA-256 ("passwd", "salt", 1), first 16 bytes.
    #[test]
    fn rfc_7914_sha256_vector() {
        let key = derived(Hash::Sha256, "passwd", "salt", 1, 16);
        assert!(key.equals(b"\x55\xac\x04\x6e\x56\xe3\x08\x9f\xec\x16\x91\xc2\x25\x44\xb6\x05"));
    }

    #[test]
    fn calibration_respects_the_floor() {
        let floor = NonZeroU32::new(5_000_000).expect("not zero");
        assert_eq!(rounds_for(Hash::Sha256, 32, Duration::from_millis(1), floor), floor);
    }
}
