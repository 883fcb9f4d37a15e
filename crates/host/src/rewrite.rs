//! How much work it would be to rewrite a VM's disks.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use cadenas_api::{Problem, ProblemCode, RewriteEstimate};
use cadenas_keys::VmId;
use cadenas_vmhome::{foresee, free_bytes};

use crate::{
    domain::encryptable,
    encrypt::{plain_disk, vm_name},
    local::Inner,
    locate::{Located, unreadable},
    problem::from_refusal,
};

/// What a descriptor, headers and the file system's own needs take beside the disks.
const ROOM_BESIDE: u64 = 64 << 20;

impl Inner {
    /// For a plain domain also whether it could be encrypted as a whole.
    pub(crate) fn estimate_rewrite(&self, vm: VmId) -> Result<RewriteEstimate, Problem> {
        let disks: Vec<PathBuf> = match self.locate(vm)? {
            Located::Domain(domain) => {
                let found = encryptable(&*self.hypervisor, &domain, &[])?;
                vm_name(&domain)?;
                found.home(None)?;
                let disks: Vec<_> = found.disks.into_iter().map(|disk| plain_disk(disk, None)).collect();
                foresee(&disks).map_err(|refusal| from_refusal(&refusal))?;
                disks.into_iter().map(|disk| disk.path).collect()
            }
            Located::Home(home) => home.disks().iter().map(|disk| home.disk_path(disk)).collect(),
            Located::Unreadable(entry, error) => return Err(unreadable(&entry, &error)),
        };
        estimate(&disks)
    }
}

/// The disks of one VM lie on one datastore as a rule; where they do not, the first one's room decides.
fn estimate(disks: &[PathBuf]) -> Result<RewriteEstimate, Problem> {
    /// The unit of `st_blocks` (stat(2)).
    const BLOCK: u64 = 512;
    let occupied =
        |path: &PathBuf| fs::metadata(path).map(|found| found.blocks() * BLOCK).map_err(|error| failed(path, &error));
    let bytes = disks.iter().map(occupied).sum::<Result<u64, _>>()?;
    let room = disks.first().map_or(Ok(u64::MAX), |path| room_beside(path))?;
    Ok(RewriteEstimate { bytes, copy_fits: bytes.saturating_add(ROOM_BESIDE) <= room })
}

fn room_beside(disk: &Path) -> Result<u64, Problem> {
    let folder = disk.parent().unwrap_or(disk);
    free_bytes(folder).map_err(|error| failed(folder, &error))
}

fn failed(path: &Path, error: &dyn std::error::Error) -> Problem {
    Problem::new(ProblemCode::DatastoreFailed, format!("could not look at {}: {error}", path.display()))
        .next("check that the datastore is there")
}
