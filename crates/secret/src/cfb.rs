//! AES-128-CFB with full-block feedback (NIST SP 800-38A): what TPMs encrypt the parameters of a command with.
//!
//! It authenticates nothing; a TPM's sessions add an HMAC.

use aws_lc_rs::{
    cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
};

use crate::{SecretBytes, registers};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 16;
/// Length of an initialisation vector in bytes.
pub const IV_BYTES: usize = 16;

/// Encrypts in place. A key and IV may serve once.
pub fn encrypt(key: &SecretBytes, iv: [u8; IV_BYTES], bytes: &mut [u8]) {
    let key = EncryptingKey::cfb128(unbound(key)).expect("AES has CFB");
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(bytes, context).expect("CFB takes any length");
    registers::wipe();
}

/// Decrypts in place.
pub fn decrypt(key: &SecretBytes, iv: [u8; IV_BYTES], bytes: &mut [u8]) {
    let key = DecryptingKey::cfb128(unbound(key)).expect("AES has CFB");
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    key.decrypt(bytes, context).expect("CFB takes any length");
    registers::wipe();
}

fn unbound(key: &SecretBytes) -> UnboundCipherKey {
    UnboundCipherKey::new(&AES_128, key.expose()).expect("the key is 16 bytes long")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.3.13 and F.3.14: the first two blocks.
    #[test]
    fn sp_800_38a_vector() {
        let key = SecretBytes::take_from(0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes().to_vec());
        let iv = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes();
        let plain = [0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128, 0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51];
        let cipher = [0x3b3f_d92e_b72d_ad20_3334_49f8_e83c_fb4a_u128, 0xc8a6_4537_a0b3_a93f_cde3_cdad_9f1c_e58b];
        let mut bytes = plain.map(u128::to_be_bytes).concat();
        encrypt(&key, iv, &mut bytes);
        assert_eq!(bytes, cipher.map(u128::to_be_bytes).concat());
        decrypt(&key, iv, &mut bytes);
        assert_eq!(bytes, plain.map(u128::to_be_bytes).concat());
    }

    #[test]
    fn a_length_that_fills_no_block_survives() {
        let (key, mut bytes) = (SecretBytes::random(KEY_BYTES), [7; 38]);
        encrypt(&key, [1; IV_BYTES], &mut bytes);
        assert_ne!(bytes, [7; 38]);
        decrypt(&key, [1; IV_BYTES], &mut bytes);
        assert_eq!(bytes, [7; 38]);
    }
}
