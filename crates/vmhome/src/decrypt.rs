//! Decrypt: from a VM home back to the plain disks and the libvirt definition as they were.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use cadenas_image::{
    Access, File, Progress, Source, Target, convert, in_place::Change, open_source_as, space_needed, usage,
};

use crate::{
    compare::same_data,
    concurrently::{concurrently, share},
    descriptor::DiskFormat,
    disk::OpenDisk,
    error::{Cause, Refusal, TransitionError},
    files::{self, FileError, Kind},
    journal::{Obsolete, Placement, PlainDefinition, Record, Transition},
    locks::ClaimError,
    method::{Method, WhyInPlace},
    old_home::{OldHome, claim, in_place_record},
    prepare::{Candidate, extra, prepare},
    sealed::{Original, PlainImage},
    staging::{Part, begin_progress, require_space},
    transition::{Context, Done, Run, Staged},
    unlocked::Unlocked,
};

/// What a decryption left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decrypted {
    /// The home folder, if files are in it that are not ours.
    pub home_kept: Option<PathBuf>,
    /// Why its disks were rewritten in place; `None` if they were copied.
    pub in_place: Option<WhyInPlace>,
}

/// Decrypts. Until its commit the encrypted VM is whole, from it on the plain one. The caller has made sure that it is off.
pub fn decrypt(unlocked: &Unlocked, method: Method, context: Context<'_>) -> Result<Decrypted, TransitionError> {
    let (done, in_place) = method.run(|| by_copy(unlocked, context), || in_place(unlocked, context))?;
    Ok(Decrypted { home_kept: done.home_kept.then(|| unlocked.home.path().to_owned()), in_place })
}

fn by_copy(unlocked: &Unlocked, context: Context<'_>) -> Result<Done, TransitionError> {
    let OldHome { claims, files } = claim(unlocked, context, Access::Read)?;
    let sources = open_sources(unlocked, &files)?;
    let placements = unlocked.disks.iter().map(|disk| check_place(unlocked, disk)).collect::<Result<Vec<_>, _>>()?;
    check_space(unlocked, &files, &sources, &placements)?;
    let record = record(unlocked, placements)?;
    let run = Run { context, record, claims };
    run.run(|run| stage(run, unlocked, &sources))
}

/// Each disk is made plain in the home, and only after the commit gets its old place.
fn in_place(unlocked: &Unlocked, context: Context<'_>) -> Result<Done, TransitionError> {
    let OldHome { claims, files } = claim(unlocked, context, Access::Write)?;
    let keys: Vec<_> = unlocked.disks.iter().map(|disk| disk.dek.luks_passphrase()).collect();
    let mut candidates = Vec::with_capacity(files.len());
    for ((disk, file), passphrase) in unlocked.disks.iter().zip(&files).zip(&keys) {
        disk.check(file).map_err(Refusal::from)?;
        let change = Change::Decrypt { passphrase, len: plain_len(unlocked, disk)? };
        candidates.push(Candidate { target: &disk.entry.target, file, format: disk.format(), change });
    }
    require_space(unlocked.home.path(), extra(&candidates)?)?;
    let wrapping = unlocked.home.key_safe().keys_used().into_iter().collect();
    let mut record = in_place_record(unlocked, Transition::Decrypt, wrapping)?;
    refuse_retired(&record)?;
    let placed = unlocked
        .disks
        .iter()
        .map(|disk| check_place(unlocked, disk).map(|placement| Placement { staged: disk.path.clone(), ..placement }));
    record.placements = placed.collect::<Result<_, _>>()?;
    let run = Run { context, record, claims };
    run.run(|run| {
        prepare(run, &candidates)?;
        let (xml, autostart) = (unlocked.domain_xml().to_owned(), unlocked.autostart());
        Ok(Staged::Plain(PlainDefinition { xml, autostart }))
    })
}

/// How long the file of a raw disk was. A disk that changed its format when it was encrypted needs a copy to change it back, and
/// one that was on another file system needs one to go back there.
fn plain_len(unlocked: &Unlocked, disk: &OpenDisk) -> Result<Option<u64>, Refusal> {
    let refused = |why| Refusal::NotInPlace { target: disk.entry.target.clone(), why };
    let folder = files::parent(Path::new(&disk.sealed.original.path));
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).map_err(FileError::on("looking at", path));
    if Kind::of(folder)? == Kind::Folder && device(folder)? != device(unlocked.home.path())? {
        return Err(refused("its old place is on another file system"));
    }
    match (disk.sealed.original.image, disk.entry.format) {
        (PlainImage::Raw { len }, DiskFormat::Luks) => Ok(Some(len)),
        (PlainImage::Qcow2 { .. }, DiskFormat::Qcow2) => Ok(None),
        (PlainImage::Raw { .. }, DiskFormat::Qcow2) => Err(refused("it was raw and is qcow2 now")),
        (PlainImage::Qcow2 { .. }, DiskFormat::Luks) => Err(refused("it was qcow2 and is a LUKS volume now")),
    }
}

