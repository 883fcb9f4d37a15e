//! Locked, guarded, wiped memory.
#![expect(unsafe_code, reason = "a secret is a pointer into locked memory")]

use std::{fmt, ptr::NonNull};

use zeroize::Zeroize;

use crate::{arena, registers};

/// A secret of fixed length in locked memory.
///
/// Not `Clone`; its `Debug` tells only the length; dropping it wipes the bytes. Reading them is explicit: [`Self::expose`].
pub struct SecretBytes {
    bytes: NonNull<[u8]>,
}

impl SecretBytes {
    /// `len` bytes filled in place by `fill`, so that the secret never lies anywhere else.
    pub fn new_with(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut secret = Self::zeroed(len);
        fill(secret.expose_mut());
        registers::wipe();
        secret
    }

    /// As [`Self::new_with`], for a `fill` that can fail.
    pub fn try_new_with<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::zeroed(len);
        fill(secret.expose_mut())?;
        registers::wipe();
        Ok(secret)
    }

    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self { bytes: arena::allocate(len) }
    }

    /// `len` bytes from the system's random generator.
    #[must_use]
    pub fn random(len: usize) -> Self {
        Self::new_with(len, crate::random::fill)
    }

    /// Moves a secret that had to be in plain memory (a prompt, a file, a message) into locked memory and wipes the original.
    #[must_use]
    pub fn take_from(mut plain: Vec<u8>) -> Self {
        let secret = Self::new_with(plain.len(), |bytes| bytes.copy_from_slice(&plain));
        plain.zeroize();
        secret
    }

    /// The same secret once more, in locked memory of its own. Named, so that no copy is made unnoticed.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::new_with(self.len(), |bytes| bytes.copy_from_slice(self.expose()))
    }

    /// The bytes. Whoever calls this keeps them out of logs, errors, arguments and unlocked copies.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // SAFETY: `bytes` is valid for its length until `drop`, and `&self` forbids writers.
        unsafe { self.bytes.as_ref() }
    }

    /// The bytes, to be written in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        // SAFETY: `bytes` is valid for its length until `drop`, and `&mut self` is the only access.
        unsafe { self.bytes.as_mut() }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no byte, as in an empty password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares in constant time for equal lengths; the lengths themselves are not secret.
    #[must_use]
    pub fn equals(&self, other: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.expose(), other).is_ok()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // SAFETY: `bytes` came from `allocate`, is freed once, and nobody can use it after `drop`.
        unsafe { arena::free(self.bytes) }
        // What was done with the secret meanwhile went through them.
        registers::wipe();
    }
}

// SAFETY: the bytes belong to this value alone and are not tied to a thread.
unsafe impl Send for SecretBytes {}
// SAFETY: shared access only reads.
unsafe impl Sync for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_only_the_length() {
        let secret = SecretBytes::take_from(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(7 bytes)");
    }

    #[test]
    fn equality_needs_the_same_length_and_bytes() {
        let secret = SecretBytes::take_from(b"hunter2".to_vec());
        assert!(secret.equals(b"hunter2"));
        assert!(!secret.equals(b"hunter3"));
        assert!(!secret.equals(b"hunter"));
    }

    #[test]
    fn an_empty_secret_is_possible() {
        assert!(SecretBytes::zeroed(0).is_empty());
    }

    #[test]
    fn small_and_large_secrets_are_locked_and_kept_out_of_core_dumps() {
        for len in [32, 10_000] {
            let secret = SecretBytes::random(len);
            let flags = vm_flags_of(secret.expose().as_ptr() as usize);
            assert!(flags.contains("dd"), "not excluded from dumps: {flags}");
            assert!(flags.contains("lo"), "not locked: {flags}");
        }
    }

    /// The `VmFlags` line of the mapping that holds `address` (`proc_pid_smaps(5)`).
    fn vm_flags_of(address: usize) -> String {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps is readable");
        let mut inside = false;
        for line in smaps.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            if let Some((start, end)) = first.split_once('-')
                && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                inside = (start..end).contains(&address);
            } else if inside && line.starts_with("VmFlags:") {
                return line.to_owned();
            }
        }
        panic!("no mapping holds the secret");
    }
}
