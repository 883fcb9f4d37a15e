//! How much of the machine long work may take.

use std::num::{NonZeroU64, NonZeroUsize};

/// Bounds of one conversion or in-place rewrite. The default takes what the machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Threads that read, encipher and write; by default enough for the cores and for the disk's queue.
    pub jobs: Option<NonZeroUsize>,
    /// Bytes of the disk that may be moved in a second, averaged; by default no limit.
    pub rate_limit: Option<NonZeroU64>,
}
