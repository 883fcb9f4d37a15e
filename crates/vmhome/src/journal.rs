//! The journal: one small record per VM that says what a transition under way has made and will remove.
//!
//! It lies in a folder of the host's own (mode 0700), not on the datastore, which is not trusted. It is written before
//! anything is staged and removed when nothing is left to do; a crash in between is settled from it (see [`crate::repair()`]).

use std::{
    collections::BTreeSet,
    fmt, fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use cadenas_keys::{KeyId, ProviderId, VmId};
use serde::{Deserialize, Serialize};

use crate::{
    descriptor::Identity,
    files::{self, FileError, ReadError},
    names::{FileName, VmName},
    wipe::Wipe,
};

/// The records of one host.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

/// A transition that rewrites disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transition {
    /// From plain disks to a VM home.
    Encrypt,
    /// From a VM home to plain disks.
    Decrypt,
    /// To new DEKs and volume keys.
    DeepRecrypt,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "encryption",
            Self::Decrypt => "decryption",
            Self::DeepRecrypt => "deep recrypt",
        })
    }
}

/// What a transition has made and will remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u64,
    pub(crate) vm: VmId,
    pub(crate) name: VmName,
    pub(crate) transition: Transition,
    /// The VM home, absolute.
    pub(crate) home: PathBuf,
    /// Whether the transition makes that folder.
    pub(crate) home_created: bool,
    /// The descriptor's name in the home.
    pub(crate) descriptor: FileName,
    /// Which descriptor had that name before.
    pub(crate) before: Option<Identity>,
    /// Which descriptor is the commit; known from the announcement on. A decryption puts the one that was there aside.
    pub(crate) after: Option<Identity>,
    /// Disks that the transition makes.
    pub(crate) staged: Vec<PathBuf>,
    /// Disks that it removes after the commit.
    pub(crate) obsolete: Vec<Obsolete>,
    /// Where a decryption puts the staged disks after the commit.
    pub(crate) placements: Vec<Placement>,
    /// What a decryption gives back to the hypervisor; known from the announcement on.
    pub(crate) definition: Option<PlainDefinition>,
    /// What happens to plain disks before they are removed.
    #[serde(default = "only_removed")]
    pub(crate) wipe: Wipe,
    /// The disks that are rewritten where they lie, if they are not copied.
    #[serde(default)]
    pub(crate) rewrite: Option<Rewrite>,
}

/// As the version before did.
fn only_removed() -> Wipe {
    Wipe::None
}

/// Disks that a transition rewrites in place. From the announcement on they are on their way to the new form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewrite {
    pub(crate) disks: Vec<Rewritten>,
    /// Whether they go back to the old form: it failed or was cancelled.
    pub(crate) going_back: bool,
    /// The keys without which no disk can go on or back, to be told when they are not here.
    pub(crate) keys: Vec<(ProviderId, KeyId)>,
}

/// A disk that is rewritten in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewritten {
    pub(crate) target: String,
    /// Where it lies before: at its place in the home already, if the VM is encrypted.
    pub(crate) old_path: PathBuf,
    /// Where it lies while it is rewritten.
    pub(crate) new_path: PathBuf,
    /// The journal of its rewrite.
    pub(crate) journal: PathBuf,
}

/// A disk that is removed after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Obsolete {
    pub(crate) path: PathBuf,
    /// How a plain disk looked when it was read: if it looks different later, somebody used it, and it is not removed.
    pub(crate) seen: Option<Seen>,
}

/// What tells that a file was not written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    inode: u64,
    len: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

impl Seen {
    /// How the file looks now; `None` if it is not there.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, FileError> {
        if !files::exists(path)? {
            return Ok(None);
        }
        let metadata = fs::symlink_metadata(path).map_err(FileError::on("looking at", path))?;
        Ok(Some(Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: metadata.mtime_nsec(),
        }))
    }
}

/// A plain disk on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Placement {
    pub(crate) staged: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A domain's plain definition.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainDefinition {
    pub(crate) xml: String,
    pub(crate) autostart: bool,
}

