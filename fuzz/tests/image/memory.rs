//! An image in memory, which is full early: a hostile header must not make the harness run out of memory.

use std::{
    io,
    sync::{PoisonError, RwLock},
};

use cadenas_image::Storage;

/// The largest image.
const MAX_BYTES: usize = 8 << 20;

pub(crate) struct Memory(RwLock<Vec<u8>>);

impl Memory {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Storage for Memory {
    fn len(&self) -> io::Result<u64> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(u64::try_from(bytes.len()).expect("memory is smaller"))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = place(offset)?;
        let end = start.checked_add(buf.len()).filter(|end| *end <= bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(&bytes[start..end]);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let start = place(offset)?;
        let end = start.checked_add(buf.len()).filter(|end| *end <= MAX_BYTES).ok_or(io::ErrorKind::StorageFull)?;
        self.change(|bytes| {
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(buf);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = place(len).ok().filter(|len| *len <= MAX_BYTES).ok_or(io::ErrorKind::StorageFull)?;
        self.change(|bytes| {
            bytes.resize(len, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof.into())
}
