//! The sealed configuration: what nobody may read or change while the VM is encrypted.

use std::fmt;

use cadenas_keys::{Dek, NotAuthentic, Sealed};
use cadenas_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::descriptor::{DiskFormat, Header};

/// What is sealed: the plain definition, and for each encrypted disk what it must be and what it was.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    /// The domain's XML as libvirt had it.
    pub(crate) domain_xml: String,
    /// Whether libvirt started the domain with the host.
    pub(crate) autostart: bool,
    /// In the order of the header's disks.
    pub(crate) disks: Vec<DiskConfiguration>,
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("disks", &self.disks).finish_non_exhaustive()
    }
}

/// One encrypted disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskConfiguration {
    pub(crate) target: String,
    pub(crate) must_say: MustSay,
    pub(crate) original: Original,
}

/// What an encrypted disk's own headers must say. It also has no backing file and no data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MustSay {
    pub(crate) format: DiskFormat,
    pub(crate) cipher: String,
    pub(crate) luks_uuid: Uuid,
    /// The digest of the volume key in the LUKS header, in hex.
    pub(crate) luks_digest: String,
    /// What the guest sees, in bytes.
    pub(crate) virtual_size: u64,
    /// Of a qcow2 image, in bytes.
    pub(crate) cluster_size: Option<u64>,
    /// Internal snapshots, which only a rewrite in place brings along.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) snapshots: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(snapshots: &u32) -> bool {
    *snapshots == 0
}

/// The plain disk that a decryption brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// Where it was, absolute.
    pub path: String,
    /// What it was.
    pub image: PlainImage,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// The format of a plain disk, with what is needed to make it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase", deny_unknown_fields)]
pub enum PlainImage {
    /// The guest's bytes as they are.
    Raw {
        /// Exact length of the file in bytes.
        len: u64,
    },
    /// qcow2 without encryption.
    Qcow2 {
        /// Bytes.
        cluster_size: u64,
    },
}

/// Why a sealed configuration does not open.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Header or configuration were changed.
    #[error(
        "the header or the configuration was changed since it was sealed; take the descriptor from a copy of the VM home"
    )]
    NotAuthentic(#[source] NotAuthentic),
    /// Authentic, but not of this version.
    #[error("the configuration is of another version of Cadenas; use that version")]
    Malformed(#[source] serde_json::Error),
    /// Authentic, but not for the disks of the header.
    #[error("the configuration is not for the disks of the header; take the descriptor from a copy of the VM home")]
    OtherDisks,
}

impl Configuration {
    /// Seals this for exactly this header.
    pub(crate) fn seal(&self, header: &Header, dek: &Dek) -> Sealed {
        let plain = SecretBytes::take_from(serde_json::to_vec(self).expect("strings and lists are JSON"));
        dek.seal(&header.associated_data(), plain.expose())
    }

    /// Opens what was sealed for this header.
    pub(crate) fn open(header: &Header, sealed: &Sealed, dek: &Dek) -> Result<Self, SealError> {
        let plain = dek.open(&header.associated_data(), sealed).map_err(SealError::NotAuthentic)?;
        let configuration: Self = serde_json::from_slice(plain.expose()).map_err(SealError::Malformed)?;
        let targets = configuration.disks.iter().map(|disk| &disk.target);
        if targets.eq(header.disks.iter().map(|disk| &disk.target)) {
            Ok(configuration)
        } else {
            Err(SealError::OtherDisks)
        }
    }
}
