//! Hash functions (FIPS 180-4).

use aws_lc_rs::digest;

/// A hash function that LUKS headers name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, 20 bytes: only to open old LUKS headers.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Hash {
    /// The digest of the concatenation of `parts`, written to the front of `out`, which holds at least [`Self::len`] bytes.
    pub fn digest_into(self, parts: &[&[u8]], out: &mut [u8]) {
        let mut context = digest::Context::new(self.algorithm());
        for part in parts {
            context.update(part);
        }
        out[..self.output_len()].copy_from_slice(context.finish().as_ref());
    }

    /// Length of a digest in bytes.
    #[must_use]
    pub fn output_len(self) -> usize {
        self.algorithm().output_len()
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// SHA-256 of the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    Hash::Sha256.digest_into(parts, &mut out);
    out
}
