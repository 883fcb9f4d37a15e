//! Memory for direct I/O.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// Bytes on the heap that begin at a multiple of [`AlignedBuf::ALIGNMENT`], as direct I/O wants them.
pub struct AlignedBuf {
    /// Longer than needed, so that an aligned run of `capacity` bytes lies in it. It never grows: its bytes stay where they are.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// Where it begins is a multiple of this, in bytes: no medium's block is larger.
    pub const ALIGNMENT: usize = 4096;

    /// `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let memory = vec![0; len + Self::ALIGNMENT];
        let start = memory.as_ptr().align_offset(Self::ALIGNMENT);
        Self { memory, start, len }
    }

    /// The longest that [`Self::resize`] makes it without other memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len() - Self::ALIGNMENT
    }

    /// Cuts or lengthens it. What is added holds zeros, or what the buffer held there before it was cut.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity() {
            let mut larger = Self::zeroed(len);
            larger[..self.len].copy_from_slice(self);
            *self = larger;
        }
        self.len = len;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Says nothing of the bytes: they may be a disk's plain ones.
impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_the_alignment_whatever_its_length() {
        for len in [0, 1, 511, 4096, 4097, 1 << 20] {
            let mut buffer = AlignedBuf::zeroed(len);
            assert!(buffer.as_ptr().addr().is_multiple_of(AlignedBuf::ALIGNMENT));
            assert!(buffer.len() == len && buffer.iter().all(|byte| *byte == 0));
            buffer.resize(2 * len + 1);
            assert!(buffer.as_ptr().addr().is_multiple_of(AlignedBuf::ALIGNMENT));
            assert_eq!(buffer.len(), 2 * len + 1);
        }
    }

    #[test]
    fn it_keeps_its_bytes_and_its_place_within_its_capacity() {
        let mut buffer = AlignedBuf::zeroed(10_000);
        buffer.fill(7);
        let place = buffer.as_ptr();
        buffer.resize(10);
        buffer.resize(10_000);
        assert_eq!(buffer.as_ptr(), place);
        buffer.resize(20_000);
        assert!(buffer[..10].iter().all(|byte| *byte == 7));
    }
}
