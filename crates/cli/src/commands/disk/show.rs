//! What `cadenas disk` tells of an image.

use std::path::Path;

use cadenas_image::{Encryption, ImageInfo, Usage};
use serde::Serialize;
use uuid::Uuid;

use crate::output::{Look, human::size, table::Table};

/// What `disk info` prints as JSON; sizes in bytes.
#[derive(Debug, Serialize)]
pub(super) struct DiskInfo {
    pub(super) path: String,
    format: String,
    virtual_size: u64,
    allocated: u64,
    has_holes: bool,
    cluster_size: Option<u64>,
    encryption: Option<EncryptionInfo>,
    backing_file: Option<String>,
    data_file: Option<String>,
    snapshots: u32,
}

#[derive(Debug, Serialize)]
struct EncryptionInfo {
    format: &'static str,
    cipher: String,
    uuid: Uuid,
    active_slots: Vec<u8>,
}

impl DiskInfo {
    pub(super) fn new(path: &Path, info: &ImageInfo, usage: &Usage) -> Self {
        Self {
            path: path.display().to_string(),
            format: info.format.to_string(),
            virtual_size: info.virtual_size,
            allocated: usage.allocated,
            has_holes: usage.has_holes,
            cluster_size: info.cluster_size,
            encryption: info.encryption.as_ref().map(EncryptionInfo::new),
            backing_file: info.backing_file.clone(),
            data_file: info.data_file.clone(),
            snapshots: info.snapshots,
        }
    }

    /// `encrypted` or `plain`, with format and size.
    pub(super) fn words(&self) -> String {
        let encryption = if self.encryption.is_some() { "encrypted" } else { "plain" };
        format!("{}, {encryption}, {}", self.format, size(self.virtual_size))
    }

    pub(super) fn text(&self, _look: &Look) -> String {
        let mut fields = vec![
            ("Image", self.path.clone()),
            ("Format", self.format.clone()),
            ("Size", format!("{} ({} bytes)", size(self.virtual_size), self.virtual_size)),
            ("Stored", size(self.allocated)),
            ("Encrypted", if self.encryption.is_some() { "yes" } else { "no" }.to_owned()),
        ];
        if let Some(encryption) = &self.encryption {
            let slots = encryption.active_slots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            fields.push(("Cipher", format!("{} ({})", encryption.cipher, encryption.format)));
            fields.extend([("LUKS UUID", encryption.uuid.to_string()), ("Key slots", slots)]);
        }
        fields.extend(self.backing_file.iter().map(|file| ("Backing file", file.clone())));
        fields.extend(self.data_file.iter().map(|file| ("Data file", file.clone())));
        if self.snapshots > 0 {
            fields.push(("Snapshots", self.snapshots.to_string()));
        }
        Table::fields(fields).text()
    }
}

impl EncryptionInfo {
    fn new(encryption: &Encryption) -> Self {
        Self {
            format: "luks1",
            cipher: encryption.cipher.clone(),
            uuid: encryption.uuid,
            active_slots: encryption.active_slots.clone(),
        }
    }
}
