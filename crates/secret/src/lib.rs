//! Secret bytes and the calls into AWS-LC.
//!
//! Everything that is a key, a passphrase or a password lives in [`SecretBytes`]: pages that are locked in memory, kept out
//! of core dumps, between guard pages, and wiped when dropped. The other modules are the primitives that the rest of
//! Cadenas builds on; each names its source. No other crate calls AWS-LC.

pub mod aead;
mod arena;
pub mod cfb;
pub mod digest;
pub mod ecdh;
pub mod hkdf;
pub mod hmac;
mod memory;
pub mod pbkdf2;
pub mod process;
pub mod random;
mod registers;
#[expect(unsafe_code, reason = "AWS-LC's safe crate has no XTS")]
mod xts;

pub use memory::SecretBytes;
pub use xts::{XTS_KEY_BYTES, XtsCipher};
