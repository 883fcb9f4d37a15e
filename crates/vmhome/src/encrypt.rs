//! Encrypt: from plain disks and a libvirt definition to a VM home.

use std::{
    fmt,
    fs::{self, Metadata},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use cadenas_image::{
    Access, File, Format, ImageInfo, Storage as _, Target, in_place::Change, inspect, open_source_as, space_needed,
    usage,
};
use cadenas_keys::{Dek, KeyId, KeyMissing, ObjectName, ProviderId, VmId};
use cadenas_secret::SecretBytes;

use crate::{
    descriptor::{DescriptorError, DiskFormat},
    error::{Cause, PlainDiskProblem, Refusal, TransitionError},
    files::{self, FileError, Kind},
    journal::{Obsolete, Record, Seen, Transition},
    locks::{ClaimError, Claims},
    method::{Made, Method, bitmaps_of},
    names::{FileName, VmName},
    prepare::{Candidate, extra, prepare, rewrite},
    sealed::{MustSay, Original, PlainImage},
    staging::{self, NewDisk, NewEntry, NewHome, new_key, require_space, staged_paths, unused_name},
    steps::Step,
    transition::{Context, Done, Run, Staged},
    wipe::Wipe,
};

/// What is to be encrypted, and how. The caller has made sure that the VM is off and that provider and policy allow it.
pub struct EncryptPlan {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: VmName,
    /// The policy that asks for it.
    pub policy: String,
    /// Now, in RFC 3339.
    pub created: String,
    /// The VM home: a folder that does not exist yet, in one that does, or an empty folder.
    pub home: PathBuf,
    /// The domain's definition, with what libvirt calls secure information.
    pub domain_xml: String,
    /// Whether libvirt starts the domain with the host.
    pub autostart: bool,
    /// The disks to encrypt; others stay plain.
    pub disks: Vec<PlainDisk>,
    /// The provider …
    pub provider: ProviderId,
    /// … and the version of its key that wraps the DEKs.
    pub key: KeyId,
    /// Whether the disks are copied or rewritten where they lie.
    pub method: Method,
    /// What happens to the plain disks before they are removed, after a copy.
    pub wipe: Wipe,
}

/// A plain disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainDisk {
    /// libvirt's target: `vda`.
    pub target: String,
    /// Its file.
    pub path: PathBuf,
    /// What the domain says it is. The image itself is never asked: a guest writes what it likes into a raw disk.
    pub format: PlainFormat,
    /// What it becomes; by default qcow2 unless it is raw without holes.
    pub into: Option<DiskFormat>,
}

/// The driver type of a plain disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainFormat {
    /// `<driver type='raw'/>`.
    Raw,
    /// `<driver type='qcow2'/>`.
    Qcow2,
}

/// Encrypts. Until its commit the plain VM is whole, from it on the encrypted one; see the crate's documentation.
///
/// In place it is neither from its announcement on, until it has come to its end or was taken back: see [`crate::repair()`].
pub fn encrypt(plan: &EncryptPlan, context: Context<'_>) -> Result<Made, TransitionError> {
    if !context.keyring.has(plan.provider, plan.key) {
        return Err(Refusal::from(KeyMissing { provider: plan.provider, key: plan.key }).into());
    }
    let in_place = || in_place(plan, context).map(|done| (done, Vec::new()));
    let ((done, dropped_bitmaps), in_place) = plan.method.run(|| by_copy(plan, context), in_place)?;
    Ok(Made { home: done.home.expect("an encryption makes a descriptor"), in_place, dropped_bitmaps })
}

/// Whether plain disks could be encrypted, as far as can be told without keeping anybody out of them meanwhile.
///
/// # Errors
/// What [`encrypt()`] would refuse them for.
pub fn foresee(disks: &[PlainDisk]) -> Result<(), Refusal> {
    disks.iter().try_for_each(|disk| {
        let path = files::absolute(&disk.path)?;
        let refused = |problem| Refusal::PlainDisk { target: disk.target.clone(), path: path.clone(), problem };
        let file = open_plain(disk, &path, Access::Read, refused)?;
        check_file(disk, &file, refused).map(drop)
    })
}

