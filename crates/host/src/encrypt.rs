//! Encrypting a VM and bringing it back.

use std::path::PathBuf;

use cadenas_api::{
    DiskFormat as ApiDiskFormat, DiskMethod, DiskWork, Problem, ProblemCode, TaskProgress, VmOutcome, Wipe as ApiWipe,
};
use cadenas_hypervisor::DomainSummary;
use cadenas_image::{Progress, Tuning};
use cadenas_keys::{KeyId, ProviderId, VmId};
use cadenas_vmhome::{
    Context, DiskFormat, EncryptPlan, Made, Method, NotAVmName, PlainDisk, PlainFormat, VmName, WhyInPlace, Wipe,
    decrypt, encrypt,
};
use jiff::Timestamp;

use crate::{
    domain::{FileDisk, encryptable},
    local::Inner,
    locate::{Located, unreadable},
    power::done,
    problem::{Libvirt, from_inventory, from_transition, from_unlock},
};

/// How a VM is to be encrypted.
pub(crate) struct Request {
    pub(crate) policy: String,
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
    pub(crate) disks: Vec<String>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) format: Option<ApiDiskFormat>,
    pub(crate) work: DiskWork,
    pub(crate) wipe: ApiWipe,
}

impl Inner {
    /// Encrypts a libvirt domain that is off: its disks and its definition.
    pub(crate) fn encrypt(&self, vm: VmId, request: Request, progress: &TaskProgress) -> Result<VmOutcome, Problem> {
        let domain = match self.locate(vm)? {
            Located::Domain(domain) => domain,
            Located::Home(home) => return Err(already_encrypted(home.name().as_str())),
            Located::Unreadable(entry, error) => return Err(unreadable(&entry, &error)),
        };
        let work = request.work;
        let plan = self.plan(vm, &domain, request)?;
        // Known before it exists: no crash can leave a home that nobody finds. The repair forgets it if nothing comes of it.
        let descriptor = plan.home.join(plan.name.descriptor());
        self.inventory.add(vm, &domain.name, &descriptor).map_err(|error| from_inventory(&error))?;
        match self.with_context(progress, work, |context| encrypt(&plan, context)) {
            Ok(Made { home, in_place, dropped_bitmaps }) => {
                let more = format!("; its home is {}{}", home.path().display(), without(&dropped_bitmaps));
                Ok(rewritten(in_place, "encrypted", &more))
            }
            Err(error) => {
                self.forget_unless_pending(vm)?;
                Err(from_transition(&error))
            }
        }
    }

    fn plan(&self, vm: VmId, domain: &DomainSummary, request: Request) -> Result<EncryptPlan, Problem> {
        let found = encryptable(&*self.hypervisor, domain, &request.disks)?;
        let name = vm_name(domain)?;
        let into = request.format.map(|format| match format {
            ApiDiskFormat::Qcow2 => DiskFormat::Qcow2,
            ApiDiskFormat::Luks => DiskFormat::Luks,
        });
        Ok(EncryptPlan {
            vm,
            name,
            policy: request.policy,
            created: Timestamp::now().to_string(),
            home: found.home(request.home)?,
            domain_xml: found.xml.as_str().to_owned(),
            autostart: domain.autostart,
            disks: found.disks.into_iter().map(|disk| plain_disk(disk, into)).collect(),
            provider: request.provider,
            key: request.key,
            method: method(request.work),
            wipe: match request.wipe {
                ApiWipe::None => Wipe::None,
                ApiWipe::Discard => Wipe::Discard,
                ApiWipe::Zero => Wipe::Zero,
            },
        })
    }

    /// Brings back the plain disks and libvirt's definition as they were.
    pub(crate) fn decrypt(&self, vm: VmId, work: DiskWork, progress: &TaskProgress) -> Result<VmOutcome, Problem> {
        let home = self.home(vm)?;
        self.must_be_off(&home)?;
        let unlocked = home.unlock(&self.keys).map_err(|error| from_unlock(&error))?;
        let decrypted = self
            .with_context(progress, work, |context| decrypt(&unlocked, method(work), context))
            .map_err(|error| from_transition(&error))?;
        self.inventory.remove(vm).map_err(|error| from_inventory(&error))?;
        let more = match decrypted.home_kept {
            Some(folder) => format!("; other files are in {}, which stays", folder.display()),
            None => "; libvirt has its definition back".to_owned(),
        };
        Ok(rewritten(decrypted.in_place, "decrypted", &more))
    }

    /// Runs a transition with what it needs of this host.
    pub(crate) fn with_context<T>(
        &self,
        progress: &TaskProgress,
        work: DiskWork,
        run: impl FnOnce(Context<'_>) -> T,
    ) -> T {
        run(Context {
            keyring: &self.keys,
            journal: &self.journal,
            definition: &Libvirt(&*self.hypervisor),
            steps: &*self.steps,
            progress: &Bytes(progress),
            tuning: Tuning { jobs: work.jobs, rate_limit: work.rate_limit },
        })
    }

    /// After a failed encryption: the VM is plain, unless its undoing is still to be done.
    fn forget_unless_pending(&self, vm: VmId) -> Result<(), Problem> {
        match self.journal.find(vm) {
            Ok(None) => self.inventory.remove(vm).map_err(|error| from_inventory(&error)),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }
}

pub(crate) fn method(work: DiskWork) -> Method {
    match work.method {
        None => Method::Choose,
        Some(DiskMethod::Copy) => Method::Copy,
        Some(DiskMethod::InPlace) => Method::InPlace,
    }
}

/// That disks were rewritten: what was done, how, why so if it was in place, and what more there is to say.
pub(crate) fn rewritten(in_place: Option<WhyInPlace>, what: &str, more: &str) -> VmOutcome {
    let (method, how) = match in_place {
        None => (DiskMethod::Copy, String::new()),
        Some(why) => (DiskMethod::InPlace, format!(" in place, {why}")),
    };
    VmOutcome { method: Some(method), ..done(true, &format!("{what}{how}{more}")) }
}

/// The persistent bitmaps that a copy left behind, by name: whoever makes incremental backups must begin anew.
pub(crate) fn without(bitmaps: &[String]) -> String {
    if bitmaps.is_empty() { String::new() } else { format!("; dropped the bitmaps {}", bitmaps.join(", ")) }
}

fn already_encrypted(name: &str) -> Problem {
    Problem::new(ProblemCode::VmEncrypted, format!("VM {name} is already encrypted"))
        .next(format!("`cadenas vm recrypt {name}` changes its key, `cadenas vm decrypt {name}` makes it plain"))
}

/// The name that the home and its descriptor are called after.
pub(crate) fn vm_name(domain: &DomainSummary) -> Result<VmName, Problem> {
    domain.name.parse().map_err(|error: NotAVmName| {
        Problem::new(ProblemCode::BadName, error.to_string())
            .next(format!("rename the VM: `virsh domrename {} NEW`", domain.name))
    })
}

pub(crate) fn plain_disk(disk: FileDisk, into: Option<DiskFormat>) -> PlainDisk {
    let format = if disk.qcow2 { PlainFormat::Qcow2 } else { PlainFormat::Raw };
    PlainDisk { target: disk.target, path: disk.path, format, into }
}

/// A task's progress as the disk engine tells it.
struct Bytes<'a>(&'a TaskProgress);

impl Progress for Bytes<'_> {
    fn begin(&self, total_bytes: u64) {
        self.0.expect(total_bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
