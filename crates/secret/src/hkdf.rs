//! HKDF with SHA-256 (RFC 5869).

use aws_lc_rs::hkdf;

use crate::SecretBytes;

/// HKDF-SHA-256: `len` bytes (at most 8,160) from `key`, `salt` and `info`.
///
/// `info` is one byte string: whoever composes it from several fields prefixes each with its length.
#[must_use]
pub fn sha256(key: &SecretBytes, salt: &[u8], info: &[u8], len: usize) -> SecretBytes {
    let pseudorandom_key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.expose());
    SecretBytes::new_with(len, |out| {
        pseudorandom_key
            .expand(&[info], OutputLen(out.len()))
            .and_then(|okm| okm.fill(out))
            .expect("HKDF-SHA-256 gives up to 8,160 bytes");
    })
}

#[derive(Clone, Copy)]
struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, appendix A.1 to A.3.
    #[test]
    fn rfc_5869_vectors() {
        let a1 = sha256(
            &SecretBytes::take_from(vec![0x0b; 22]),
            &(0x00..=0x0c).collect::<Vec<u8>>(),
            &(0xf0..=0xf9).collect::<Vec<u8>>(),
            42,
        );
        assert!(
            a1.equals(&unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        );
        let a2 = sha256(
            &SecretBytes::take_from((0x00..=0x4f).collect()),
            &(0x60..=0xaf).collect::<Vec<u8>>(),
            &(0xb0..=0xff).collect::<Vec<u8>>(),
            82,
        );
        assert!(a2.equals(&unhex(
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        )));
        let a3 = sha256(&SecretBytes::take_from(vec![0x0b; 22]), &[], &[], 42);
        assert!(
            a3.equals(&unhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
        );
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }
}
