//! Deep recrypt: new DEKs, new volume keys, every byte of the disks written anew.

use std::path::Path;

use cadenas_image::{File, Target, space_needed, usage};
use cadenas_keys::{KeyId, KeyMissing, ProviderId};

use crate::{
    descriptor::DiskFormat,
    disk::OpenDisk,
    error::{Refusal, TransitionError},
    home::VmHome,
    journal::{Obsolete, Record, Transition},
    old_home::{OldHome, claim},
    staging::{self, NewDisk, NewHome, require_space, staged_paths, unused_name},
    transition::{Context, Run},
    unlocked::Unlocked,
};

/// Encrypts an encrypted VM anew, under `provider`'s `key`; `created` is now, in RFC 3339. Until its commit the old disks are
/// the VM's, from it on the new ones. The caller has made sure that the VM is off.
pub fn deep_recrypt(
    unlocked: &Unlocked,
    provider: ProviderId,
    key: KeyId,
    created: &str,
    context: Context<'_>,
) -> Result<VmHome, TransitionError> {
    if !context.keyring.has(provider, key) {
        return Err(Refusal::from(KeyMissing { provider, key }).into());
    }
    let OldHome { claims, files } = claim(unlocked, context)?;
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
    let header = unlocked.home.header();
    let new_home = NewHome {
        policy: &header.policy,
        created,
        domain_xml: unlocked.domain_xml(),
        autostart: unlocked.autostart(),
        provider,
        key,
    };
    let run = Run { context, record: record(unlocked, &disks), claims };
    let done = run.run(|run| staging::stage(run, &new_home, &disks))?;
    Ok(done.home.expect("a deep recrypt makes a descriptor"))
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
