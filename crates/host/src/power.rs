//! Powering VMs on and off.
//!
//! libvirt never sees a data key. A start gives each encrypted disk a second key slot with a random passphrase, hands that one
//! to libvirt, lets QEMU open the disks with the guest still paused, erases the slots, and only then lets the guest run: what
//! libvirt and QEMU leave on disk opens nothing.

use std::time::{Duration, Instant};

use cadenas_api::{Problem, ProblemCode, TaskProgress, VmOutcome};
use cadenas_hypervisor::{DiskSecret, DomainXml, PowerState};
use cadenas_keys::VmId;
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{DiskFormat, OneTimeKey, Unlocked, VmHome};
use uuid::Uuid;

use crate::{
    local::Inner,
    locate::{Located, unreadable},
    problem::{from_disk, from_hypervisor, from_slot, from_unlock, interrupted},
};

const POLL: Duration = Duration::from_millis(200);

impl Inner {
    /// Powers a VM on; a paused one goes on.
    pub(crate) fn start(&self, vm: VmId) -> Result<VmOutcome, Problem> {
        if let Ok(Some(record)) = self.journal.find(vm) {
            return Err(interrupted(&record, &self.keys));
        }
        let located = self.locate(vm)?;
        match self.power(vm)? {
            PowerState::Running => return Ok(done(false, "it is running already")),
            PowerState::Paused => {
                self.hypervisor.resume(vm.uuid()).map_err(|error| from_hypervisor(&error))?;
                return Ok(done(true, "it was paused and goes on"));
            }
            PowerState::Off | PowerState::Other(_) => {}
        }
        match located {
            Located::Home(home) => self.start_encrypted(&home),
            Located::Unreadable(entry, error) => Err(unreadable(&entry, &error)),
            Located::Domain(domain) => {
                self.hypervisor.start(domain.uuid).map_err(|error| from_hypervisor(&error))?;
                Ok(done(true, "it runs"))
            }
        }
    }

    fn start_encrypted(&self, home: &VmHome) -> Result<VmOutcome, Problem> {
        let unlocked = home.unlock(&self.keys).map_err(|error| from_unlock(&error))?;
        unlocked.check_disks().map_err(|error| from_disk(&error))?;
        // From here on this start answers for the slots, not the repair.
        self.settled.insert(home.vm());
        let keys = unlocked.one_time_keys(&*self.steps).map_err(|error| from_slot(&error))?;
        let started = self.start_paused(&unlocked, &keys);
        let erased = unlocked.erase_one_time_keys(&keys, &*self.steps).map_err(|error| from_slot(&error));
        let running = started
            .and(erased)
            .and_then(|()| self.hypervisor.resume(home.vm().uuid()).map_err(|error| from_hypervisor(&error)));
        match running {
            Ok(_) => Ok(done(true, "it runs")),
            Err(problem) => {
                // No guest runs while its slot may still be open. The error that led here is the one to tell.
                if let Err(error) = self.hypervisor.destroy(home.vm().uuid()) {
                    tracing::warn!(vm = %home.vm(), %error, "a VM that could not be started stays in libvirt");
                }
                Err(problem)
            }
        }
    }

    fn start_paused(&self, unlocked: &Unlocked, keys: &[OneTimeKey]) -> Result<(), Problem> {
        let internal = |error| Problem::internal(&error);
        let mut xml = DomainXml::parse(unlocked.domain_xml()).map_err(internal)?;
        let mut secrets = Vec::with_capacity(keys.len());
        for key in keys {
            let secret = DiskSecret {
                uuid: Uuid::new_v4(),
                path: key.path.display().to_string(),
                value: SecretBytes::new_with(key.passphrase.len(), |copy| {
                    copy.copy_from_slice(key.passphrase.expose());
                }),
            };
            xml = xml
                .with_disk_source(&key.target, &key.path, driver_type(key.format), Some(secret.uuid))
                .map_err(internal)?;
            secrets.push(secret);
        }
        self.hypervisor.start_transient(xml.as_str(), &secrets, true).map_err(|error| from_hypervisor(&error))
    }

    /// Asks the guest to power off and waits until it has.
    pub(crate) fn shutdown(&self, vm: VmId, timeout: u64, progress: &TaskProgress) -> Result<VmOutcome, Problem> {
        self.must_be_known(vm)?;
        if self.power(vm)?.is_off() {
            return Ok(done(false, "it is off already"));
        }
        self.hypervisor.shutdown(vm.uuid()).map_err(|error| from_hypervisor(&error))?;
        let deadline = Instant::now() + Duration::from_secs(timeout);
        while !self.power(vm)?.is_off() {
            if progress.is_cancelled() {
                return Err(Problem::new(ProblemCode::Cancelled, "nobody waits any more for the guest to shut down"));
            }
            if Instant::now() >= deadline {
                return Err(Problem::new(
                    ProblemCode::TimedOut,
                    format!("the guest did not shut down within {timeout} s"),
                )
                .next("give it more time with --timeout, or power it off at once with `cadenas vm kill`"));
            }
            std::thread::sleep(POLL);
        }
        Ok(done(true, "it is off"))
    }

    /// Powers a VM off at once.
    pub(crate) fn kill(&self, vm: VmId) -> Result<VmOutcome, Problem> {
        self.must_be_known(vm)?;
        if self.power(vm)?.is_off() {
            return Ok(done(false, "it is off already"));
        }
        self.hypervisor.destroy(vm.uuid()).map_err(|error| from_hypervisor(&error))?;
        Ok(done(true, "it is off"))
    }

    /// Tries the keys of a locked VM again.
    pub(crate) fn unlock(&self, vm: VmId) -> Result<VmOutcome, Problem> {
        let home = self.home(vm)?;
        let unlocked = home.unlock(&self.keys).map_err(|error| from_unlock(&error))?;
        unlocked.check_disks().map_err(|error| from_disk(&error))?;
        Ok(done(false, "every key is here and opens its object"))
    }

    fn must_be_known(&self, vm: VmId) -> Result<(), Problem> {
        self.locate(vm).map(drop)
    }

    /// Refuses what needs an encrypted VM to be off.
    pub(crate) fn must_be_off(&self, home: &VmHome) -> Result<(), Problem> {
        let state = self.power(home.vm())?;
        if state.is_off() {
            return Ok(());
        }
        Err(Problem::new(ProblemCode::VmNotOff, format!("VM {} is {state}, not off", home.name()))
            .next(format!("shut it down first: `cadenas vm shutdown {}`", home.name())))
    }
}

/// libvirt's driver type: a raw LUKS volume is raw to it, with encryption said apart.
fn driver_type(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Luks => "raw",
    }
}

/// An outcome in one sentence.
pub(crate) fn done(changed: bool, message: &str) -> VmOutcome {
    VmOutcome { changed, message: message.to_owned(), ..VmOutcome::default() }
}