fn by_copy(plan: &EncryptPlan, context: Context<'_>) -> Result<(Done, Vec<String>), TransitionError> {
    let mut claims = Claims::default();
    let (home, exists) = check_home(plan, context)?;
    let disks = check_disks(plan, &home, &mut claims, Access::Read)?;
    let needed = disks.iter().map(|disk| disk.needed).fold(0, u64::saturating_add);
    require_space(&home, needed)?;
    let mut record = record(plan, home, exists);
    let names: Vec<_> = disks.iter().map(|disk| disk.name.clone()).collect();
    record.staged = staged_paths(&record.home, &names);
    record.obsolete =
        disks.iter().map(|disk| Obsolete { path: disk.file.path().to_owned(), seen: disk.seen }).collect();
    let bitmaps = disks.iter().flat_map(|disk| disk.bitmaps.iter().cloned()).collect();
    let run = Run { context, record, claims };
    let done = run.run(|run| {
        make_home(run)?;
        let disks = disks.iter().map(new_disk).collect::<Result<Vec<_>, _>>()?;
        staging::stage(run, &plan.new_home(), &disks)
    })?;
    Ok((done, bitmaps))
}

fn in_place(plan: &EncryptPlan, context: Context<'_>) -> Result<Done, TransitionError> {
    let mut claims = Claims::default();
    let (home, exists) = check_home(plan, context)?;
    let disks = check_disks(plan, &home, &mut claims, Access::Write)?;
    disks.iter().try_for_each(|disk| check_stays(disk, &home))?;
    let keys: Vec<_> = disks.iter().map(|_| Dek::generate()).collect();
    let passphrases: Vec<_> = keys.iter().map(Dek::luks_passphrase).collect();
    let candidates: Vec<_> = disks.iter().zip(&passphrases).map(|(disk, key)| candidate(disk, key)).collect();
    require_space(&home, extra(&candidates)?)?;
    let mut record = record(plan, home, exists);
    let moves =
        disks.iter().map(|disk| (disk.target.clone(), disk.file.path().to_owned(), record.home.join(&disk.name)));
    let rewrite = rewrite(moves, vec![(plan.provider, plan.key)]).map_err(Refusal::from)?;
    record.staged = rewrite.disks.iter().map(|disk| disk.journal.clone()).collect();
    record.rewrite = Some(rewrite);
    let run = Run { context, record, claims };
    run.run(|run| {
        make_home(run)?;
        let infos = prepare(run, &candidates)?;
        let entries = disks.iter().zip(keys).zip(&infos).map(|((disk, dek), info)| new_entry(disk, dek, info));
        let descriptor = staging::describe(run, &plan.new_home(), &entries.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Staged::Descriptor(Box::new(descriptor)))
    })
}

/// A disk is moved into the home, which another file system would make a copy of.
fn check_stays(disk: &Checked, home: &Path) -> Result<(), Refusal> {
    let path = disk.file.path();
    let refused = |problem| Refusal::PlainDisk { target: disk.target.clone(), path: path.to_owned(), problem };
    let folder = if Kind::of(home)? == Kind::Folder { home } else { files::parent(home) };
    let device =
        |path: &Path| fs::symlink_metadata(path).map(|found| found.dev()).map_err(FileError::on("looking at", path));
    if device(path)? != device(folder)? {
        return Err(refused(PlainDiskProblem::OtherFileSystem));
    }
    if disk.format == Format::Qcow2 && disk.into.format() != Format::Qcow2 {
        return Err(refused(PlainDiskProblem::StaysQcow2));
    }
    Ok(())
}

fn candidate<'a>(disk: &'a Checked, passphrase: &'a SecretBytes) -> Candidate<'a> {
    Candidate {
        target: &disk.target,
        file: &disk.file,
        format: disk.format,
        change: Change::Encrypt { into: disk.into.format(), key: new_key(passphrase) },
    }
}

fn new_entry(disk: &Checked, dek: Dek, info: &ImageInfo) -> Result<NewEntry, Cause> {
    let must_say = MustSay::of(info).ok_or_else(|| Cause::CopyDiffers { target: disk.target.clone() })?;
    Ok(NewEntry {
        target: disk.target.clone(),
        file: disk.name.clone(),
        original: disk.original.clone(),
        dek,
        must_say,
    })
}

