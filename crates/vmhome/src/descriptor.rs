//! The descriptor: the one small file that makes a folder a VM home.
//!
//! JSON with a readable header, the key safe and the sealed configuration (`docs/formats.md`). It has exactly one byte form:
//! what does not serialise back to the same bytes is refused, so that a changed byte is never overlooked. The header is the
//! associated data of the configuration, so that a shallow recrypt changes the key safe and leaves the rest byte for byte.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use cadenas_keys::{KeySafe, NotAnObjectName, ObjectName, Sealed, VmId};
use cadenas_secret::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    files::{self, FileError, Kind, ReadError},
    names::{DESCRIPTOR_EXTENSION, FileName, VmName},
};

/// The newest format. A descriptor is of version 2 if a key server keeps a key that it needs, else of version 1.
pub const FORMAT_VERSION: u64 = 2;

/// The most that is read of a descriptor, in bytes.
pub const MAX_DESCRIPTOR_BYTES: u64 = 4 << 20;

/// What a descriptor says. Only unlocking proves the header and the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    cadenas: u64,
    header: Header,
    key_safe: KeySafe,
    configuration: Sealed,
}

/// The readable part of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The VM: the UUID of its libvirt domain.
    pub vm: VmId,
    /// Its name.
    pub name: VmName,
    /// The storage policy that it was encrypted under.
    pub policy: String,
    /// When its DEKs were made (RFC 3339).
    pub created: String,
    /// Its encrypted disks, in the domain's order. A disk that stayed plain is not here.
    pub disks: Vec<DiskEntry>,
}

/// An encrypted disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskEntry {
    /// libvirt's target: `vda`.
    pub target: String,
    /// Its file in the VM home.
    pub path: FileName,
    /// What the file is.
    pub format: DiskFormat,
    /// The UUID in its LUKS header.
    pub luks_uuid: Uuid,
    /// The object whose DEK opens it: `disk:` and the target.
    pub dek: ObjectName,
}

/// The format of an encrypted disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// qcow2 with LUKS inside.
    Qcow2,
    /// A raw LUKS1 volume.
    Luks,
}

impl DiskFormat {
    /// libvirt's driver type for the disk, and the extension of its file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Luks => "luks",
        }
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which descriptor this is: SHA-256 over header and sealed configuration, which a shallow recrypt leaves as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity([u8; 32]);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", hex::encode(self.0))
    }
}

impl Serialize for Identity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes)
            .map_err(|_| serde::de::Error::custom("not 64 hex digits"))?;
        Ok(Self(bytes))
    }
}

/// Why bytes are not a descriptor.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Another format version.
    #[error("format version {0} is unknown here: made by a newer Cadenas; use that version")]
    UnknownVersion(u64),
    /// Not JSON, or not with these fields.
    #[error("not a descriptor; take it from a copy of the VM home")]
    Malformed(#[source] serde_json::Error),
    /// The same content in other bytes.
    #[error(
        "not in the one form that Cadenas writes: it was changed by something else; take it from a copy of the VM home"
    )]
    NotCanonical,
    /// Two disks share a target or a file.
    #[error("it names {0} twice")]
    Twice(String),
    /// A target that no object can be named after.
    #[error("a disk has a target that no disk can have")]
    Target(#[source] NotAnObjectName),
    /// A disk's DEK is not called after the disk.
    #[error("disk {target} names {dek} as its key")]
    ForeignDek {
        /// The disk's target.
        target: String,
        /// What it names.
        dek: ObjectName,
    },
    /// A file name that is reserved.
    #[error("disk {target} has the file name {path}, which only a descriptor can have")]
    ReservedPath {
        /// The disk's target.
        target: String,
        /// The file name.
        path: FileName,
    },
    /// The key safe has not exactly one entry for the configuration and for each disk.
    #[error("its key safe is not for the configuration and the disks that it names")]
    KeySafeMismatch,
}

impl Descriptor {
    pub(crate) fn new(header: Header, key_safe: KeySafe, configuration: Sealed) -> Result<Self, DescriptorError> {
        let descriptor = Self { cadenas: version_of(&key_safe), header, key_safe, configuration };
        descriptor.check()?;
        Ok(descriptor)
    }

    /// Reads the one byte form, and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let descriptor: Self = serde_json::from_slice(bytes).map_err(|error| unread(bytes, error))?;
        if !is_known(descriptor.cadenas) {
            return Err(DescriptorError::UnknownVersion(descriptor.cadenas));
        }
        if descriptor.cadenas != version_of(&descriptor.key_safe) || descriptor.to_bytes() != bytes {
            return Err(DescriptorError::NotCanonical);
        }
        descriptor.check()?;
        Ok(descriptor)
    }

    /// The one byte form: JSON, indented by two spaces, ended by a newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("strings and lists are JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The readable header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The wrapped DEKs.
    #[must_use]
    pub fn key_safe(&self) -> &KeySafe {
        &self.key_safe
    }

    /// The sealed configuration.
    #[must_use]
    pub fn configuration(&self) -> &Sealed {
        &self.configuration
    }

    /// The same VM with its DEKs wrapped anew, for the same objects.
    pub(crate) fn with_key_safe(self, key_safe: KeySafe) -> Result<Self, DescriptorError> {
        Self::new(self.header, key_safe, self.configuration)
    }

    pub(crate) fn identity(&self) -> Identity {
        let header = self.header.associated_data();
        let len = u64::try_from(header.len()).expect("a header fits in memory").to_be_bytes();
        Identity(digest::sha256(&[&len, &header, &self.configuration.nonce, &self.configuration.ciphertext]))
    }

    fn check(&self) -> Result<(), DescriptorError> {
        let disks = &self.header.disks;
        for (at, disk) in disks.iter().enumerate() {
            disk.check()?;
            if let Some(other) = disks[..at].iter().find(|other| other.target == disk.target || other.path == disk.path)
            {
                return Err(DescriptorError::Twice(if other.target == disk.target {
                    other.target.clone()
                } else {
                    other.path.to_string()
                }));
            }
        }
        let objects: BTreeSet<_> = self.key_safe.entries().iter().map(|entry| &entry.object).collect();
        let configuration = ObjectName::configuration();
        let needed = disks.iter().map(|disk| &disk.dek).chain([&configuration]).collect();
        if objects == needed { Ok(()) } else { Err(DescriptorError::KeySafeMismatch) }
    }
}

