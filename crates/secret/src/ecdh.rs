//! Elliptic curve Diffie-Hellman on NIST P-256 (NIST SP 800-56A), with a key of ours that serves once.

use aws_lc_rs::{
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    rand::SystemRandom,
};

use crate::SecretBytes;

/// Length of a coordinate in bytes.
pub const COORDINATE_BYTES: usize = 32;
/// The first byte of a point that is written with both coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key: the coordinates, big endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct P256Point {
    /// The first.
    pub x: [u8; COORDINATE_BYTES],
    /// The second.
    pub y: [u8; COORDINATE_BYTES],
}

/// The coordinates are of no point on the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a point of the curve P-256")]
pub struct NotOnCurve;

/// Makes a key pair and agrees with `peer`: our public key, and the shared secret (the x coordinate, 32 bytes).
pub fn agree(peer: &P256Point) -> Result<(P256Point, SecretBytes), NotOnCurve> {
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).expect("the generator does not fail");
    let public = ours.compute_public_key().expect("a private key has a public one");
    let point = P256Point::of(public.as_ref()).expect("both coordinates are written");
    let theirs = UnparsedPublicKey::new(&ECDH_P256, peer.uncompressed());
    let shared = agree_ephemeral(ours, theirs, NotOnCurve, |shared| {
        Ok(SecretBytes::new_with(shared.len(), |bytes| bytes.copy_from_slice(shared)))
    })?;
    Ok((point, shared))
}

impl P256Point {
    fn of(uncompressed: &[u8]) -> Option<Self> {
        let (x, y) = uncompressed.strip_prefix(&[UNCOMPRESSED])?.split_first_chunk()?;
        Some(Self { x: *x, y: y.try_into().ok()? })
    }

    fn uncompressed(&self) -> Vec<u8> {
        [&[UNCOMPRESSED], &self.x[..], &self.y[..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{self, PrivateKey};

    use super::*;

    #[test]
    fn the_peer_comes_to_the_same_secret() {
        let theirs = PrivateKey::generate(&ECDH_P256).expect("a key");
        let peer = P256Point::of(theirs.compute_public_key().expect("a key").as_ref()).expect("uncompressed");
        let (ours, shared) = agree(&peer).expect("on the curve");
        let point = UnparsedPublicKey::new(&ECDH_P256, ours.uncompressed());
        let same = agreement::agree(&theirs, point, NotOnCurve, |bytes| Ok(shared.equals(bytes)));
        assert_eq!(same, Ok(true));
        assert!(!agree(&peer).expect("on the curve").1.equals(shared.expose()), "a key of ours serves once");
    }

    #[test]
    fn coordinates_off_the_curve_are_refused() {
        assert_eq!(agree(&P256Point { x: [1; 32], y: [2; 32] }).err(), Some(NotOnCurve));
        assert_eq!(agree(&P256Point { x: [0; 32], y: [0; 32] }).err(), Some(NotOnCurve));
        assert_eq!(agree(&P256Point { x: [0xff; 32], y: [0xff; 32] }).err(), Some(NotOnCurve));
    }
}
