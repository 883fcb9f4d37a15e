//! A domain's XML, of which only what encryption is about is read.

use std::{collections::BTreeSet, fmt, path::Path};

use uuid::Uuid;

use super::{
    disk::{self, DiskDevice, disk_type},
    edit::{Edits, attribute_escaped},
    tree::{Element, Tree, XmlError},
};

/// A domain's XML. What is not changed through it stays byte for byte.
///
/// It can hold passwords (of a VNC screen, say), so its `Debug` tells only which domain it is.
#[derive(Clone, PartialEq, Eq)]
pub struct DomainXml {
    text: String,
    uuid: Uuid,
    name: String,
    disks: Vec<DiskDevice>,
    has_uefi_vars: bool,
    has_vtpm: bool,
}

/// The text is not a domain that we can work with.
#[derive(Debug, thiserror::Error)]
pub enum DomainXmlError {
    /// Not XML, or beyond the bounds.
    #[error("cannot read the domain XML")]
    Xml(#[from] XmlError),
    /// The outermost element is another.
    #[error("cannot read the domain XML: the outermost element is not <domain>")]
    NotADomain,
    /// `<uuid>` is missing or not a UUID.
    #[error("cannot read the domain XML: it has no valid <uuid>")]
    NoUuid,
    /// `<name>` is missing.
    #[error("cannot read the domain XML: it has no <name>")]
    NoName,
    /// A `<disk>` without `<target dev=…>`.
    #[error("cannot read the domain XML: a <disk> has no <target dev='…'>")]
    NoTarget,
    /// Two disks with one name.
    #[error("cannot read the domain XML: two disks have the target {target}")]
    TwoTargets {
        /// The name.
        target: String,
    },
    /// A `device=` that is neither disk, cdrom, floppy nor lun.
    #[error("cannot read the domain XML: disk {target} is a device of an unknown kind")]
    UnknownDevice {
        /// The disk.
        target: String,
    },
    /// No such disk to change.
    #[error("cannot change the source of disk {target}: the domain has no such disk")]
    NoSuchDisk {
        /// The disk.
        target: String,
    },
    /// The disk is no file, so it gets no file as its source.
    #[error("cannot change the source of disk {target}: it is not a file")]
    NotAFile {
        /// The disk.
        target: String,
    },
    /// XML is text, so a path in it must be too.
    #[error("cannot change the source of disk {target}: {path:?} cannot be written in XML; rename it")]
    PathNotText {
        /// The disk.
        target: String,
        /// The path.
        path: std::path::PathBuf,
    },
}

impl DomainXml {
    /// Reads a domain's XML. Bounded in size and depth, and deaf to entities; every disk is understood or refused.
    pub fn parse(text: &str) -> Result<Self, DomainXmlError> {
        Self::from_text(text.to_owned())
    }

    /// The text, passwords included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain's UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The domain's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its disks, in the order of the XML.
    #[must_use]
    pub fn disks(&self) -> &[DiskDevice] {
        &self.disks
    }

    /// Whether the firmware keeps variables in a file beside the disks (UEFI).
    #[must_use]
    pub fn has_uefi_vars(&self) -> bool {
        self.has_uefi_vars
    }

    /// Whether it has a TPM, whose state lies beside the disks or is the host's.
    #[must_use]
    pub fn has_vtpm(&self) -> bool {
        self.has_vtpm
    }