impl Header {
    /// What the configuration is bound to: the header as compact JSON, in the order of its fields.
    pub(crate) fn associated_data(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and lists are JSON")
    }
}

impl DiskEntry {
    fn check(&self) -> Result<(), DescriptorError> {
        if self.dek != ObjectName::disk(&self.target).map_err(DescriptorError::Target)? {
            return Err(DescriptorError::ForeignDek { target: self.target.clone(), dek: self.dek.clone() });
        }
        let path = self.path.as_str();
        if path.starts_with('.') || path.contains(&format!(".{DESCRIPTOR_EXTENSION}")) {
            return Err(DescriptorError::ReservedPath { target: self.target.clone(), path: self.path.clone() });
        }
        Ok(())
    }
}

/// The one version in which a descriptor with this key safe is written.
fn version_of(key_safe: &KeySafe) -> u64 {
    if key_safe.needs_key_server() { 2 } else { 1 }
}

fn is_known(version: u64) -> bool {
    (1..=FORMAT_VERSION).contains(&version)
}

/// Why JSON does not read: it is of another version, whatever else that holds, or no descriptor.
fn unread(bytes: &[u8], error: serde_json::Error) -> DescriptorError {
    /// All that every future version has in common.
    #[derive(Deserialize)]
    struct Version {
        cadenas: u64,
    }
    match serde_json::from_slice(bytes) {
        Ok(Version { cadenas }) if !is_known(cadenas) => DescriptorError::UnknownVersion(cadenas),
        _ => DescriptorError::Malformed(error),
    }
}

/// Why there is no VM home, or none that can be read, at a path.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing there.
    #[error("no VM home at {}: name the folder or the .{DESCRIPTOR_EXTENSION} file in it", .0.display())]
    Missing(PathBuf),
    /// A folder without descriptor.
    #[error("no descriptor (*.{DESCRIPTOR_EXTENSION}) in the folder {}", .0.display())]
    NoDescriptor(PathBuf),
    /// A folder with several.
    #[error("several descriptors in the folder {}: {}; name the one that is meant", .folder.display(), .names.join(", "))]
    Several {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// Not a name that a descriptor has.
    #[error("{} is not called like a descriptor: its name must end in .{DESCRIPTOR_EXTENSION}", .0.display())]
    NotADescriptorName(PathBuf),
    /// The descriptor cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The descriptor is not one.
    #[error("the descriptor {} cannot be used", .path.display())]
    Descriptor {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: DescriptorError,
    },
}

impl From<FileError> for HomeError {
    fn from(error: FileError) -> Self {
        Self::Read(error.into())
    }
}

/// The descriptor at exactly this path, not through a link; `None` if nothing is there.
pub(crate) fn read(path: &Path) -> Result<Option<Descriptor>, HomeError> {
    let Some(bytes) = files::read_small(path, MAX_DESCRIPTOR_BYTES)? else { return Ok(None) };
    Descriptor::parse(&bytes).map(Some).map_err(|source| HomeError::Descriptor { path: path.to_owned(), source })
}

/// The home folder, without links, and the descriptor's name in it, from the path of either.
pub(crate) fn locate(path: &Path) -> Result<(PathBuf, FileName), HomeError> {
    match Kind::of(path)? {
        Kind::Nothing => Err(HomeError::Missing(path.to_owned())),
        Kind::File => {
            let name = FileName::last_of(path).filter(is_descriptor_name);
            let name = name.ok_or_else(|| HomeError::NotADescriptorName(path.to_owned()))?;
            Ok((files::absolute(files::parent(path))?, name))
        }
        // A link to the folder that a person names is followed: only what lies inside the home is not trusted.
        _ if path.is_dir() => {
            let folder = files::absolute(path)?;
            let name = only_descriptor(&folder)?;
            Ok((folder, name))
        }
        other => Err(ReadError::NotAFile { path: path.to_owned(), kind: other.words() }.into()),
    }
}

fn only_descriptor(folder: &Path) -> Result<FileName, HomeError> {
    let names = descriptor_names(folder).map_err(FileError::on("listing", folder))?;
    match <[FileName; 1]>::try_from(names) {
        Ok([only]) => Ok(only),
        Err(none) if none.is_empty() => Err(HomeError::NoDescriptor(folder.to_owned())),
        Err(several) => Err(HomeError::Several {
            folder: folder.to_owned(),
            names: several.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn descriptor_names(folder: &Path) -> io::Result<Vec<FileName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(FileName::last_of(&entry?.path()).filter(is_descriptor_name));
    }
    names.sort();
    Ok(names)
}

fn is_descriptor_name(name: &FileName) -> bool {
    name.as_str().strip_suffix(DESCRIPTOR_EXTENSION).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        && !name.as_str().starts_with('.')
}
