//! Whether a libvirt domain can be encrypted, and what exactly would be.

use std::path::PathBuf;

use cadenas_api::{Problem, ProblemCode};
use cadenas_hypervisor::{DeviceKind, DiskDevice, DiskSource, DomainSummary, DomainXml, Hypervisor};

use crate::problem::from_hypervisor;

/// A domain that is off and has nothing that Cadenas does not handle.
#[derive(Debug)]
pub(crate) struct Encryptable {
    /// Its definition.
    pub(crate) xml: DomainXml,
    /// The disks that shall be encrypted.
    pub(crate) disks: Vec<FileDisk>,
}

/// A hard disk in a file of a format that Cadenas reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileDisk {
    /// libvirt's target.
    pub(crate) target: String,
    /// The image.
    pub(crate) path: PathBuf,
    /// `raw` or `qcow2`, as libvirt says; never guessed from what a guest could have written.
    pub(crate) qcow2: bool,
}

/// Checks a domain; `wanted` names the disks to encrypt, none means all.
pub(crate) fn encryptable(
    hypervisor: &dyn Hypervisor,
    domain: &DomainSummary,
    wanted: &[String],
) -> Result<Encryptable, Problem> {
    check_power(domain)?;
    check_saved_state(hypervisor, domain)?;
    let text = hypervisor.definition(domain.uuid).map_err(|error| from_hypervisor(&error))?;
    let xml = DomainXml::parse(&text).map_err(|error| Problem::internal(&error))?;
    check_devices(&xml)?;
    let disks = chosen(&xml, wanted)?.into_iter().map(|disk| file_disk(&xml, disk)).collect::<Result<_, _>>()?;
    Ok(Encryptable { xml, disks })
}

impl Encryptable {
    /// The folder for the VM home: a new one with the VM's name beside its first disk, unless one is given.
    pub(crate) fn home(&self, given: Option<PathBuf>) -> Result<PathBuf, Problem> {
        let name = self.xml.name();
        if let Some(home) = given {
            return usable_home(home);
        }
        let beside = self.disks.first().and_then(|disk| disk.path.parent());
        beside.map(|folder| folder.join(name)).ok_or_else(|| {
            Problem::new(ProblemCode::HomeUnfit, format!("VM {name} has no disk beside which its home could be"))
                .next("say where it shall be with --home DIR")
        })
    }
}

fn usable_home(home: PathBuf) -> Result<PathBuf, Problem> {
    let refused = |what: &str, next: &str| {
        Err(Problem::new(ProblemCode::HomeUnfit, format!("the VM home {} {what}", home.display())).next(next))
    };
    if !home.is_absolute() {
        return refused("is not an absolute path", "give the whole path, beginning with /");
    }
    match home.parent() {
        Some(parent) if !parent.is_dir() => {
            refused("would be in a folder that is not there", "make that folder first, or name another with --home DIR")
        }
        _ => Ok(home),
    }
}

fn check_power(domain: &DomainSummary) -> Result<(), Problem> {
    if domain.state.is_off() {
        return Ok(());
    }
    Err(Problem::new(ProblemCode::VmNotOff, format!("VM {} is {}, not off", domain.name, domain.state))
        .next(format!("shut it down first: `cadenas vm shutdown {}`", domain.name)))
}

fn check_saved_state(hypervisor: &dyn Hypervisor, domain: &DomainSummary) -> Result<(), Problem> {
    let name = &domain.name;
    if domain.has_managed_save {
        return Err(not_yet(&format!("VM {name} has its memory saved to disk (managed save)")).next(format!(
            "start it and shut it down, or drop the saved memory with `virsh managedsave-remove {name}`"
        )));
    }
    match hypervisor.snapshots(domain.uuid).map_err(|error| from_hypervisor(&error))? {
        0 => Ok(()),
        1 => Err(not_yet(&format!("VM {name} has 1 snapshot or checkpoint"))
            .next(format!("delete it first: `virsh snapshot-list {name}`, `virsh checkpoint-list {name}`"))),
        count => Err(not_yet(&format!("VM {name} has {count} snapshots or checkpoints"))
            .next(format!("delete them first: `virsh snapshot-list {name}`, `virsh checkpoint-list {name}`"))),
    }
}

fn check_devices(xml: &DomainXml) -> Result<(), Problem> {
    let name = xml.name();
    if xml.has_uefi_vars() {
        return Err(
            not_yet(&format!("VM {name} has UEFI variables")).next("only VMs with BIOS firmware can be encrypted")
        );
    }
    if xml.has_vtpm() {
        return Err(
            not_yet(&format!("VM {name} has a vTPM")).next("remove it with `virsh edit`, or leave the VM plain")
        );
    }
    Ok(())
}

fn not_yet(what: &str) -> Problem {
    Problem::new(ProblemCode::NotYetHandled, format!("{what}, and that is not yet handled"))
}

/// The hard disks that are meant; CD-ROM and floppy drives never are.
fn chosen<'a>(xml: &'a DomainXml, wanted: &[String]) -> Result<Vec<&'a DiskDevice>, Problem> {
    let hard_disks: Vec<&DiskDevice> =
        xml.disks().iter().filter(|disk| matches!(disk.device, DeviceKind::Disk | DeviceKind::Lun)).collect();
    if wanted.is_empty() {
        return Ok(hard_disks);
    }
    let unknown = wanted.iter().find(|target| hard_disks.iter().all(|disk| disk.target != **target));
    if let Some(target) = unknown {
        let known: Vec<&str> = hard_disks.iter().map(|disk| disk.target.as_str()).collect();
        return Err(Problem::new(ProblemCode::DiskUnfit, format!("VM {} has no hard disk {target}", xml.name()))
            .next(format!("its hard disks are: {}", known.join(", "))));
    }
    Ok(hard_disks.into_iter().filter(|disk| wanted.contains(&disk.target)).collect())
}

fn file_disk(xml: &DomainXml, disk: &DiskDevice) -> Result<FileDisk, Problem> {
    let refuse = |what: &str| {
        Err(not_yet(&format!("disk {} of VM {} is {what}", disk.target, xml.name()))
            .next("bring its data into a raw or qcow2 file, or encrypt only the other disks with --disk"))
    };
    let path = match &disk.source {
        DiskSource::File(path) if disk.device == DeviceKind::Disk => path,
        DiskSource::File(_) => return refuse("a passed-through SCSI device"),
        DiskSource::Block(path) => return refuse(&format!("the block device {}", path.display())),
        DiskSource::Network { protocol } => return refuse(&format!("a network disk ({protocol})")),
        DiskSource::Volume { pool, volume } => return refuse(&format!("the volume {volume} of the pool {pool}")),
        DiskSource::Other(kind) => return refuse(&format!("of type {kind}")),
        DiskSource::None => return refuse("empty"),
    };
    if disk.has_encryption {
        return Err(Problem::new(
            ProblemCode::DiskUnfit,
            format!("disk {} of VM {} is already encrypted, by libvirt", disk.target, xml.name()),
        )
        .next("decrypt it first, or leave it out with --disk"));
    }
    if disk.has_backing_store {
        return refuse("an overlay over a backing file");
    }
    if disk.shareable {
        return refuse("shared with other VMs");
    }
    let qcow2 = match disk.driver_format.as_deref() {
        Some("qcow2") => true,
        Some("raw") | None => false,
        Some(other) => return refuse(&format!("of the format {other}")),
    };
    Ok(FileDisk { target: disk.target.clone(), path: path.clone(), qcow2 })
}
