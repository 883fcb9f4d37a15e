//! The anti-forensic splitter (LUKS1 specification 1.2.3, section 2.4).
//!
//! A key is blown up into many stripes of its own length, of which every one is needed to get it back, so that overwriting
//! any small part of the key material on a disk destroys the key.

use cadenas_secret::{SecretBytes, digest::Hash};

/// Completes `material`, whose stripes but the last hold random bytes, so that it merges to `key`.
pub(crate) fn split(hash: Hash, key: &SecretBytes, material: &mut [u8]) {
    let (random, last) = material.split_at_mut(material.len() - key.len());
    last.copy_from_slice(key.expose());
    xor(last, mixed(hash, random, key.len()).expose());
}

/// The key of `key_len` bytes that `material` was split from.
pub(crate) fn merge(hash: Hash, material: &[u8], key_len: usize) -> SecretBytes {
    let (random, last) = material.split_at(material.len() - key_len);
    let mut key = mixed(hash, random, key_len);
    xor(key.expose_mut(), last);
    key
}

/// What all stripes but the last contribute: each is added to the diffused sum of those before it.
fn mixed(hash: Hash, stripes: &[u8], stripe_len: usize) -> SecretBytes {
    let mut sum = SecretBytes::zeroed(stripe_len);
    let mut digests = SecretBytes::zeroed(stripe_len.next_multiple_of(hash.output_len()));
    for stripe in stripes.chunks_exact(stripe_len) {
        xor(sum.expose_mut(), stripe);
        diffuse(hash, sum.expose_mut(), digests.expose_mut());
    }
    sum
}

/// Replaces each piece of `block` of the hash's length with the digest of its number and itself; the last may be short.
fn diffuse(hash: Hash, block: &mut [u8], digests: &mut [u8]) {
    let len = hash.output_len();
    for ((number, piece), digest) in (0u32..).zip(block.chunks(len)).zip(digests.chunks_mut(len)) {
        hash.digest_into(&[&number.to_be_bytes(), piece], digest);
    }
    block.copy_from_slice(&digests[..block.len()]);
}

fn xor(into: &mut [u8], other: &[u8]) {
    for (byte, with) in into.iter_mut().zip(other) {
        *byte ^= with;
    }
}
