//! Making encrypted disks and the descriptor for them: what encrypt and deep recrypt share.

use std::path::{Path, PathBuf};

use cadenas_image::{Access, File, NewKey, Progress, Source, Target, Tuning, convert};
use cadenas_keys::{Dek, KeyId, KeySafe, ObjectName, ProviderId, VmId};
use cadenas_luks::MIN_ROUNDS;
use cadenas_secret::SecretBytes;
use uuid::Uuid;

use crate::{
    compare::same_data,
    concurrently::{concurrently, share},
    descriptor::{Descriptor, DescriptorError, DiskEntry, DiskFormat, Header},
    error::{Cause, Refusal},
    files::{self, FileError, Kind},
    home::VmHome,
    names::FileName,
    sealed::{Configuration, DiskConfiguration, MustSay, Original},
    transition::{Run, Staged},
};

/// A disk to be written encrypted into the home.
pub(crate) struct NewDisk<'a> {
    pub(crate) target: String,
    /// What is copied, plain or with its old DEK.
    pub(crate) source: Source<'a>,
    pub(crate) file: FileName,
    pub(crate) into: Target,
    pub(crate) original: Original,
}

/// What goes into the new descriptor besides the disks.
pub(crate) struct NewHome<'a> {
    pub(crate) policy: &'a str,
    /// RFC 3339.
    pub(crate) created: &'a str,
    pub(crate) domain_xml: &'a str,
    pub(crate) autostart: bool,
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
}

/// Writes the disks under fresh DEKs, makes the descriptor, and proves both by opening them again through it.
pub(crate) fn stage(run: &Run<'_>, home: &NewHome<'_>, disks: &[NewDisk<'_>]) -> Result<Staged, Cause> {
    begin_progress(run, disks.iter().map(|disk| &disk.source))?;
    let tuning = share(run.context.tuning, disks.len());
    let write = |disk: &NewDisk<'_>, progress: &dyn Progress| write_disk(&run.record.home, disk, &tuning, progress);
    let made = concurrently(disks, run.context.progress, write, || run.reached(run.phases().disk_staged))?;
    let descriptor = describe(run, home, &made)?;
    prove(run, &descriptor, disks)?;
    run.reached(run.phases().staged_verified);
    Ok(Staged::Descriptor(Box::new(descriptor)))
}

/// Tells the progress how much there is to do: every disk is copied, and the copy is compared.
pub(crate) fn begin_progress<'a>(run: &Run<'_>, sources: impl Iterator<Item = &'a Source<'a>>) -> Result<(), Cause> {
    let progress = run.context.progress;
    progress.begin(sources.map(|source| source.info().virtual_size.saturating_mul(2)).fold(0, u64::saturating_add));
    if progress.cancelled() { Err(Cause::Cancelled) } else { Ok(()) }
}

/// The progress of one disk among several: the total was told for all of them.
pub(crate) struct Part<'a>(pub(crate) &'a dyn Progress);

impl Progress for Part<'_> {
    fn begin(&self, _total_bytes: u64) {}

    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// An encrypted disk that was made, or will be, as the descriptor tells it.
pub(crate) struct NewEntry {
    pub(crate) target: String,
    pub(crate) file: FileName,
    pub(crate) original: Original,
    pub(crate) dek: Dek,
    pub(crate) must_say: MustSay,
}

fn write_disk(home: &Path, disk: &NewDisk<'_>, tuning: &Tuning, progress: &dyn Progress) -> Result<NewEntry, Cause> {
    let copy_failed = || Cause::copy(&disk.target);
    let dek = Dek::generate();
    let file = File::create_new(&home.join(&disk.file)).map_err(copy_failed())?;
    let passphrase = dek.luks_passphrase();
    let info = convert(&disk.source, &file, &disk.into, Some(new_key(&passphrase)), tuning, &Part(progress));
    let must_say =
        MustSay::of(&info.map_err(copy_failed())?).ok_or_else(|| Cause::CopyDiffers { target: disk.target.clone() })?;
    let (target, file, original) = (disk.target.clone(), disk.file.clone(), disk.original.clone());
    Ok(NewEntry { target, file, original, dek, must_say })
}

/// The key slot of a DEK. That is 256 random bits: more rounds would only make starting slower.
pub(crate) fn new_key(passphrase: &SecretBytes) -> NewKey<'_> {
    NewKey { passphrase, rounds: MIN_ROUNDS, uuid: random_uuid() }
}

