//! Disk images: raw and qcow2, plain or with LUKS, and the engine that turns one into another.
//!
//! Everything reads and writes through [`Storage`], so that tests can put memory, a failing disk or a power cut in its
//! place. An image is looked at with [`inspect`], opened with [`open_source`], rewritten with [`convert`]; [`slots`] changes
//! the key slots of an encrypted one, [`check`] and [`sample`] prove that it is whole and really encrypted. What is
//! written opens in plain `qemu-img` and `cryptsetup`. No backing or data file that an image names is ever opened: whoever
//! knows them opens them and hands them to [`open_chain`].

mod chain;
mod check;
mod convert;
mod engine;
mod error;
pub mod foreign;
mod format;
pub mod in_place;
mod inspect;
mod plan;
mod progress;
mod sample;
pub mod slots;
mod source;
pub mod storage;
mod target;
mod throttle;
mod tuning;

pub use cadenas_luks::SlotIndex;

pub use chain::{MAX_BACKING_FILES, open_chain};
pub use check::{CheckReport, check};
pub use convert::convert;
pub use error::ImageError;
pub use format::{Format, UnknownFormat};
pub use inspect::{Encryption, ImageInfo, Usage, inspect, inspect_as, probe, usage};
pub use progress::{NoProgress, Progress};
pub use sample::{SampleReport, sample};
pub use source::{Source, open_source, open_source_as};
pub use storage::{
    Storage,
    file::{Access, File},
    lock::{ImageLock, LockError, Locking},
};
pub use target::{NewKey, Target, space_needed};
pub use tuning::Tuning;
