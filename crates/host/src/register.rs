//! VM homes that come to this host and go.

use std::path::Path;

use cadenas_api::{Problem, ProblemCode, Vm};
use cadenas_keys::VmId;
use cadenas_vmhome::VmHome;

use crate::{
    local::Inner,
    locate::Located,
    problem::{from_home, from_inventory},
};

impl Inner {
    /// Adds the VM home at `path` (folder or descriptor) to the inventory; nothing in the home is changed.
    pub(crate) fn register(&self, path: &Path) -> Result<Vm, Problem> {
        if !path.is_absolute() {
            return Err(Problem::new(ProblemCode::BadRequest, format!("the path {} is not absolute", path.display())));
        }
        let home = VmHome::open(path).map_err(|error| from_home(&error))?;
        let _claim = self.claim(home.vm())?;
        self.check_unclaimed(&home)?;
        self.inventory
            .add(home.vm(), home.name().as_str(), &home.descriptor_path())
            .map_err(|error| from_inventory(&error))?;
        self.vm(home.vm())
    }

    /// Refuses a home whose VM is already here from another place: two copies must not both run.
    fn check_unclaimed(&self, home: &VmHome) -> Result<(), Problem> {
        let taken = |what: String| Problem::new(ProblemCode::NameTaken, what);
        match self.locate(home.vm()) {
            Err(problem) if problem.code == ProblemCode::NoSuchVm => Ok(()),
            Err(problem) => Err(problem),
            Ok(Located::Home(known)) if known.path() == home.path() => Ok(()),
            Ok(Located::Home(known)) => {
                Err(taken(format!("VM {} is already registered, from {}", known.name(), known.path().display()))
                    .next(format!("unregister that one first: `cadenas vm unregister {}`", known.vm())))
            }
            Ok(Located::Unreadable(..)) => Ok(()),
            Ok(Located::Domain(domain)) => {
                Err(taken(format!("libvirt already has a domain with the ID of this VM: {}", domain.name))
                    .next("undefine that domain, or leave this copy unregistered"))
            }
        }
    }

    /// Drops a VM home from the inventory; its files stay. A running VM stays in it.
    pub(crate) fn unregister(&self, vm: VmId) -> Result<(), Problem> {
        let _claim = self.claim(vm)?;
        let name = match self.locate(vm)? {
            Located::Home(home) => home.name().to_string(),
            Located::Unreadable(entry, _) => entry.name,
            Located::Domain(domain) => {
                return Err(Problem::new(
                    ProblemCode::VmNotEncrypted,
                    format!("VM {} is a libvirt domain, which is always in the inventory", domain.name),
                )
                .next(format!("`virsh undefine {}` removes it from libvirt", domain.name)));
            }
        };
        if let Ok(Some(record)) = self.journal.find(vm) {
            return Err(crate::problem::interrupted(&record, &self.keys));
        }
        let state = self.power(vm)?;
        if !state.is_off() {
            return Err(Problem::new(ProblemCode::VmNotOff, format!("VM {name} is {state}, not off"))
                .next(format!("shut it down first: `cadenas vm shutdown {name}`")));
        }
        self.inventory.remove(vm).map_err(|error| from_inventory(&error))
    }
}