impl fmt::Debug for PlainDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainDefinition(..)")
    }
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// An earlier transition of this VM is not settled.
    #[error("an interrupted {transition} of VM {name} must be finished or undone first")]
    Pending {
        /// The VM.
        name: VmName,
        /// What was interrupted.
        transition: Transition,
    },
    /// A record of another version.
    #[error("the record {} has version {version}, which is unknown here: finish with the newer Cadenas that made it", .path.display())]
    UnknownVersion {
        /// The record.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// A record that is not one.
    #[error("the record {} is damaged; nothing that it names was touched", .path.display())]
    Malformed {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A path in it is not UTF-8.
    #[error("a path of this VM is not UTF-8, which the journal cannot hold; rename it")]
    NotUtf8(#[source] serde_json::Error),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<FileError> for JournalError {
    fn from(error: FileError) -> Self {
        Self::Read(error.into())
    }
}

impl Journal {
    /// Opens the journal in this folder, and makes the folder (0700) if it is not there.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(FileError::on("creating the folder", folder))?;
        let folder = files::absolute(folder)?;
        files::sync_folder(files::parent(&folder))?;
        Ok(Self { folder })
    }

    /// Every record, or why it cannot be read; none if nothing was interrupted.
    pub fn pending(&self) -> Result<Vec<Result<Record, JournalError>>, JournalError> {
        Ok(self.vms()?.into_iter().filter_map(|vm| self.find(vm).transpose()).collect())
    }

    /// The VMs that have a record; none is read.
    pub fn vms(&self) -> Result<BTreeSet<VmId>, JournalError> {
        let failed = || FileError::on("listing", &self.folder);
        let mut vms = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            vms.extend(name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.parse::<VmId>().ok()));
        }
        Ok(vms)
    }

    /// The record of one VM, if a transition of it was interrupted.
    pub fn find(&self, vm: VmId) -> Result<Option<Record>, JournalError> {
        let path = self.path(vm);
        let Some(bytes) = files::read_small(&path, MAX_RECORD_BYTES)? else { return Ok(None) };
        Record::parse(&bytes, &path).map(Some)
    }

    /// Refuses a VM of which something is interrupted: what its files are, only the settling knows.
    pub(crate) fn must_be_settled(&self, vm: VmId) -> Result<(), JournalError> {
        match self.find(vm)? {
            Some(pending) => Err(JournalError::Pending { name: pending.name, transition: pending.transition }),
            None => Ok(()),
        }
    }

    /// Writes the first form of a record, unless the VM has one.
    pub(crate) fn begin(&self, record: &Record) -> Result<(), JournalError> {
        self.must_be_settled(record.vm)?;
        self.update(record).inspect_err(|_| {
            // Nothing was made yet: a record that may be there after all would only stand in the way.
            drop(self.clear(record));
        })
    }

    /// Replaces the record in one step.
    pub(crate) fn update(&self, record: &Record) -> Result<(), JournalError> {
        let (path, staged) = (self.path(record.vm), self.folder.join(format!(".{}{EXTENSION}.new", record.vm)));
        files::write_staged(&staged, &serde_json::to_vec_pretty(record).map_err(JournalError::NotUtf8)?)?;
        files::rename_over(&staged, &path)?;
        Ok(files::sync_folder(&self.folder)?)
    }

    /// Drops a record; nothing is left to do for it.
    pub(crate) fn clear(&self, record: &Record) -> Result<(), JournalError> {
        files::remove(&self.path(record.vm))?;
        Ok(files::sync_folder(&self.folder)?)
    }

    pub(crate) fn path(&self, vm: VmId) -> PathBuf {
        self.folder.join(format!("{vm}{EXTENSION}"))
    }
}

const EXTENSION: &str = ".json";
/// Version 1 knew neither rewriting in place nor wiping.
const RECORD_VERSION: u64 = 2;
const OLDEST_VERSION: u64 = 1;
/// Holds a domain's XML at most twice, escaped.
const MAX_RECORD_BYTES: u64 = 64 << 20;

impl Record {
    /// A transition that has made nothing yet.
    pub(crate) fn new(vm: VmId, name: VmName, transition: Transition, home: PathBuf, descriptor: FileName) -> Self {
        Self {
            version: RECORD_VERSION,
            vm,
            name,
            transition,
            home,
            home_created: false,
            descriptor,
            before: None,
            after: None,
            staged: Vec::new(),
            obsolete: Vec::new(),
            placements: Vec::new(),
            definition: None,
            wipe: Wipe::None,
            rewrite: None,
        }
    }

