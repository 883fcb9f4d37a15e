//! Where secrets lie: locked pages, kept out of core dumps, between guard pages.
//!
//! Locking and guarding a page costs about 30 µs of system calls, and a key safe of five entries needs some thirty short-lived
//! keys. So small secrets share regions that are locked once and kept; a larger one has pages of its own.
#![expect(unsafe_code, reason = "guarded pages come from libsodium-style allocation, whose interface is pointers")]

use std::{
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroize;

/// Secrets up to this length, which all keys and most passwords have, get a slot of this length.
const SLOT_BYTES: usize = 128;
/// One region: 256 slots.
const REGION_BYTES: usize = 32 << 10;

/// The free slots of all regions. A region is never given back: a process needs few, and each is wiped slot by slot.
static FREE: Mutex<Vec<Slot>> = Mutex::new(Vec::new());

/// A pointer to a free slot.
struct Slot(NonNull<u8>);

// SAFETY: a free slot belongs to the list alone, and is not tied to a thread.
unsafe impl Send for Slot {}

/// `len` zero bytes that nobody else has until [`free`].
pub(crate) fn allocate(len: usize) -> NonNull<[u8]> {
    let start = if len > SLOT_BYTES { pages(len) } else { slot() };
    let bytes = NonNull::slice_from_raw_parts(start, len);
    // SAFETY: `start` has room for `len` bytes, which are ours alone.
    unsafe { start.write_bytes(0, len) };
    bytes
}

/// Wipes the bytes and gives them back.
///
/// # Safety
/// `bytes` came from [`allocate`], is not freed yet, and nobody uses it any more.
pub(crate) unsafe fn free(mut bytes: NonNull<[u8]>) {
    // SAFETY: the caller promises that the bytes are live and unused.
    let slice = unsafe { bytes.as_mut() };
    slice.zeroize();
    if slice.len() > SLOT_BYTES {
        // SAFETY: what is longer than a slot has pages of its own from `malloc_sized`, and is freed once.
        unsafe { memsec::free(bytes) };
    } else {
        free_slots().push(Slot(bytes.cast()));
    }
}

fn slot() -> NonNull<u8> {
    let mut slots = free_slots();
    if slots.is_empty() {
        let region = pages(REGION_BYTES);
        // SAFETY: every offset is inside the region.
        let slot_at = |number: usize| Slot(unsafe { region.add(number * SLOT_BYTES) });
        slots.extend((0..REGION_BYTES / SLOT_BYTES).map(slot_at));
    }
    slots.pop().expect("a region was added").0
}

fn pages(len: usize) -> NonNull<u8> {
    // SAFETY: `malloc_sized` has no precondition; it returns fresh, writable, locked pages of at least `len` bytes.
    unsafe { memsec::malloc_sized(len) }.expect("the system has memory for a secret").cast()
}

fn free_slots() -> std::sync::MutexGuard<'static, Vec<Slot>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_are_wiped_before_they_are_used_again() {
        let mut live: Vec<NonNull<[u8]>> = (0..1000).map(|_| allocate(SLOT_BYTES)).collect();
        for (number, bytes) in live.iter_mut().enumerate() {
            // SAFETY: live, and ours alone.
            unsafe { bytes.as_mut() }.fill(u8::try_from(number % 255 + 1).expect("a byte"));
        }
        for (number, bytes) in live.iter().enumerate() {
            // SAFETY: live, and nobody writes.
            let whole = unsafe { bytes.as_ref() };
            assert!(whole.iter().all(|byte| usize::from(*byte) == number % 255 + 1));
        }
        for bytes in live {
            // SAFETY: from `allocate`, freed once, unused from here on.
            unsafe { free(bytes) };
        }
        for _ in 0..1000 {
            let bytes = allocate(SLOT_BYTES);
            // SAFETY: live, and ours alone.
            assert!(unsafe { bytes.as_ref() }.iter().all(|byte| *byte == 0));
        }
    }
}