impl fmt::Debug for EncryptPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The definition may hold secrets.
        f.debug_struct("EncryptPlan").field("vm", &self.vm).field("home", &self.home).finish_non_exhaustive()
    }
}

impl EncryptPlan {
    fn new_home(&self) -> NewHome<'_> {
        NewHome {
            policy: &self.policy,
            created: &self.created,
            domain_xml: &self.domain_xml,
            autostart: self.autostart,
            provider: self.provider,
            key: self.key,
        }
    }
}

/// A disk that passed the checks, locked.
struct Checked {
    target: String,
    file: File,
    format: Format,
    needed: u64,
    seen: Option<Seen>,
    original: Original,
    into: Target,
    name: FileName,
    bitmaps: Vec<String>,
}

/// The home's absolute path, and whether it is there already, empty.
fn check_home(plan: &EncryptPlan, context: Context<'_>) -> Result<(PathBuf, bool), Refusal> {
    context.journal.must_be_settled(plan.vm)?;
    let home = files::absolute(&plan.home)?;
    match Kind::of(&home)? {
        Kind::Nothing => Ok((home, false)),
        Kind::Folder => {
            let mut entries = fs::read_dir(&home).map_err(FileError::on("listing", &home))?;
            if entries.next().is_some() { Err(Refusal::HomeNotEmpty(home)) } else { Ok((home, true)) }
        }
        other => Err(Refusal::HomeNotAFolder { path: home, kind: other.words() }),
    }
}

fn check_disks(plan: &EncryptPlan, home: &Path, claims: &mut Claims, access: Access) -> Result<Vec<Checked>, Refusal> {
    let mut checked: Vec<Checked> = Vec::with_capacity(plan.disks.len());
    for disk in &plan.disks {
        let path = files::absolute(&disk.path)?;
        let refused = |problem| Refusal::PlainDisk { target: disk.target.clone(), path: path.clone(), problem };
        ObjectName::disk(&disk.target).map_err(|source| bad_target(plan, source))?;
        if let Some(same) = checked.iter().find(|other| other.file.path() == path) {
            return Err(refused(PlainDiskProblem::Repeated(same.target.clone())));
        }
        if checked.iter().any(|other| other.target == disk.target) {
            let source = DescriptorError::Twice(disk.target.clone());
            return Err(Refusal::Descriptor { name: plan.name.clone(), source });
        }
        checked.push(check_disk(disk, &path, home, (claims, access), refused)?);
    }
    Ok(checked)
}

fn bad_target(plan: &EncryptPlan, source: cadenas_keys::NotAnObjectName) -> Refusal {
    Refusal::Descriptor { name: plan.name.clone(), source: DescriptorError::Target(source) }
}

fn check_disk(
    disk: &PlainDisk,
    path: &Path,
    home: &Path,
    (claims, access): (&mut Claims, Access),
    refused: impl Fn(PlainDiskProblem) -> Refusal,
) -> Result<Checked, Refusal> {
    let file = open_plain(disk, path, access, &refused)?;
    claims.image(&file).map_err(ClaimError::from)?;
    let (metadata, info) = check_file(disk, &file, &refused)?;
    if info.snapshots > 0 && access == Access::Read {
        return Err(refused(PlainDiskProblem::Snapshots(info.snapshots)));
    }
    let unreadable = |source| Refusal::Image { target: disk.target.clone(), source };
    let original = Original {
        path: path.to_str().ok_or_else(|| refused(PlainDiskProblem::NotUtf8))?.to_owned(),
        image: plain_image(&info, metadata.len()),
        mode: metadata.permissions().mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    };
    let usage = usage(&file, &info).map_err(unreadable)?;
    // Of the file, not of the disk: what pads a raw disk to a whole sector is no hole.
    let has_holes = file.next_data(0).map_err(FileError::on("looking for holes in", path))? != Some(0..metadata.len());
    let (format, target) = encrypted_format(disk, &info, has_holes);
    Ok(Checked {
        target: disk.target.clone(),
        format: info.format,
        seen: Seen::at(path)?,
        original,
        needed: space_needed(&info, &usage, &target),
        into: target,
        name: unused_name(home, &disk.target, format)?,
        bitmaps: bitmaps_of(&disk.target, &info).collect(),
        file,
    })
}

