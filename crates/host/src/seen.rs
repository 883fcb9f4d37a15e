//! What the VM homes showed when all VMs were last listed: a home that nothing changed since is not opened again.
//!
//! A view is made of files (the inventory's entry, the descriptor, the headers of disks) and of which keys are here. It counts
//! as long as every file has the same [`Stamp`] and the keys are as it says. What else a listing shows, whether the VM runs and
//! what a crash interrupted, is no part of it. A view that has a problem is none: it is looked at anew each time.
//!
//! The inventory is the host's own, and an entry gets there and leaves by its name alone: as long as its folder has the same
//! stamp, every entry has.
//!
//! Only what a [`Vm`] shows is kept, no key and no configuration; and only of the VMs that the last listing had.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cadenas_api::{ProviderRef, Vm};
use cadenas_keys::KeyRing;

use crate::{
    inventory::{Inventory, InventoryError},
    stamp::Stamp,
};

/// The last listing.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Arc<Listing>>);

#[derive(Debug, Default)]
struct Listing {
    /// The inventory's folder before its files were listed.
    folder: Option<Stamp>,
    views: Vec<Arc<View>>,
}

/// An entry of the inventory.
#[derive(Debug)]
pub(crate) enum Known {
    /// Its file only.
    File(PathBuf),
    /// What it showed; the entry is the same.
    View(Arc<View>),
}

/// What an entry of the inventory showed.
#[derive(Debug)]
pub(crate) struct View {
    /// The entry's own file.
    entry: PathBuf,
    /// All files that the view is made of, the entry's first; `None` if it cannot be shown again.
    files: Option<Vec<(PathBuf, Stamp)>>,
    vm: Vm,
}

/// The files that a view is made of as it comes about; `None` if they would not tell a later change.
#[derive(Debug)]
pub(crate) struct Sources(Option<Vec<(PathBuf, Stamp)>>);

impl Seen {
    /// The entries of the inventory, in the last listing's order as far as it had them; and its folder as it was before, for
    /// [`Self::replace`].
    pub(crate) fn entries(&self, inventory: &Inventory) -> Result<(Option<Stamp>, Vec<Known>), InventoryError> {
        let last = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let folder = Stamp::of(inventory.folder());
        if folder.is_some() && folder == last.folder {
            return Ok((folder, last.views.iter().cloned().map(Known::View).collect()));
        }
        let views: HashMap<&Path, &Arc<View>> = last.views.iter().map(|view| (&*view.entry, view)).collect();
        let known = |file: PathBuf| match views.get(&*file).filter(|view| view.entry_is_the_same()) {
            Some(view) => Known::View(Arc::clone(view)),
            None => Known::File(file),
        };
        Ok((folder, inventory.files()?.into_iter().map(known).collect()))
    }

    /// What this listing saw, in the place of all that was seen before.
    pub(crate) fn replace(&self, folder: Option<Stamp>, views: Vec<Arc<View>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Listing { folder, views });
    }
}

impl Known {
    /// The entry's file.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::View(view) => &view.entry,
        }
    }

    /// What it showed, if its home and the keys are still so.
    pub(crate) fn view(&self, keys: &KeyRing) -> Option<&Arc<View>> {
        match self {
            Self::View(view) if view.home_is_the_same() && view.keys_are_as_shown(keys) => Some(view),
            _ => None,
        }
    }
}

impl View {
    /// The VM, with the power that it had then, and as if nothing had been interrupted.
    pub(crate) fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Whether it was not only for the listing that looked.
    pub(crate) fn may_be_shown_again(&self) -> bool {
        self.files.is_some()
    }

    fn entry_is_the_same(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.iter().take(1).all(is_the_same))
    }

    fn home_is_the_same(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.iter().skip(1).all(is_the_same))
    }

    /// The keys that the VM is shown to lack are not here, and the others are: those very ones, which opened it.
    fn keys_are_as_shown(&self, keys: &KeyRing) -> bool {
        let lacks = |used: &ProviderRef| {
            self.vm.missing_keys.iter().any(|missing| (missing.provider, missing.key) == (used.id, used.key))
        };
        self.vm
            .providers
            .iter()
            .all(|used| keys.fingerprint(used.id, used.key) == (!lacks(used)).then_some(used.fingerprint))
    }
}

impl Sources {
    /// None yet.
    pub(crate) const fn none() -> Self {
        Self(Some(Vec::new()))
    }

    /// Adds a file that is about to be read. One that is here already stays as it was before it was read first.
    pub(crate) fn add(&mut self, path: &Path) {
        let Some(files) = &mut self.0 else { return };
        if files.iter().all(|(known, _)| known != path) {
            match Stamp::of(path) {
                Some(stamp) => files.push((path.to_owned(), stamp)),
                None => self.doubt(),
            }
        }
    }

    /// Something that is shown does not come from these files, or the next look may find what this one did not.
    pub(crate) fn doubt(&mut self) {
        self.0 = None;
    }

    /// The view of a VM that all this showed.
    pub(crate) fn view(self, entry: &Path, vm: Vm) -> View {
        View { entry: entry.to_owned(), files: self.0.filter(|_| vm.problem.is_none()), vm }
    }
}

fn is_the_same((path, stamp): &(PathBuf, Stamp)) -> bool {
    Stamp::of(path) == Some(*stamp)
}
