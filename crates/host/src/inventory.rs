//! The VM homes that this host knows.
//!
//! While a VM is encrypted libvirt holds no definition of it, so the host remembers where its home is: one small file per
//! VM. An entry is made before the home is, so that no crash can leave a home that nobody knows.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use cadenas_keys::VmId;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// The entries, in a folder of their own.
#[derive(Debug)]
pub(crate) struct Inventory {
    folder: PathBuf,
}

/// One VM's home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    version: u32,
    /// The VM.
    pub(crate) vm: VmId,
    /// Its name when it was added, to be shown when the home cannot be read.
    pub(crate) name: String,
    /// Its home.
    pub(crate) home: PathBuf,
}

/// The inventory's folder cannot be read or written, or holds something that is not an entry.
#[derive(Debug, thiserror::Error)]
#[error("the host's inventory failed at {}", path.display())]
pub struct InventoryError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Inventory {
    /// Opens the inventory in `folder`, which is made (0700) if it is not there.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, InventoryError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| InventoryError { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// Every entry, by VM ID.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, InventoryError> {
        let files = self.files()?;
        let mut entries: Vec<Entry> =
            files.iter().filter_map(|file| read(file).transpose()).collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| entry.vm);
        Ok(entries)
    }

    /// Where the entries are. It changes with each that comes, is replaced or goes.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files of the entries, for [`read`].
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, InventoryError> {
        let failed = |source| InventoryError { path: self.folder.clone(), source };
        let mut files = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// The entry of one VM.
    pub(crate) fn entry(&self, vm: VmId) -> Result<Option<Entry>, InventoryError> {
        read(&self.path(vm))
    }

    /// Remembers a home, durably; an older entry of the VM is replaced.
    pub(crate) fn add(&self, vm: VmId, name: &str, home: &Path) -> Result<(), InventoryError> {
        let entry = Entry { version: VERSION, vm, name: name.to_owned(), home: home.to_owned() };
        let path = self.path(vm);
        self.write(&path, &entry).map_err(|source| InventoryError { path, source })
    }

    /// Forgets a VM's home; one that is not known is fine.
    pub(crate) fn remove(&self, vm: VmId) -> Result<(), InventoryError> {
        let path = self.path(vm);
        match fs::remove_file(&path).and_then(|()| self.flush()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| InventoryError { path, source }),
        }
    }

    fn path(&self, vm: VmId) -> PathBuf {
        self.folder.join(format!("{vm}.json"))
    }

    fn write(&self, path: &Path, entry: &Entry) -> io::Result<()> {
        let staged = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(&serde_json::to_vec_pretty(entry)?)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        self.flush()
    }

    fn flush(&self) -> io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// The entry in a file; `None` if the file is not there, or no more.
pub(crate) fn read(path: &Path) -> Result<Option<Entry>, InventoryError> {
    let failed = |source| InventoryError { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed)?,
    };
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    if entry.version != VERSION {
        return Err(failed(io::Error::other("it was written by a newer Cadenas")));
    }
    Ok(Some(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_reopening_and_are_forgotten_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let inventory = Inventory::open(folder.path().join("homes")).expect("opens");
        let vm = VmId::random();
        inventory.add(vm, "web01", Path::new("/vms/web01")).expect("added");
        let again = Inventory::open(folder.path().join("homes")).expect("opens");
        assert_eq!(again.entries().expect("readable")[0].home, Path::new("/vms/web01"));
        assert_eq!(again.entry(vm).expect("readable").expect("there").name, "web01");
        again.remove(vm).expect("removed");
        again.remove(vm).expect("nothing to remove");
        assert_eq!(again.entry(vm).expect("readable"), None);
    }

    #[test]
    fn a_newer_entry_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let inventory = Inventory::open(folder.path().to_owned()).expect("opens");
        let vm = VmId::random();
        inventory.add(vm, "web01", Path::new("/vms/web01")).expect("added");
        let path = inventory.path(vm);
        let text = fs::read_to_string(&path).expect("readable").replace("\"version\": 1", "\"version\": 2");
        fs::write(&path, text).expect("writable");
        let error = inventory.entry(vm).expect_err("newer");
        assert!(cadenas_api::chain(&error).contains("newer"), "{error}");
    }
}
