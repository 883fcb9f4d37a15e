//! The VM home on disk: descriptor, sealed configuration, and the transitions that no crash can tear.
//!
//! An encrypted VM is a folder with a descriptor and its disks (`docs/formats.md`). [`VmHome::open`] reads it,
//! [`VmHome::unlock`] proves it and gives an [`Unlocked`] VM, whose disks are checked and given one-time keys at each start.
//!
//! [`encrypt()`], [`decrypt()`] and [`deep_recrypt`] copy disks, or rewrite them where they lie. All run the same way: every check first; then a record
//! in the [`Journal`]; then everything new is staged beside what is there, flushed and proved by opening it again; then one
//! rename of the descriptor, which is the **commit**; then what is old is removed. Before the commit the old VM is whole, from
//! it on the new one. What a crash or an error interrupts, [`repair()`] settles: it reads from the descriptor whether the
//! commit was reached, undoes or finishes, and can itself be interrupted. [`recrypt()`] replaces only the descriptor, [`recrypt_many`] those of many
//! homes.
//!
//! In place there is nothing beside what is there: a journal for each disk, the descriptor that holds the keys to them and
//! the record are made first, and from the announcement of that on every disk goes to its new form, or back (`rewriting`).
//!
//! Every transition tells its [`Steps`] what it has reached; the tests end the process at each [`Step`].
//!
//! Nothing in a home is trusted before it is proved: links and devices are refused, no file that an image names is opened.

mod compare;
mod concurrently;
mod decrypt;
mod deep;
mod definition;
mod descriptor;
mod disk;
mod encrypt;
mod error;
mod files;
mod flush;
mod home;
mod journal;
mod locks;
mod method;
mod names;
mod old_home;
mod phases;
mod prepare;
mod recover;
mod recrypt;
mod recrypt_many;
mod repair;
mod rewriting;
mod sealed;
mod staging;
mod steps;
mod transition;
mod unlocked;
mod verify;
mod wipe;

pub use decrypt::{Decrypted, decrypt};
pub use deep::deep_recrypt;
pub use definition::{Definition, DefinitionError};
pub use descriptor::{
    Descriptor, DescriptorError, DiskEntry, DiskFormat, FORMAT_VERSION, Header, HomeError, MAX_DESCRIPTOR_BYTES,
};
pub use disk::{DiskError, DiskProblem, DiskSource};
pub use encrypt::{EncryptPlan, PlainDisk, PlainFormat, encrypt, foresee};

pub use error::{Cause, PlainDiskProblem, Refusal, TransitionError};
pub use files::{FileError, ReadError, free_bytes};
pub use flush::flush;
pub use home::{UnlockError, VmHome};
pub use journal::{Journal, JournalError, Record, Transition};
pub use locks::ClaimError;
pub use method::{Made, Method, WhyInPlace};
pub use names::{FileName, NotAFileName, NotAVmName, VmName};
pub use recover::{RecoverError, RecoveredFile, Recovery, RecoveryKey, recover};
pub use recrypt::{RecryptError, Recrypted, Rewrap, recrypt};
pub use recrypt_many::recrypt_many;
pub use repair::{RepairError, Repaired, repair};
pub use sealed::{Original, PlainImage, SealError};
pub use steps::{NoSteps, Step, Steps, UnknownStep};
pub use transition::Context;
pub use unlocked::{OneTimeKey, SlotError, Unlocked};
pub use verify::{ObjectVerdict, VerifyReport};
pub use wipe::{Wipe, WipeError};