fn open_sources<'a>(unlocked: &Unlocked, files: &'a [File]) -> Result<Vec<(Source<'a>, Target)>, Refusal> {
    let open = |(disk, file): (&OpenDisk, &'a File)| Ok((disk.source(file)?, target(disk.sealed.original.image)));
    unlocked.disks.iter().zip(files).map(open).collect()
}

fn target(image: PlainImage) -> Target {
    match image {
        PlainImage::Raw { len } => Target::Raw { len: Some(len) },
        PlainImage::Qcow2 { cluster_size } => Target::Qcow2 { cluster_size },
    }
}

/// The old path must be free and its folder there, and nothing of ours may lie beside it.
fn check_place(unlocked: &Unlocked, disk: &OpenDisk) -> Result<Placement, Refusal> {
    let (target, original) = (&disk.entry.target, &disk.sealed.original);
    let path = PathBuf::from(&original.path);
    let folder = files::parent(&path).to_owned();
    if Kind::of(&folder)? != Kind::Folder {
        return Err(Refusal::FolderGone { target: target.clone(), folder });
    }
    let staged = folder.join(staged_name(unlocked, &path, target));
    for taken in [&path, &staged] {
        if files::exists(taken)? {
            return Err(Refusal::InTheWay { target: target.clone(), path: taken.clone() });
        }
    }
    let Original { mode, uid, gid, .. } = *original;
    Ok(Placement { staged, path, mode, uid, gid })
}

/// `.vda.img.cadenas-0f1e2d3c`: hidden, and told from other VMs' by the first digits of the VM's ID.
fn staged_name(unlocked: &Unlocked, path: &Path, target: &str) -> String {
    const LONGEST_FILE_NAME: usize = 255;
    let mut vm = unlocked.home.vm().to_string();
    vm.truncate(8);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(target);
    let staged = format!(".{name}.cadenas-{vm}");
    if staged.len() <= LONGEST_FILE_NAME { staged } else { format!(".{target}.cadenas-{vm}") }
}

/// Disks can come back to several file systems; each must hold all of its own.
fn check_space(
    unlocked: &Unlocked,
    files: &[File],
    sources: &[(Source<'_>, Target)],
    placements: &[Placement],
) -> Result<(), Refusal> {
    let mut needed: BTreeMap<u64, (&Path, u64)> = BTreeMap::new();
    for (((disk, file), (source, target)), placement) in unlocked.disks.iter().zip(files).zip(sources).zip(placements) {
        let folder = files::parent(&placement.path);
        let device = fs::metadata(folder).map_err(FileError::on("looking at", folder))?.dev();
        let sum = &mut needed.entry(device).or_insert((folder, 0)).1;
        let usage = usage(file, source.info()).map_err(|error| disk.failed(error))?;
        *sum = sum.saturating_add(space_needed(source.info(), &usage, target));
    }
    needed.into_values().try_for_each(|(folder, bytes)| require_space(folder, bytes))
}

fn record(unlocked: &Unlocked, placements: Vec<Placement>) -> Result<Record, Refusal> {
    let mut record = Record::of_home(&unlocked.home, Transition::Decrypt);
    refuse_retired(&record)?;
    record.staged = placements.iter().map(|placement| placement.staged.clone()).collect();
    record.placements = placements;
    record.obsolete = unlocked.disks.iter().map(|disk| Obsolete { path: disk.path.clone(), seen: None }).collect();
    Ok(record)
}

fn refuse_retired(record: &Record) -> Result<(), Refusal> {
    let path = record.retired_descriptor();
    if files::exists(&path)? {
        return Err(Refusal::InTheWay { target: "configuration".to_owned(), path });
    }
    Ok(())
}

fn stage(run: &mut Run<'_>, unlocked: &Unlocked, sources: &[(Source<'_>, Target)]) -> Result<Staged, Cause> {
    begin_progress(run, sources.iter().map(|(source, _)| source))?;
    let placements = run.record.placements.clone();
    let mut copies = Vec::with_capacity(sources.len());
    for ((disk, (source, into)), placement) in unlocked.disks.iter().zip(sources).zip(&placements) {
        let file = File::create_new(&placement.staged).map_err(Cause::copy(&disk.entry.target))?;
        run.claims.image(&file).map_err(ClaimError::from)?;
        copies.push((&disk.entry.target, source, file, into));
    }
    let tuning = share(run.context.tuning, copies.len());
    let copy = |(target, source, file, into): &(&String, &Source<'_>, File, &Target), progress: &dyn Progress| {
        convert(source, file, into, None, &tuning, &Part(progress)).map_err(Cause::copy(target))
    };
    concurrently(&copies, run.context.progress, copy, || run.reached(run.phases().disk_staged))?;
    for ((disk, (source, into)), placement) in unlocked.disks.iter().zip(sources).zip(&placements) {
        let file = File::open(&placement.staged, Access::Read).map_err(Cause::copy(&disk.entry.target))?;
        // The format is known: a guest may have made its disk begin like another.
        let copy = open_source_as(&file, into.format(), None).map_err(Cause::copy(&disk.entry.target))?;
        if !same_data(source, &copy, &Part(run.context.progress)).map_err(Cause::copy(&disk.entry.target))? {
            return Err(Cause::CopyDiffers { target: disk.entry.target.clone() });
        }
        restore_owner_and_mode(placement)?;
    }
    run.reached(run.phases().staged_verified);
    let (xml, autostart) = (unlocked.domain_xml().to_owned(), unlocked.autostart());
    Ok(Staged::Plain(PlainDefinition { xml, autostart }))
}

/// Before the commit, since a file system that refuses it would otherwise leave a decryption that cannot be finished.
pub(crate) fn restore_owner_and_mode(placement: &Placement) -> Result<(), FileError> {
    let path = &placement.staged;
    // Owner first: a change of owner takes the set-user-ID bits away.
    chown(path, Some(placement.uid), Some(placement.gid)).map_err(FileError::on("changing the owner of", path))?;
    let mode = fs::Permissions::from_mode(placement.mode);
    fs::set_permissions(path, mode).map_err(FileError::on("changing the mode of", path))?;
    let file = fs::File::open(path).map_err(FileError::on("opening", path))?;
    file.sync_all().map_err(FileError::on("flushing", path))
}