    /// The VM.
    #[must_use]
    pub fn vm(&self) -> VmId {
        self.vm
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &VmName {
        &self.name
    }

    /// What was interrupted.
    #[must_use]
    pub fn transition(&self) -> Transition {
        self.transition
    }

    /// The VM home, absolute.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The descriptor's path in the home.
    #[must_use]
    pub fn descriptor_path(&self) -> PathBuf {
        self.home.join(&self.descriptor)
    }

    /// Whether disks are rewritten where they lie, which may take long to finish or to undo.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.rewrite.is_some()
    }

    /// The keys without which a rewrite in place can neither go on nor back.
    #[must_use]
    pub fn keys(&self) -> &[(ProviderId, KeyId)] {
        self.rewrite.as_ref().map_or(&[], |rewrite| &rewrite.keys)
    }

    /// The name that a new descriptor has before the commit.
    pub(crate) fn staged_descriptor(&self) -> PathBuf {
        self.home.join(self.descriptor.staged())
    }

    /// The name that the old descriptor has after the commit of a decryption.
    pub(crate) fn retired_descriptor(&self) -> PathBuf {
        self.home.join(self.descriptor.retired())
    }

    /// The record of disks that shall be what they were.
    pub(crate) fn going_back(&self) -> Self {
        let rewrite = self.rewrite.clone().map(|rewrite| Rewrite { going_back: true, ..rewrite });
        Self { rewrite, ..self.clone() }
    }

    /// The record after the plain disks were seen to be as they had been copied.
    pub(crate) fn without_looks(&self) -> Self {
        let seen_before = |obsolete: &Obsolete| Obsolete { path: obsolete.path.clone(), seen: None };
        Self { obsolete: self.obsolete.iter().map(seen_before).collect(), ..self.clone() }
    }

    /// The record without its announcement.
    pub(crate) fn retracted(&self) -> Self {
        Self { after: None, definition: None, ..self.clone() }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let malformed = |source| JournalError::Malformed { path: path.to_owned(), source };
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if !(OLDEST_VERSION..=RECORD_VERSION).contains(&version) {
            return Err(JournalError::UnknownVersion { path: path.to_owned(), version });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let name: VmName = "web01".parse().expect("a name");
        let descriptor = name.descriptor();
        Record::new(VmId::random(), name, Transition::Encrypt, "/home/of/web01".into(), descriptor)
    }

    #[test]
    fn a_record_is_found_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(&folder.path().join("journal")).expect("opened");
        let mut record = record();
        journal.begin(&record).expect("written");
        assert!(matches!(journal.begin(&record), Err(JournalError::Pending { .. })));
        record.staged.push("/home/of/web01/vda.qcow2".into());
        journal.update(&record).expect("replaced");
        assert_eq!(journal.find(record.vm).expect("read"), Some(record.clone()));
        assert_eq!(journal.pending().expect("listed").len(), 1);
        journal.clear(&record).expect("cleared");
        journal.clear(&record).expect("cleared again");
        assert!(journal.pending().expect("listed").is_empty());
    }

    #[test]
    fn a_damaged_record_and_one_of_a_newer_version_are_named_and_hide_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(folder.path()).expect("opened");
        let records = [(); 3].map(|()| record());
        for record in &records {
            journal.begin(record).expect("written");
        }
        fs::write(journal.path(records[0].vm), "{").expect("damaged");
        fs::write(journal.path(records[1].vm), r#"{"version": 3}"#).expect("replaced");
        let pending = journal.pending().expect("listed");
        assert_eq!(pending.iter().filter(|record| record.is_ok()).count(), 1);
        assert!(matches!(journal.find(records[0].vm), Err(JournalError::Malformed { .. })));
        assert!(matches!(journal.find(records[1].vm), Err(JournalError::UnknownVersion { version: 3, .. })));
    }

    #[test]
    fn a_record_of_the_version_before_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(&folder.path().join("journal")).expect("opened");
        let record = record();
        let mut old = serde_json::to_value(&record).expect("JSON");
        let fields = old.as_object_mut().expect("an object");
        fields.remove("wipe");
        fields.remove("rewrite");
        fields.insert("version".to_owned(), 1.into());
        fs::write(journal.path(record.vm), old.to_string()).expect("written");
        let found = journal.find(record.vm).expect("readable").expect("there");
        assert_eq!((found.wipe, found.rewrite), (Wipe::None, None));
    }

    #[test]
    fn the_folder_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        Journal::open(&path).expect("opened");
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o700);
    }
}
