//! Another key for an encrypted VM: shallow at any power state, deep when it is off.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use cadenas_api::{DiskWork, Problem, RewrapVm, RewrappedVm, TaskProgress, VmOutcome};
use cadenas_keys::{KeyId, ProviderId, VmId};
use cadenas_vmhome::{Context, Recrypted, Rewrap, deep_recrypt, recrypt, recrypt_many};
use jiff::Timestamp;

use crate::{
    claims::Claim,
    encrypt::{method, rewritten, without},
    local::Inner,
    problem::{from_recrypt, from_transition, from_unlock},
};

impl Inner {
    /// Wraps the VM's data keys under another key: one small file, no disk, no libvirt.
    pub(crate) fn recrypt(&self, vm: RewrapVm) -> Result<VmOutcome, Problem> {
        let (home, key) = (self.home(vm.vm)?.descriptor_path(), vm.key);
        let start = Instant::now();
        let done = recrypt(&rewrap(vm, home), &self.keys, &self.journal, &*self.steps);
        done.map(|done| outcome(done, key, start.elapsed())).map_err(|error| from_recrypt(&error))
    }

    /// [`Self::recrypt`] of many VMs. Those that another operation has are refused, the others go on.
    pub(crate) fn recrypt_many(&self, vms: &[RewrapVm]) -> Vec<RewrappedVm> {
        let start = Instant::now();
        let prepared: Vec<_> = vms.iter().map(|vm| self.claimed_home(vm)).collect();
        let batch: Vec<Rewrap> = prepared.iter().flatten().map(|(_claim, rewrap)| rewrap.clone()).collect();
        let mut done = recrypt_many(&batch, &self.keys, &self.journal, &*self.steps).into_iter();
        let took = start.elapsed();
        let ended = |(vm, prepared): (&RewrapVm, Result<_, Problem>)| {
            let result = prepared.and_then(|_claimed: (Claim<'_>, Rewrap)| {
                let done = done.next().expect("one outcome for each home");
                done.map(|done| outcome(done, vm.key, took)).map_err(|error| from_recrypt(&error))
            });
            RewrappedVm { vm: vm.vm, result }
        };
        vms.iter().zip(prepared).map(ended).collect()
    }

    fn claimed_home(&self, vm: &RewrapVm) -> Result<(Claim<'_>, Rewrap), Problem> {
        let claim = self.claim(vm.vm)?;
        let home = self.home_path(vm.vm)?;
        Ok((claim, rewrap(vm.clone(), home)))
    }

    /// New data keys and new volume keys: every byte of the disks is written anew.
    pub(crate) fn deep_recrypt(
        &self,
        vm: VmId,
        (provider, key): (ProviderId, KeyId),
        work: DiskWork,
        progress: &TaskProgress,
    ) -> Result<VmOutcome, Problem> {
        let home = self.home(vm)?;
        self.must_be_off(&home)?;
        let unlocked = home.unlock(&self.keys).map_err(|error| from_unlock(&error))?;
        let created = Timestamp::now().to_string();
        let recrypt = |context: Context<'_>| deep_recrypt(&unlocked, provider, key, &created, method(work), context);
        let made = self.with_context(progress, work, recrypt).map_err(|error| from_transition(&error))?;
        let more = format!(" with a new key, wrapped under key {key}{}", without(&made.dropped_bitmaps));
        Ok(rewritten(made.in_place, "every disk was rewritten", &more))
    }
}

fn rewrap(vm: RewrapVm, home: PathBuf) -> Rewrap {
    let RewrapVm { vm, from, provider, key } = vm;
    Rewrap { vm, home, from: Some(from), provider, key }
}

fn outcome(done: Recrypted, key: KeyId, took: Duration) -> VmOutcome {
    let (changed, message) = match done {
        Recrypted::Changed => (true, format!("wrapped under key {key}")),
        Recrypted::AlreadySo => (false, format!("already wrapped under key {key}: nothing changed")),
    };
    let microseconds = u64::try_from(took.as_micros()).ok();
    VmOutcome { changed, message, microseconds, ..VmOutcome::default() }
}
