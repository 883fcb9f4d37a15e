//! Deep recrypt: new DEKs, new volume keys, every byte of the disks written anew.

use std::path::Path;

use cadenas_image::{Access, File, ImageInfo, Target, in_place::Change, space_needed, usage};
use cadenas_keys::{Dek, KeyId, KeyMissing, ProviderId};

use crate::{
    descriptor::DiskFormat,
    disk::OpenDisk,
    error::{Cause, Refusal, TransitionError},
    journal::{Obsolete, Record, Transition},
    method::{Made, Method, bitmaps_of},
    old_home::{OldHome, claim, in_place_record},
    prepare::{Candidate, extra, prepare},
    sealed::MustSay,
    staging::{self, NewDisk, NewEntry, NewHome, new_key, require_space, staged_paths, unused_name},
    transition::{Context, Done, Run, Staged},
    unlocked::Unlocked,
};

/// Encrypts an encrypted VM anew, under `provider`'s `key`; `created` is now, in RFC 3339. Until its commit the old disks are
/// the VM's, from it on the new ones. The caller has made sure that the VM is off.
pub fn deep_recrypt(
    unlocked: &Unlocked,
    provider: ProviderId,
    key: KeyId,
    created: &str,
    method: Method,
    context: Context<'_>,
) -> Result<Made, TransitionError> {
    if !context.keyring.has(provider, key) {
        return Err(Refusal::from(KeyMissing { provider, key }).into());
    }
    let header = unlocked.home.header();
    let new_home = NewHome {
        policy: &header.policy,
        created,
        domain_xml: unlocked.domain_xml(),
        autostart: unlocked.autostart(),
        provider,
        key,
    };
    let in_place = || in_place(unlocked, &new_home, context).map(|done| (done, Vec::new()));
    let ((done, dropped_bitmaps), in_place) = method.run(|| by_copy(unlocked, &new_home, context), in_place)?;
    Ok(Made { home: done.home.expect("a deep recrypt makes a descriptor"), in_place, dropped_bitmaps })
}

fn by_copy(
    unlocked: &Unlocked,
    new_home: &NewHome<'_>,
    context: Context<'_>,
) -> Result<(Done, Vec<String>), TransitionError> {
    let OldHome { claims, files } = claim(unlocked, context, Access::Read)?;
    let home = unlocked.home.path();
    let mut disks = Vec::with_capacity(files.len());
    let mut needed = 0_u64;
    for (disk, file) in unlocked.disks.iter().zip(&files) {
        let new = new_disk(home, disk, file)?;
        let usage = usage(file, new.source.info()).map_err(|error| Refusal::from(disk.failed(error)))?;
        needed = needed.saturating_add(space_needed(new.source.info(), &usage, &new.into));
        disks.push(new);
    }
    require_space(home, needed)?;
    let bitmaps = disks.iter().flat_map(|disk| bitmaps_of(&disk.target, disk.source.info())).collect();
    let run = Run { context, record: record(unlocked, &disks), claims };
    Ok((run.run(|run| staging::stage(run, new_home, &disks))?, bitmaps))
}

fn in_place(unlocked: &Unlocked, new_home: &NewHome<'_>, context: Context<'_>) -> Result<Done, TransitionError> {
    let OldHome { claims, files } = claim(unlocked, context, Access::Write)?;
    let old: Vec<_> = unlocked.disks.iter().map(|disk| disk.dek.luks_passphrase()).collect();
    let keys: Vec<_> = unlocked.disks.iter().map(|_| Dek::generate()).collect();
    let new: Vec<_> = keys.iter().map(Dek::luks_passphrase).collect();
    let mut candidates = Vec::with_capacity(files.len());
    for (((disk, file), old), new) in unlocked.disks.iter().zip(&files).zip(&old).zip(&new) {
        disk.check(file).map_err(Refusal::from)?;
        let change = Change::Recrypt { passphrase: old, key: new_key(new) };
        candidates.push(Candidate { target: &disk.entry.target, file, format: disk.format(), change });
    }
    require_space(unlocked.home.path(), extra(&candidates)?)?;
    let mut wrapping = unlocked.home.key_safe().keys_used();
    wrapping.insert((new_home.provider, new_home.key));
    let record = in_place_record(unlocked, Transition::DeepRecrypt, wrapping.into_iter().collect())?;
    let run = Run { context, record, claims };
    run.run(|run| {
        let infos = prepare(run, &candidates)?;
        let entries = unlocked.disks.iter().zip(keys).zip(&infos).map(|((disk, dek), info)| new_entry(disk, dek, info));
        let descriptor = staging::describe(run, new_home, &entries.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Staged::Descriptor(Box::new(descriptor)))
    })
}

fn new_entry(disk: &OpenDisk, dek: Dek, info: &ImageInfo) -> Result<NewEntry, Cause> {
    let target = disk.entry.target.clone();
    let must_say = MustSay::of(info).ok_or_else(|| Cause::CopyDiffers { target: target.clone() })?;
    Ok(NewEntry { target, file: disk.entry.path.clone(), original: disk.sealed.original.clone(), dek, must_say })
}

fn new_disk<'a>(home: &Path, disk: &OpenDisk, file: &'a File) -> Result<NewDisk<'a>, Refusal> {
    Ok(NewDisk {
        target: disk.entry.target.clone(),
        source: disk.source(file)?,
        file: unused_name(home, &disk.entry.target, disk.entry.format)?,
        into: same_format(disk),
        original: disk.sealed.original.clone(),
    })
}

fn same_format(disk: &OpenDisk) -> Target {
    let cluster_size = disk.sealed.must_say.cluster_size.unwrap_or(Target::DEFAULT_CLUSTER_SIZE);
    match disk.entry.format {
        DiskFormat::Luks => Target::Luks,
        DiskFormat::Qcow2 => Target::Qcow2Luks { cluster_size },
    }
}

fn record(unlocked: &Unlocked, disks: &[NewDisk<'_>]) -> Record {
    let mut record = Record::of_home(&unlocked.home, Transition::DeepRecrypt);
    let names: Vec<_> = disks.iter().map(|disk| disk.file.clone()).collect();
    record.staged = staged_paths(&record.home, &names);
    record.obsolete = unlocked.disks.iter().map(|disk| Obsolete { path: disk.path.clone(), seen: None }).collect();
    record
}
