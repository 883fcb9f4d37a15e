//! AES-256-XTS (IEEE 1619-2018, NIST SP 800-38E) over disk sectors.

use std::{fmt, ptr};

use aws_lc_sys::{
    EVP_CIPHER_CTX, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CipherInit_ex, EVP_CipherUpdate, EVP_aes_256_xts,
};

use crate::{SecretBytes, registers};

/// Length of a key: two AES-256 keys, data key first.
pub const XTS_KEY_BYTES: usize = 64;

/// An expanded XTS key for one thread. Make one per thread; expanding a key costs about 0.1 µs.
pub struct XtsCipher {
    encrypt: Context,
    decrypt: Context,
}

/// The two halves of an XTS key are equal, which IEEE 1619 forbids, or the key has not 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an AES-256-XTS key: it must be 64 bytes with two different halves")]
pub struct BadXtsKey;

impl XtsCipher {
    /// Expands `key`, which is [`XTS_KEY_BYTES`] long.
    pub fn new(key: &SecretBytes) -> Result<Self, BadXtsKey> {
        if key.len() != XTS_KEY_BYTES {
            return Err(BadXtsKey);
        }
        Ok(Self { encrypt: Context::new(key, Direction::Encrypt)?, decrypt: Context::new(key, Direction::Decrypt)? })
    }

    /// Encrypts one data unit in place. `sector` is at least 16 bytes; `number` is its tweak, little-endian ("plain64").
    pub fn encrypt_sector(&mut self, number: u64, sector: &mut [u8]) {
        self.encrypt.run(number, sector);
    }

    /// Decrypts one data unit in place; the inverse of [`Self::encrypt_sector`].
    pub fn decrypt_sector(&mut self, number: u64, sector: &mut [u8]) {
        self.decrypt.run(number, sector);
    }
}

impl fmt::Debug for XtsCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("XtsCipher(..)")
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Decrypt = 0,
    Encrypt = 1,
}

/// An AWS-LC cipher context that keeps its key and takes a new tweak per sector.
struct Context(ptr::NonNull<EVP_CIPHER_CTX>);

impl Context {
    fn new(key: &SecretBytes, direction: Direction) -> Result<Self, BadXtsKey> {
        // SAFETY: no precondition; the result is checked for null.
        let context = Self(ptr::NonNull::new(unsafe { EVP_CIPHER_CTX_new() }).expect("the system has memory"));
        // SAFETY: the context is live, the key has the 64 bytes that the cipher reads, engine and IV may be null.
        let done = unsafe {
            EVP_CipherInit_ex(
                context.0.as_ptr(),
                EVP_aes_256_xts(),
                ptr::null_mut(),
                key.expose().as_ptr(),
                ptr::null(),
                direction as i32,
            )
        };
        if done == 1 { Ok(context) } else { Err(BadXtsKey) }
    }

    fn run(&mut self, number: u64, sector: &mut [u8]) {
        let mut tweak = [0; 16];
        tweak[..8].copy_from_slice(&number.to_le_bytes());
        let len = i32::try_from(sector.len()).expect("a sector is small");
        let mut written = 0;
        // SAFETY: the context holds an expanded key; the tweak has the 16 bytes that are read; -1 keeps the direction; input
        // and output are the same `len` bytes, which AWS-LC allows.
        let done = unsafe {
            EVP_CipherInit_ex(self.0.as_ptr(), ptr::null(), ptr::null_mut(), ptr::null(), tweak.as_ptr(), -1) == 1
                && EVP_CipherUpdate(self.0.as_ptr(), sector.as_mut_ptr(), &raw mut written, sector.as_ptr(), len) == 1
        };
        assert!(done && written == len, "a sector is 16 bytes to 16 MiB");
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `EVP_CIPHER_CTX_new` and is freed once; AWS-LC wipes the expanded key.
        unsafe { EVP_CIPHER_CTX_free(self.0.as_ptr()) }
        registers::wipe();
    }
}

// SAFETY: a context is not tied to the thread that made it; it is not `Sync`, as `NonNull` is not.
unsafe impl Send for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619-2007, annex B, vector 10: XTS-AES-256, data unit 0xff, 512 bytes; first and last 16 bytes of the result.
    #[test]
    fn ieee_1619_vector_10() {
        let key = "2718281828459045235360287471352662497757247093699959574966967627\
                   3141592653589793238462643383279502884197169399375105820974944592";
        let key = SecretBytes::take_from(
            (0..64).map(|at| u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).expect("hex")).collect(),
        );
        let plain: Vec<u8> = (0..512).map(|at| u8::try_from(at % 256).expect("a byte")).collect();
        let mut sector = plain.clone();
        let mut cipher = XtsCipher::new(&key).expect("halves differ");
        cipher.encrypt_sector(0xff, &mut sector);
        assert_eq!(sector[..16], *b"\x1c\x3b\x3a\x10\x2f\x77\x03\x86\xe4\x83\x6c\x99\xe3\x70\xcf\x9b");
        assert_eq!(sector[496..], *b"\xc4\xf3\x6f\xfd\xa9\xfc\xea\x70\xb9\xc6\xe6\x93\xe1\x48\xc1\x51");
        cipher.decrypt_sector(0xff, &mut sector);
        assert_eq!(sector, plain);
    }

    #[test]
    fn equal_halves_and_wrong_lengths_are_refused() {
        assert_eq!(XtsCipher::new(&SecretBytes::zeroed(64)).err(), Some(BadXtsKey));
        assert_eq!(XtsCipher::new(&SecretBytes::random(32)).err(), Some(BadXtsKey));
    }
}