fn random_uuid() -> Uuid {
    VmId::random().uuid()
}

pub(crate) fn describe(run: &Run<'_>, home: &NewHome<'_>, made: &[NewEntry]) -> Result<Descriptor, Cause> {
    let (keyring, vm) = (run.context.keyring, run.record.vm);
    let objects: Vec<_> = made
        .iter()
        .map(|made| ObjectName::disk(&made.target))
        .collect::<Result<_, _>>()
        .map_err(DescriptorError::Target)?;
    let header = Header {
        vm,
        name: run.record.name.clone(),
        policy: home.policy.to_owned(),
        created: home.created.to_owned(),
        disks: made.iter().zip(&objects).map(|(made, object)| entry(made, object)).collect(),
    };
    let configuration = Configuration {
        domain_xml: home.domain_xml.to_owned(),
        autostart: home.autostart,
        disks: made.iter().map(sealed).collect(),
    };
    let (object, dek) = (ObjectName::configuration(), Dek::generate());
    let deks = objects.iter().zip(made.iter().map(|made| &made.dek)).chain([(&object, &dek)]);
    let entries: Result<Vec<_>, _> =
        deks.map(|(object, dek)| keyring.wrap(home.provider, home.key, vm, object, dek)).collect();
    let key_safe = KeySafe::new(entries?).map_err(|error| DescriptorError::Twice(error.object.to_string()))?;
    let configuration = configuration.seal(&header, &dek);
    Ok(Descriptor::new(header, key_safe, configuration)?)
}

fn entry(made: &NewEntry, object: &ObjectName) -> DiskEntry {
    DiskEntry {
        target: made.target.clone(),
        path: made.file.clone(),
        format: made.must_say.format,
        luks_uuid: made.must_say.luks_uuid,
        dek: object.clone(),
    }
}

fn sealed(made: &NewEntry) -> DiskConfiguration {
    DiskConfiguration { target: made.target.clone(), must_say: made.must_say.clone(), original: made.original.clone() }
}

/// Opens everything as a later start will, from the bytes of the descriptor, and compares the data.
fn prove(run: &Run<'_>, descriptor: &Descriptor, disks: &[NewDisk<'_>]) -> Result<(), Cause> {
    let read_back = Descriptor::parse(&descriptor.to_bytes())?;
    let home = VmHome::in_folder(run.record.home.clone(), run.record.descriptor.clone(), read_back);
    let unlocked = home.unlock(run.context.keyring)?;
    for (copy, disk) in unlocked.disks.iter().zip(disks) {
        let file = copy.file(Access::Read)?;
        if !same_data(&disk.source, &copy.source(&file)?, &Part(run.context.progress))
            .map_err(Cause::copy(&disk.target))?
        {
            return Err(Cause::CopyDiffers { target: disk.target.clone() });
        }
    }
    Ok(())
}

/// `vda.qcow2`, or `vda.2.qcow2` and so on: the first that is not in the home.
pub(crate) fn unused_name(home: &Path, target: &str, format: DiskFormat) -> Result<FileName, FileError> {
    let mut name = disk_name(target, None, format);
    let mut number = 2_u32;
    while files::exists(&home.join(&name))? {
        name = disk_name(target, Some(number), format);
        number += 1;
    }
    Ok(name.parse().expect("a target that was checked gives a file name"))
}

fn disk_name(target: &str, number: Option<u32>, format: DiskFormat) -> String {
    match number {
        None => format!("{target}.{format}"),
        Some(number) => format!("{target}.{number}.{format}"),
    }
}

/// Refuses if a folder's file system has less free than this and a margin. The folder need not exist yet.
pub(crate) fn require_space(folder: &Path, needed: u64) -> Result<(), Refusal> {
    /// For descriptor, journal, and what a file system itself takes.
    const MARGIN: u64 = 16 << 20;
    let folder = if Kind::of(folder)? == Kind::Folder { folder } else { files::parent(folder) };
    let (needed, free) = (needed.saturating_add(MARGIN), files::free_bytes(folder)?);
    if free < needed {
        return Err(Refusal::NoSpace { folder: folder.to_owned(), needed, free });
    }
    Ok(())
}

/// The paths of the disks that will be made.
pub(crate) fn staged_paths(home: &Path, files: &[FileName]) -> Vec<PathBuf> {
    files.iter().map(|file| home.join(file)).collect()
}
