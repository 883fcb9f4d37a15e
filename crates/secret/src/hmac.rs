//! HMAC with SHA-256 (RFC 2104).

use aws_lc_rs::hmac;

use crate::SecretBytes;

/// The HMAC-SHA-256 of the concatenation of `parts`: 32 bytes, a tag or a key. Compare a tag with [`SecretBytes::equals`].
#[must_use]
pub fn sha256(key: &SecretBytes, parts: &[&[u8]]) -> SecretBytes {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    SecretBytes::new_with(tag.as_ref().len(), |bytes| bytes.copy_from_slice(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn rfc_4231_vectors() {
        let key = SecretBytes::take_from(b"Jefe".to_vec());
        let tag = sha256(&key, &[b"what do ya want ", b"for nothing?"]);
        assert!(tag.equals(&unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")));
        let key = SecretBytes::take_from(vec![0xaa; 131]);
        let tag = sha256(&key, &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert!(tag.equals(&unhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")));
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }
}
