//! Where a VM is: in libvirt, in a VM home, or in a home that cannot be read.

use std::path::{Path, PathBuf};

use cadenas_api::{HomeKeys, Problem, ProblemCode, chain};
use cadenas_hypervisor::{DomainSummary, PowerState};
use cadenas_keys::{KeySafeEntry, VmId};
use cadenas_vmhome::{DescriptorError, HomeError, VmHome};

use crate::{
    inventory::Entry,
    local::Inner,
    problem::{from_home, from_hypervisor, from_inventory},
};

/// A VM as it was found.
pub(crate) enum Located {
    /// Encrypted; the domain is there while it runs.
    Home(Box<VmHome>),
    /// In the inventory, but its home cannot be read.
    Unreadable(Entry, HomeError),
    /// Plain: libvirt has its definition, or runs it.
    Domain(DomainSummary),
}

impl Located {
    /// Whether no home of this VM is where it should be.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Unreadable(_, HomeError::Missing(_) | HomeError::NoDescriptor(_)))
    }

    /// An entry whose home is not there yet, or no more, while libvirt keeps the definition: a plain VM. Of an encrypted one
    /// libvirt keeps none.
    pub(crate) fn or_plain(self, domain: Option<&DomainSummary>) -> Self {
        match domain {
            Some(domain) if domain.persistent && self.is_gone() => Self::Domain(domain.clone()),
            _ => self,
        }
    }
}

impl Inner {
    /// Finds a VM by its ID. A home counts before libvirt's definition, which may be left over from an interrupted encryption.
    pub(crate) fn locate(&self, vm: VmId) -> Result<Located, Problem> {
        let entry = self.inventory.entry(vm).map_err(|error| from_inventory(&error))?;
        if let Some(found) = entry.map(|entry| open(vm, entry)) {
            return if found.is_gone() { Ok(found.or_plain(self.domain(vm)?.as_ref())) } else { Ok(found) };
        }
        self.domain(vm)?.map(Located::Domain).ok_or_else(|| no_such_vm(vm))
    }

    /// The home of an encrypted VM.
    pub(crate) fn home(&self, vm: VmId) -> Result<VmHome, Problem> {
        match self.locate(vm)? {
            Located::Home(home) => Ok(*home),
            Located::Unreadable(entry, error) => Err(unreadable(&entry, &error)),
            Located::Domain(domain) => {
                Err(Problem::new(ProblemCode::VmNotEncrypted, format!("VM {} is not encrypted", domain.name))
                    .next(format!("encrypt it: `cadenas vm encrypt {}`", domain.name)))
            }
        }
    }

    /// Where the home of an encrypted VM is; nothing of it is read.
    pub(crate) fn home_path(&self, vm: VmId) -> Result<PathBuf, Problem> {
        match self.inventory.entry(vm).map_err(|error| from_inventory(&error))? {
            Some(entry) => Ok(entry.home),
            None => self.home(vm).map(|home| home.descriptor_path()),
        }
    }

    /// libvirt's view of a VM, if it has one.
    pub(crate) fn domain(&self, vm: VmId) -> Result<Option<DomainSummary>, Problem> {
        self.hypervisor.domain(vm.uuid()).map_err(|error| from_hypervisor(&error))
    }

    /// Whether a VM runs.
    pub(crate) fn power(&self, vm: VmId) -> Result<PowerState, Problem> {
        Ok(self.domain(vm)?.map_or(PowerState::Off, |domain| domain.state))
    }
}

/// Opens the home that an entry names; a home of another VM there is not this VM's.
pub(crate) fn open(vm: VmId, entry: Entry) -> Located {
    match VmHome::open(&entry.home) {
        Ok(home) if home.vm() == vm => Located::Home(Box::new(home)),
        Ok(_) => {
            let home = entry.home.clone();
            Located::Unreadable(entry, HomeError::Missing(home))
        }
        Err(error) => Located::Unreadable(entry, error),
    }
}

/// Which keys a VM home needs, whether or not it is in the inventory.
pub(crate) fn look_at_home(path: &Path) -> Result<HomeKeys, Problem> {
    let home = VmHome::open(path).map_err(|error| from_home(&error))?;
    let mut keys: Vec<_> = home.key_safe().entries().iter().map(KeySafeEntry::needs).collect();
    keys.sort();
    keys.dedup();
    Ok(HomeKeys { vm: home.vm(), name: home.name().to_string(), keys })
}

fn no_such_vm(vm: VmId) -> Problem {
    Problem::new(ProblemCode::NoSuchVm, format!("no VM has the ID {vm}")).next("`cadenas vm ls` shows all")
}

/// The problem of a home that cannot be read.
pub(crate) fn unreadable(entry: &Entry, error: &HomeError) -> Problem {
    let (name, home) = (&entry.name, entry.home.display());
    let unfit = |detail| Problem::new(ProblemCode::HomeUnfit, detail);
    match error {
        HomeError::Missing(_) | HomeError::NoDescriptor(_) => {
            unfit(format!("the home of VM {name} is gone: no descriptor of this VM is at {home}"))
                .next("bring its datastore back, or drop the VM from the inventory with `cadenas vm unregister`")
        }
        HomeError::Descriptor { source: DescriptorError::UnknownVersion(_), .. } => {
            unfit(format!("VM {name} cannot be used here: {}", chain(error))).next("nothing was started or changed")
        }
        HomeError::Descriptor { .. } => unfit(format!("VM {name} cannot be used: {}", chain(error)))
            .next("nothing was started or changed; bring the VM home back from a copy that you trust"),
        _ => unfit(format!("the home of VM {name} cannot be used: {}", chain(error)))
            .next("see to its datastore, or drop the VM from the inventory with `cadenas vm unregister`"),
    }
}