fn open_plain(
    disk: &PlainDisk,
    path: &Path,
    access: Access,
    refused: impl Fn(PlainDiskProblem) -> Refusal,
) -> Result<File, Refusal> {
    match Kind::of(path)? {
        Kind::File => File::open(path, access).map_err(|source| Refusal::Image { target: disk.target.clone(), source }),
        other => Err(refused(PlainDiskProblem::NotAFile(other.words()))),
    }
}

fn check_file(
    disk: &PlainDisk,
    file: &File,
    refused: impl Fn(PlainDiskProblem) -> Refusal,
) -> Result<(Metadata, ImageInfo), Refusal> {
    let metadata = fs::symlink_metadata(file.path()).map_err(FileError::on("looking at", file.path()))?;
    if metadata.nlink() > 1 {
        return Err(refused(PlainDiskProblem::HardLinked(metadata.nlink())));
    }
    let info = inspect(file).map_err(|source| Refusal::Image { target: disk.target.clone(), source })?;
    check_image(disk.format, &info).map_err(refused)?;
    Ok((metadata, info))
}

/// The image must be what the domain says. A raw disk into which its guest wrote another format's first bytes is refused,
/// not taken for that format.
fn check_image(said: PlainFormat, info: &ImageInfo) -> Result<(), PlainDiskProblem> {
    let said = match said {
        PlainFormat::Raw => Format::Raw,
        PlainFormat::Qcow2 => Format::Qcow2,
    };
    if info.encryption.is_some() {
        return Err(PlainDiskProblem::Encrypted);
    }
    if info.format != said {
        let words = if said == Format::Raw { "raw" } else { "qcow2" };
        return Err(PlainDiskProblem::WrongFormat { said: words, found: info.format.to_string() });
    }
    if let Some(backing_file) = &info.backing_file {
        return Err(PlainDiskProblem::BackingFile(backing_file.clone()));
    }
    if info.data_file.is_some() {
        return Err(PlainDiskProblem::DataFile);
    }
    Ok(())
}

fn plain_image(info: &ImageInfo, len: u64) -> PlainImage {
    match info.cluster_size {
        Some(cluster_size) => PlainImage::Qcow2 { cluster_size },
        None => PlainImage::Raw { len },
    }
}

/// Holes stay holes, which only qcow2 can; a raw disk without any stays as close to raw as can be.
fn encrypted_format(disk: &PlainDisk, info: &ImageInfo, has_holes: bool) -> (DiskFormat, Target) {
    let by_itself = if info.format == Format::Raw && !has_holes { DiskFormat::Luks } else { DiskFormat::Qcow2 };
    let format = disk.into.unwrap_or(by_itself);
    let cluster_size = info.cluster_size.unwrap_or(Target::DEFAULT_CLUSTER_SIZE);
    match format {
        DiskFormat::Luks => (format, Target::Luks),
        DiskFormat::Qcow2 => (format, Target::Qcow2Luks { cluster_size }),
    }
}

fn record(plan: &EncryptPlan, home: PathBuf, exists: bool) -> Record {
    let descriptor = plan.name.descriptor();
    let mut record = Record::new(plan.vm, plan.name.clone(), Transition::Encrypt, home, descriptor);
    record.home_created = !exists;
    record.wipe = plan.wipe;
    record
}

/// Makes the home folder. Others may pass through it to the disk files, as QEMU's own user does, but not list it.
fn make_home(run: &mut Run<'_>) -> Result<(), Cause> {
    const MODE: u32 = 0o711;
    let home = &run.record.home;
    if run.record.home_created {
        fs::create_dir(home).map_err(FileError::on("creating the folder", home))?;
        let mode = fs::Permissions::from_mode(MODE);
        fs::set_permissions(home, mode).map_err(FileError::on("changing the mode of", home))?;
        files::sync_folder(files::parent(home))?;
    }
    run.claims.home(home)?;
    run.reached(Step::EncryptHomeCreated);
    Ok(())
}

fn new_disk(disk: &Checked) -> Result<NewDisk<'_>, Cause> {
    Ok(NewDisk {
        target: disk.target.clone(),
        source: open_source_as(&disk.file, disk.format, None).map_err(Cause::copy(&disk.target))?,
        file: disk.name.clone(),
        into: disk.into,
        original: disk.original.clone(),
    })
}
