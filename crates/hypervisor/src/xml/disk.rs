//! The disks of a domain (<https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms>).

use std::path::PathBuf;

use super::{
    domain::DomainXmlError,
    tree::{Element, Tree},
};

/// One `<disk>` of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an element that is there or not, independent of the others")]
pub struct DiskDevice {
    /// The name within the domain, as `vda`.
    pub target: String,
    /// What the guest sees.
    pub device: DeviceKind,
    /// Where the data lies.
    pub source: DiskSource,
    /// The format that QEMU reads it as, as `qcow2`. libvirt takes raw if there is none.
    pub driver_format: Option<String>,
    /// Whether the guest cannot write.
    pub readonly: bool,
    /// Whether other domains may use it at the same time.
    pub shareable: bool,
    /// Whether libvirt is told to open it with a secret.
    pub has_encryption: bool,
    /// Whether the XML names another image below this one.
    pub has_backing_store: bool,
}

/// What the guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A hard disk.
    Disk,
    /// A CD-ROM drive.
    Cdrom,
    /// A floppy drive.
    Floppy,
    /// A SCSI device of the host, passed through.
    Lun,
}

/// Where the data of a disk lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSource {
    /// A file, the whole of it.
    File(PathBuf),
    /// A block device.
    Block(PathBuf),
    /// Another machine.
    Network {
        /// As `nbd`, `rbd` or `iscsi`.
        protocol: String,
    },
    /// A volume of a libvirt storage pool.
    Volume {
        /// The pool's name.
        pool: String,
        /// The volume's name in it.
        volume: String,
    },
    /// Something else, in libvirt's word for it: `dir`, `nvme`, `vhostuser`, `slice` of a file.
    Other(String),
    /// Nothing, as in an empty CD-ROM drive.
    None,
}

pub(super) fn read(tree: &Tree, disk: &Element) -> Result<DiskDevice, DomainXmlError> {
    let target = tree.child(disk, "target").and_then(|target| target.value("dev")).ok_or(DomainXmlError::NoTarget)?;
    let source = tree.child(disk, "source");
    let encrypted = |parent| tree.child(parent, "encryption").is_some();
    Ok(DiskDevice {
        target: target.to_owned(),
        device: device_kind(disk, target)?,
        source: source.map_or(DiskSource::None, |source| source_of(tree, disk, source)),
        driver_format: tree.child(disk, "driver").and_then(|driver| driver.value("type")).map(str::to_owned),
        readonly: tree.child(disk, "readonly").is_some(),
        shareable: tree.child(disk, "shareable").is_some(),
        has_encryption: encrypted(disk) || source.is_some_and(encrypted),
        // An empty <backingStore/> says that there is none.
        has_backing_store: tree.children_named(disk, "backingStore").any(|store| tree.child(store, "source").is_some()),
    })
}

fn device_kind(disk: &Element, target: &str) -> Result<DeviceKind, DomainXmlError> {
    match disk.value("device") {
        None | Some("disk") => Ok(DeviceKind::Disk),
        Some("cdrom") => Ok(DeviceKind::Cdrom),
        Some("floppy") => Ok(DeviceKind::Floppy),
        Some("lun") => Ok(DeviceKind::Lun),
        Some(_) => Err(DomainXmlError::UnknownDevice { target: target.to_owned() }),
    }
}

fn source_of(tree: &Tree, disk: &Element, source: &Element) -> DiskSource {
    let text = |name| source.value(name).unwrap_or_default().to_owned();
    let path = |name: &str, kind: fn(PathBuf) -> DiskSource| {
        source.value(name).map_or(DiskSource::None, |path| kind(PathBuf::from(path)))
    };
    match disk_type(disk) {
        "file" if tree.child(source, "slices").is_some() => DiskSource::Other("slice".to_owned()),
        "file" if source.attribute("fdgroup").is_some() => DiskSource::Other("fdgroup".to_owned()),
        "file" => path("file", DiskSource::File),
        "block" => path("dev", DiskSource::Block),
        "network" => DiskSource::Network { protocol: text("protocol") },
        "volume" => DiskSource::Volume { pool: text("pool"), volume: text("volume") },
        other => DiskSource::Other(other.to_owned()),
    }
}

/// libvirt takes `file` where the attribute is missing.
pub(super) fn disk_type(disk: &Element) -> &str {
    disk.value("type").unwrap_or("file")
}
