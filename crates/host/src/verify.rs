//! Whether a VM really is encrypted: by reading what lies on disk, not by believing the inventory.

use cadenas_api::{ObjectVerdict, Problem, VmOutcome};
use cadenas_keys::VmId;

use crate::{local::Inner, view::provider_ref};

/// Sectors that are read of each disk.
const SAMPLES: usize = 256;

impl Inner {
    /// Reads headers and samples of an encrypted VM and tells for each object what was found.
    pub(crate) fn verify(&self, vm: VmId) -> Result<VmOutcome, Problem> {
        let home = self.home(vm)?;
        let report = home.verify(&self.keys, SAMPLES);
        let (sound, locked) = (report.is_sound(), !home.missing_keys(&self.keys).is_empty());
        let objects: Vec<ObjectVerdict> = report.objects.into_iter().map(shown).collect();
        let message = match (sound, locked) {
            (true, false) => format!("all {} objects are encrypted, and open with their keys", objects.len()),
            (true, true) => format!("all {} objects look encrypted; not all keys are here to open them", objects.len()),
            (false, _) => "not everything is as it must be: see the objects".to_owned(),
        };
        Ok(VmOutcome { message, objects, ..VmOutcome::default() })
    }
}

fn shown(verdict: cadenas_vmhome::ObjectVerdict) -> ObjectVerdict {
    let key = provider_ref(verdict.key, verdict.fingerprint);
    ObjectVerdict {
        object: verdict.object.to_string(),
        encrypted: verdict.encrypted,
        key: Some(key),
        detail: verdict.detail,
        problem: verdict.problem,
    }
}
