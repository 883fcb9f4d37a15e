//! Files read and written past the page cache, so that the medium is measured and not the memory.

use std::{
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use cadenas_secret::random;
use rustix::fs::OFlags;

/// What is read or written at once, in bytes.
pub(super) const BLOCK: usize = 1 << 20;

/// Memory whose address suits direct I/O on any medium.
pub(super) struct Block {
    bytes: Vec<u8>,
    start: usize,
}

impl Block {
    /// Random bytes, which no medium can store smaller.
    pub(super) fn random() -> Self {
        const ALIGNMENT: usize = 4096;
        let mut bytes = vec![0; BLOCK + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        random::fill(&mut bytes[start..start + BLOCK]);
        Self { bytes, start }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + BLOCK]
    }
}

/// A scratch file, opened for direct I/O where its file system has that.
pub(super) struct Direct {
    file: fs::File,
    /// Whether the page cache is passed by.
    pub(super) is_direct: bool,
}

impl Direct {
    /// Opens or makes a private file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let open = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).expect("open flags are small");
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
        };
        match open(OFlags::DIRECT) {
            // A file system without direct I/O.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Ok(Self { file: open(OFlags::empty())?, is_direct: false })
            }
            file => Ok(Self { file: file?, is_direct: true }),
        }
    }

    pub(super) fn read(&self, block: &mut Block, at: u64) -> io::Result<()> {
        self.file.read_exact_at(block.bytes(), at)
    }

    pub(super) fn write(&self, block: &mut Block, at: u64) -> io::Result<()> {
        self.file.write_all_at(block.bytes(), at)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
