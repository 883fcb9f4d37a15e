//! Randomness from AWS-LC's generator, which is seeded by the system.

/// Fills `bytes` with random bits fit for keys.
pub fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system's random generator works");
}

/// An array of random bytes, for salts and nonces.
#[must_use]
pub fn array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}
