//! How long work tells how far it is, and learns that it shall stop.

/// Told by [`crate::convert()`] as it goes. Calls come from several threads and must be quick.
pub trait Progress: Send + Sync {
    /// Work begins: so many bytes of the disk, holes included.
    fn begin(&self, total_bytes: u64);

    /// So many more of those bytes are done.
    fn advance(&self, bytes: u64);

    /// Whether to stop; asked before each piece of work.
    fn cancelled(&self) -> bool;
}

/// Tells nobody and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _total_bytes: u64) {}

    fn advance(&self, _bytes: u64) {}

    fn cancelled(&self) -> bool {
        false
    }
}
