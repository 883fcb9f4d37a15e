//! Where secrets lie: locked pages, kept out of core dumps, between guard pages.
//!
//! Locking and guarding a page costs about 30 µs of system calls, and a key safe of five entries needs some thirty short-lived
//! keys. So secrets share regions that are locked once and kept, by their size; only a very large one has pages of its own.
#![expect(unsafe_code, reason = "guarded pages come from libsodium-style allocation, whose interface is pointers")]

use std::{
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroize;

/// Keys and most passwords.
static SMALL: Class = Class::new(128, 256);
/// Definitions of VMs, certificates, messages.
static MEDIUM: Class = Class::new(16 << 10, 16);

/// Secrets up to a certain length, which share regions. A region is never given back: a process needs few, and each is wiped
/// slot by slot.
struct Class {
    slot_bytes: usize,
    slots: usize,
    /// The free slots of all regions.
    free: Mutex<Vec<Slot>>,
}

/// A pointer to a free slot.
struct Slot(NonNull<u8>);

// SAFETY: a free slot belongs to the list alone, and is not tied to a thread.
unsafe impl Send for Slot {}

/// The class of secrets of this length; a longer one has pages of its own.
fn class_of(len: usize) -> Option<&'static Class> {
    [&SMALL, &MEDIUM].into_iter().find(|class| len <= class.slot_bytes)
}

/// `len` zero bytes that nobody else has until [`free`].
pub(crate) fn allocate(len: usize) -> NonNull<[u8]> {
    let start = class_of(len).map_or_else(|| pages(len), Class::take);
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
    match class_of(slice.len()) {
        Some(class) => class.free().push(Slot(bytes.cast())),
        // SAFETY: what is longer than any slot has pages of its own from `malloc_sized`, and is freed once.
        None => unsafe { memsec::free(bytes) },
    }
}

impl Class {
    const fn new(slot_bytes: usize, slots: usize) -> Self {
        Self { slot_bytes, slots, free: Mutex::new(Vec::new()) }
    }

    fn take(&self) -> NonNull<u8> {
        let mut free = self.free();
        if free.is_empty() {
            let region = pages(self.slots * self.slot_bytes);
            // SAFETY: every offset is inside the region.
            let slot_at = |number: usize| Slot(unsafe { region.add(number * self.slot_bytes) });
            free.extend((0..self.slots).map(slot_at));
        }
        free.pop().expect("a region was added").0
    }

    fn free(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pages(len: usize) -> NonNull<u8> {
    // SAFETY: `malloc_sized` has no precondition; it returns fresh, writable, locked pages of at least `len` bytes.
    unsafe { memsec::malloc_sized(len) }.expect("the system has memory for a secret").cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_are_wiped_before_they_are_used_again() {
        for class in [&SMALL, &MEDIUM] {
            fill_and_free(class.slot_bytes);
        }
    }

    fn fill_and_free(len: usize) {
        let mut live: Vec<NonNull<[u8]>> = (0..1000).map(|_| allocate(len)).collect();
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
            let bytes = allocate(len);
            // SAFETY: live, and ours alone.
            assert!(unsafe { bytes.as_ref() }.iter().all(|byte| *byte == 0));
        }
    }
}