    /// The same domain with another file below one disk, opened as `driver_format`, with the LUKS passphrase that libvirt
    /// knows as `secret`, or without encryption. The image is the end of its chain: what it or the domain says of backing
    /// images is not followed. All else stays.
    pub fn with_disk_source(
        &self,
        target: &str,
        path: &Path,
        driver_format: &str,
        secret: Option<Uuid>,
    ) -> Result<Self, DomainXmlError> {
        let tree = Tree::parse(&self.text)?;
        let disk = disk_elements(&tree)
            .find(|disk| tree.child(disk, "target").and_then(|found| found.value("dev")) == Some(target))
            .ok_or_else(|| DomainXmlError::NoSuchDisk { target: target.to_owned() })?;
        if disk_type(disk) != "file" {
            return Err(DomainXmlError::NotAFile { target: target.to_owned() });
        }
        let file = path
            .to_str()
            .filter(|path| !path.chars().any(char::is_control))
            .ok_or_else(|| DomainXmlError::PathNotText { target: target.to_owned(), path: path.to_owned() })?;
        let mut edits = Edits::new(&self.text, &tree);
        set_driver(&mut edits, disk, driver_format);
        set_source(&mut edits, disk, file, secret);
        for child in ["backingStore", "encryption"] {
            tree.children_named(disk, child).for_each(|element| edits.remove(element));
        }
        // An empty element ends the chain: QEMU is told to open no backing file, whatever the image says by then.
        edits.insert_first(disk, "<backingStore/>");
        Self::from_text(edits.apply())
    }

    fn from_text(text: String) -> Result<Self, DomainXmlError> {
        let tree = Tree::parse(&text)?;
        let root = tree.root();
        if root.name() != "domain" {
            return Err(DomainXmlError::NotADomain);
        }
        let child_text = |name| tree.child(root, name).map(Element::text).filter(|text| !text.is_empty());
        let uuid = child_text("uuid").and_then(|text| text.parse().ok()).ok_or(DomainXmlError::NoUuid)?;
        let name = child_text("name").ok_or(DomainXmlError::NoName)?.to_owned();
        let disks = disk_elements(&tree).map(|disk| disk::read(&tree, disk)).collect::<Result<Vec<_>, _>>()?;
        refuse_equal_targets(&disks)?;
        let (has_uefi_vars, has_vtpm) = (has_uefi_vars(&tree), has_vtpm(&tree));
        Ok(Self { text, uuid, name, disks, has_uefi_vars, has_vtpm })
    }
}

impl fmt::Debug for DomainXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainXml({} {})", self.name, self.uuid)
    }
}

fn disk_elements(tree: &Tree) -> impl Iterator<Item = &Element> {
    tree.children_named(tree.root(), "devices").flat_map(|devices| tree.children_named(devices, "disk"))
}

fn refuse_equal_targets(disks: &[DiskDevice]) -> Result<(), DomainXmlError> {
    let mut seen = BTreeSet::new();
    match disks.iter().find(|disk| !seen.insert(&disk.target)) {
        Some(disk) => Err(DomainXmlError::TwoTargets { target: disk.target.clone() }),
        None => Ok(()),
    }
}

fn has_uefi_vars(tree: &Tree) -> bool {
    tree.children_named(tree.root(), "os").any(|os| {
        os.value("firmware") == Some("efi")
            || tree.child(os, "nvram").is_some()
            || tree.children_named(os, "loader").any(|loader| loader.value("type") == Some("pflash"))
    })
}

fn has_vtpm(tree: &Tree) -> bool {
    tree.children_named(tree.root(), "devices").any(|devices| tree.child(devices, "tpm").is_some())
}

fn set_driver(edits: &mut Edits<'_>, disk: &Element, format: &str) {
    match edits.tree().child(disk, "driver") {
        Some(driver) => edits.set_attribute(driver, "type", format),
        None => edits.insert_first(disk, &format!("<driver name='qemu' type='{}'/>", attribute_escaped(format))),
    }
}

fn set_source(edits: &mut Edits<'_>, disk: &Element, file: &str, secret: Option<Uuid>) {
    let encryption =
        secret.map(|uuid| format!("<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>"));
    let encryption = encryption.unwrap_or_default();
    match edits.tree().child(disk, "source") {
        Some(source) => {
            edits.set_attribute(source, "file", file);
            edits.insert_first(source, &encryption);
            for old in edits.tree().children_named(source, "encryption") {
                edits.remove(old);
            }
        }
        None => edits.insert_first(disk, &format!("<source file='{}'>{encryption}</source>", attribute_escaped(file))),
    }
}
