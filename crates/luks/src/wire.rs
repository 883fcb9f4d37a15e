//! Reading and writing the header's fields in their order; all numbers are big-endian.

use crate::HeaderError;

/// The bytes of a header that are still to be read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from `bytes`, which hold all that will be asked for.
    pub(crate) fn new<const N: usize>(bytes: &'a [u8; N]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("a header's fields add up to its length");
        self.0 = rest;
        *head
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Printable ASCII in `N` bytes, ended by a zero byte; bytes after it that are not zero would be lost, so they are refused.
    pub(crate) fn text<const N: usize>(&mut self, field: &'static str) -> Result<String, HeaderError> {
        let bytes: [u8; N] = self.array();
        let end = bytes.iter().position(|byte| *byte == 0).ok_or(HeaderError::BadText { field })?;
        let (text, padding) = bytes.split_at(end);
        if !text.iter().all(u8::is_ascii_graphic) || padding.iter().any(|byte| *byte != 0) {
            return Err(HeaderError::BadText { field });
        }
        Ok(text.iter().copied().map(char::from).collect())
    }
}

/// A header under construction.
pub(crate) struct Writer<const LEN: usize> {
    bytes: [u8; LEN],
    at: usize,
}

impl<const LEN: usize> Writer<LEN> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; LEN], at: 0 }
    }

    /// Adds `bytes`, in a field of just their length.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.padded(bytes, bytes.len());
    }

    /// Adds `bytes` in a field of `width` bytes, the rest of it zero.
    pub(crate) fn padded(&mut self, bytes: &[u8], width: usize) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += width;
    }

    /// The header, once every field was written.
    pub(crate) fn finish(self) -> [u8; LEN] {
        debug_assert_eq!(self.at, LEN, "a header's fields add up to its length");
        self.bytes
    }
}
