//! The sector cipher beside a bare loop of AWS-LC's own calls, on one core: `cargo bench -p cadenas-secret --bench xts`.
#![expect(unsafe_code, reason = "the peer is AWS-LC's C interface")]

use std::{
    ptr,
    time::{Duration, Instant},
};

use aws_lc_sys::{
    EVP_CIPHER_CTX, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CipherInit_ex, EVP_CipherUpdate, EVP_aes_256_xts,
};
use cadenas_secret::{SecretBytes, XTS_KEY_BYTES, XtsCipher};

const SECTOR: usize = 512;
/// As long as the engine's buffers.
const BUFFER: usize = 2 << 20;
const ROUNDS: usize = 200;

fn main() {
    let key = SecretBytes::random(XTS_KEY_BYTES);
    let mut ours = XtsCipher::new(&key).expect("random halves differ");
    let (encrypt, decrypt) = (Bare::new(&key, 1), Bare::new(&key, 0));
    let bar = if has_vaes() { ">= 4 GB/s, >= 0.80" } else { ">= 0.80" };
    println!("AES-256-XTS, sectors of {SECTOR} bytes, one core; bar: {bar}");
    report(
        "encrypt",
        |number, sector| ours.encrypt_sector(number, sector),
        |number, sector| encrypt.run(number, sector),
    );
    report(
        "decrypt",
        |number, sector| ours.decrypt_sector(number, sector),
        |number, sector| decrypt.run(number, sector),
    );
}

/// Rounds of the two take turns. Of each the fastest counts: what slows one down is always somebody else.
fn report(what: &str, mut ours: impl FnMut(u64, &mut [u8]), mut bare: impl FnMut(u64, &mut [u8])) {
    let mut buffer = vec![0x5a; BUFFER];
    let (mut best_ours, mut best_bare) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best_ours = best_ours.min(timed(&mut buffer, &mut ours));
        best_bare = best_bare.min(timed(&mut buffer, &mut bare));
    }
    let (ours, bare) = (rate(best_ours), rate(best_bare));
    println!("{what}: ours {ours:.2} GB/s, AWS-LC's own loop {bare:.2} GB/s: {:.2}", ours / bare);
}

fn timed(buffer: &mut [u8], run: &mut impl FnMut(u64, &mut [u8])) -> Duration {
    let start = Instant::now();
    for (number, sector) in (0..).zip(buffer.chunks_exact_mut(SECTOR)) {
        run(number, sector);
    }
    start.elapsed()
}

/// In GB/s.
fn rate(time: Duration) -> f64 {
    let bytes = u32::try_from(BUFFER).expect("small");
    f64::from(bytes) / time.as_secs_f64() / 1e9
}

#[cfg(target_arch = "x86_64")]
fn has_vaes() -> bool {
    std::is_x86_feature_detected!("vaes")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vaes() -> bool {
    false
}

/// A context of AWS-LC and nothing around it.
struct Bare(*mut EVP_CIPHER_CTX);

impl Bare {
    fn new(key: &SecretBytes, encrypt: i32) -> Self {
        // SAFETY: no precondition; the next call fails on null.
        let context = unsafe { EVP_CIPHER_CTX_new() };
        let key = key.expose().as_ptr();
        // SAFETY: the key has the 64 bytes that the cipher reads; engine and IV may be null.
        let done = unsafe { EVP_CipherInit_ex(context, EVP_aes_256_xts(), ptr::null_mut(), key, ptr::null(), encrypt) };
        assert_eq!(done, 1);
        Self(context)
    }

    fn run(&self, number: u64, sector: &mut [u8]) {
        let tweak = u128::from(number).to_le_bytes();
        let mut written = 0;
        // SAFETY: the context holds a key; the tweak has 16 bytes; input and output are the same `SECTOR` bytes.
        unsafe {
            EVP_CipherInit_ex(self.0, ptr::null(), ptr::null_mut(), ptr::null(), tweak.as_ptr(), -1);
            EVP_CipherUpdate(self.0, sector.as_mut_ptr(), &raw mut written, sector.as_ptr(), 512);
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `EVP_CIPHER_CTX_new` and is freed once.
        unsafe { EVP_CIPHER_CTX_free(self.0) }
    }
}
