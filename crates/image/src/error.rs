//! Everything that can go wrong with an image, one variant per cause.

use std::io;

use crate::Format;

/// Why an operation on an image failed. `image` is what [`crate::Storage::name`] calls it: a file's path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be opened.
    #[error("opening {image} failed")]
    Open {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The new file could not be made.
    #[error("creating {image} failed")]
    Create {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder, device, pipe or socket where a regular file is needed.
    #[error("{image} is not a regular file; only disks in regular files are handled")]
    NotAFile {
        /// The image.
        image: String,
    },
    /// Its length could not be told.
    #[error("reading the length of {image} failed")]
    Length {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading failed.
    #[error("reading {len} bytes at offset {offset} of {image} failed")]
    Read {
        /// The image.
        image: String,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes were wanted.
        len: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Writing failed: a full or read-only datastore, say.
    #[error("writing {len} bytes at offset {offset} of {image} failed")]
    Write {
        /// The image.
        image: String,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes there were to write.
        len: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Cutting or growing failed.
    #[error("setting the length of {image} to {len} bytes failed")]
    Resize {
        /// The image.
        image: String,
        /// The length that was asked for, in bytes.
        len: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Flushing to the medium failed: what was written may be lost.
    #[error("flushing {image} to the medium failed")]
    Sync {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its holes could not be told.
    #[error("looking for holes in {image} failed")]
    Holes {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The image is not of the format it was said to be.
    #[error("{image} is not a {format} image")]
    WrongFormat {
        /// The image.
        image: String,
        /// The format it was said to have.
        format: Format,
    },
    /// The image uses something that is not handled.
    #[error("{image} uses {feature}, which is not supported")]
    Unsupported {
        /// The image.
        image: String,
        /// What it uses, with the way out where there is one.
        feature: String,
    },
    /// The image contradicts itself or its format.
    #[error("{image} is damaged: {what}; try a copy, or `qemu-img check`")]
    Damaged {
        /// The image.
        image: String,
        /// What does not hold.
        what: String,
    },
    /// The LUKS header is not one, or one that is not handled.
    #[error("the LUKS header of {image} cannot be used")]
    LuksHeader {
        /// The image.
        image: String,
        /// What is wrong with it.
        #[source]
        source: cadenas_luks::HeaderError,
    },
    /// A key slot cannot be used.
    #[error("a key slot of {image} cannot be used")]
    KeySlot {
        /// The image.
        image: String,
        /// What is wrong with it.
        #[source]
        source: cadenas_luks::UnlockError,
    },
    /// The image stands on another file, which is never opened.
    #[error("{image} has the backing file {backing_file:?}; merge it first (`qemu-img convert` or `virsh blockpull`)")]
    BackingFile {
        /// The image.
        image: String,
        /// The name in its header.
        backing_file: String,
    },
    /// A backing file was given for an image that stands on none.
    #[error("{image} has no backing file, but was opened with one")]
    NoBackingFile {
        /// The image.
        image: String,
    },
    /// More backing files than are read.
    #[error("{image} stands on {count} backing files; at most {} are read", crate::MAX_BACKING_FILES)]
    ChainTooLong {
        /// The image.
        image: String,
        /// How many, or more.
        count: usize,
    },
    /// The image keeps its data in another file, which is never opened.
    #[error("{image} keeps its data in the external file {data_file:?}; bring it back in with `qemu-img convert`")]
    DataFile {
        /// The image.
        image: String,
        /// The name in its header, empty if it says none.
        data_file: String,
    },
    /// The disk is in several files, which are not opened by the names in one of them unless the user agrees.
    #[error(
        "{image} is only a part of its disk, or names other files that are its parts; these are not opened unasked"
    )]
    OtherFiles {
        /// The image.
        image: String,
    },
    /// A program of QEMU's that reads the format for us is not installed.
    #[error(
        "`{tool}` is needed to read this format and is not installed; install qemu-utils (on Fedora and openSUSE: qemu-img)"
    )]
    ToolMissing {
        /// The program.
        tool: &'static str,
    },
    /// A program of QEMU's could not be run or talked to.
    #[error("reading {image} through `{tool}` failed")]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program of QEMU's does not read the image.
    #[error("`{tool}` does not read {image}: {complaint}")]
    ToolRefused {
        /// The program.
        tool: &'static str,
        /// The image.
        image: String,
        /// What it said, shortened.
        complaint: String,
    },
    /// The image holds internal snapshots, which a conversion would lose.
    #[error(
        "{image} holds {count} internal snapshot(s), which would be lost; delete them first (`qemu-img snapshot -d`)"
    )]
    Snapshots {
        /// The image.
        image: String,
        /// How many.
        count: u32,
    },
    /// The image is encrypted and no passphrase was given.
    #[error("{image} is encrypted; its passphrase is needed")]
    PassphraseNeeded {
        /// The image.
        image: String,
    },
    /// No key slot opens with the passphrase.
    #[error("the passphrase opens no key slot of {image}")]
    WrongPassphrase {
        /// The image.
        image: String,
    },
    /// A passphrase was given, or key slots were asked for, and the image is not encrypted.
    #[error("{image} is not encrypted")]
    NotEncrypted {
        /// The image.
        image: String,
    },
    /// All eight key slots are taken.
    #[error("all key slots of {image} are taken; remove one first")]
    NoFreeSlot {
        /// The image.
        image: String,
    },
    /// Without its only key slot the image would be lost.
    #[error("slot {slot} is the only key slot of {image}; without it the data would be lost")]
    LastSlot {
        /// The image.
        image: String,
        /// The slot's number, from 0.
        slot: u8,
    },
    /// The image to write to already holds something.
    #[error("{image} is not empty and will not be overwritten; name a new file")]
    NotEmpty {
        /// The image.
        image: String,
    },
    /// A cluster size that qcow2 does not have.
    #[error("{bytes} bytes is not a qcow2 cluster size; it is a power of two from 512 bytes to 2 MiB")]
    ClusterSize {
        /// What was asked for.
        bytes: u64,
    },
    /// A disk that the target cannot hold.
    #[error("a disk of {virtual_size} bytes does not fit {target}")]
    TooLarge {
        /// Size of the disk in bytes.
        virtual_size: u64,
        /// What it should have fitted.
        target: String,
    },
    /// A file length that is not the disk's, give or take the last sector.
    #[error("a disk of {virtual_size} bytes cannot be restored to a file of {len} bytes")]
    LengthMismatch {
        /// Size of the disk in bytes.
        virtual_size: u64,
        /// The length that was asked for.
        len: u64,
    },
    /// An encrypted target without a key, or a plain one with a key.
    #[error("{}", if *.needed { "an encrypted target needs a passphrase" } else { "a plain target takes no passphrase" })]
    KeyForTarget {
        /// Whether the target is encrypted.
        needed: bool,
    },
    /// The image is neither the old one nor the new one of an in-place rewrite.
    #[error(
        "{image} is being rewritten in place: finish with `cadenas disk resume`, undo with `cadenas disk cancel` (journal {journal})"
    )]
    Between {
        /// The image.
        image: String,
        /// The journal's UUID.
        journal: uuid::Uuid,
    },
    /// The journal cannot be read.
    #[error("{journal} is not a whole journal of an in-place rewrite: {what}")]
    JournalDamaged {
        /// The journal.
        journal: String,
        /// What does not hold.
        what: String,
    },
    /// The journal was changed, or made, by somebody who cannot open the disk.
    #[error("{journal} is not authentic; nothing in it is used")]
    JournalNotAuthentic {
        /// The journal.
        journal: String,
    },
    /// The image is being rewritten with another journal.
    #[error("{journal} belongs to another rewrite than that of {image}")]
    JournalOfAnotherImage {
        /// The image.
        image: String,
        /// The journal.
        journal: String,
    },
    /// The image is not what its journal knows, and to go on would lose what was written since.
    #[error("{image} was changed since its journal was written; nothing was done")]
    ChangedSince {
        /// The image.
        image: String,
    },
    /// The image is the new one, and was changed since in such a way that what only the old one used cannot be told any more.
    #[error(
        "{image} is the new image, but another program has made another of it since: parts of the old one, plain ones perhaps, may \
         still be readable in it; make a copy, then remove the image and its journal"
    )]
    NotCleaned {
        /// The image.
        image: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
