//! Another key for an encrypted VM: shallow at any power state, deep when it is off.

use std::time::Instant;

use cadenas_api::{DiskWork, Problem, TaskProgress, VmOutcome};
use cadenas_keys::{KeyId, ProviderId, VmId};
use cadenas_vmhome::{Context, Recrypted, deep_recrypt, recrypt};
use jiff::Timestamp;

use crate::{
    encrypt::{method, rewritten, without},
    local::Inner,
    problem::{from_recrypt, from_transition, from_unlock},
};

impl Inner {
    /// Wraps the VM's data keys under another key: one small file, no disk, no libvirt.
    pub(crate) fn recrypt(&self, vm: VmId, provider: ProviderId, key: KeyId) -> Result<VmOutcome, Problem> {
        let home = self.home(vm)?.descriptor_path();
        let start = Instant::now();
        let done = recrypt(&home, &self.keys, provider, key, &*self.steps).map_err(|error| from_recrypt(&error))?;
        let microseconds = u64::try_from(start.elapsed().as_micros()).ok();
        Ok(match done {
            Recrypted::Changed => VmOutcome {
                changed: true,
                message: format!("wrapped under key {key}"),
                microseconds,
                ..VmOutcome::default()
            },
            Recrypted::AlreadySo => VmOutcome {
                message: format!("already wrapped under key {key}: nothing changed"),
                microseconds,
                ..VmOutcome::default()
            },
        })
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
