//! Settling what a crash interrupted, at start-up and whenever something was left waiting.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SendError},
    },
    thread,
    time::Duration,
};

use cadenas_api::{HostEvent, chain};
use cadenas_hypervisor::PowerState;
use cadenas_image::{NoProgress, Tuning};
use cadenas_keys::VmId;
use cadenas_vmhome::{Context, HomeError, Record, Repaired, Transition, VmHome, repair};

use crate::{
    inventory::Entry,
    local::Inner,
    locate::{Located, open},
    problem::Libvirt,
};

/// The VMs whose key slots were looked at since this process began: a slot that a crash left is looked for once.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<BTreeSet<VmId>>);

impl Settled {
    fn contains(&self, vm: VmId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&vm)
    }

    /// From here on this process itself answers for the VM's slots.
    pub(crate) fn insert(&self, vm: VmId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(vm);
    }
}

impl Inner {
    /// Finishes or undoes every interrupted transition, forgets homes that are gone, erases key slots that were left.
    /// A VM that an operation holds is left to that operation.
    pub(crate) fn repair(self: &Arc<Self>) -> Vec<HostEvent> {
        let mut told = Vec::new();
        for record in self.journal.pending().into_iter().flatten() {
            match record {
                Ok(record) if record.is_in_place() => told.extend(self.settle_beside(record)),
                Ok(record) => told.extend(self.settle(&record)),
                Err(error) => told.push(HostEvent { kind: "vm.needs-repair", vm: None, message: chain(&error) }),
            }
        }
        for entry in self.inventory.entries().unwrap_or_default() {
            told.extend(self.settle_entry(entry));
        }
        told
    }

    /// Rewriting disks in place may take hours: what is not done soon goes on in a thread of its own, which holds the VM, and
    /// tells its end as an event.
    fn settle_beside(self: &Arc<Self>, record: Record) -> Option<HostEvent> {
        const SOON: Duration = Duration::from_secs(10);
        let (sender, receiver) = mpsc::channel();
        let inner = Arc::clone(self);
        thread::spawn(move || {
            let settled = inner.settle(&record);
            if let Err(SendError(Some(late))) = sender.send(settled) {
                inner.events.tell(&late);
            }
        });
        receiver.recv_timeout(SOON).ok().flatten()
    }

    fn settle(&self, record: &Record) -> Option<HostEvent> {
        let vm = record.vm();
        let _claim = self.claims.claim(vm)?;
        let name = record.name();
        let what = record.transition();
        let event = |kind, message| Some(HostEvent { kind, vm: Some(vm), message });
        let context = Context {
            keyring: &self.keys,
            journal: &self.journal,
            definition: &Libvirt(&*self.hypervisor),
            steps: &*self.steps,
            progress: &NoProgress,
            tuning: Tuning::default(),
        };
        match repair(record, context) {
            Ok(Repaired::NothingToDo) => None,
            Ok(Repaired::RolledBack) => {
                event("vm.rolled-back", format!("the interrupted {what} of VM {name} was undone"))
            }
            Ok(Repaired::RolledForward { home_kept }) => {
                let kept = if home_kept && what == Transition::Decrypt {
                    "; its home stays, because other files are in it"
                } else {
                    ""
                };
                event("vm.rolled-forward", format!("the interrupted {what} of VM {name} was finished{kept}"))
            }
            Err(error) => event("vm.needs-repair", chain(&error)),
        }
    }

    fn settle_entry(&self, entry: Entry) -> Option<HostEvent> {
        let _claim = self.claims.claim(entry.vm)?;
        match open(entry.vm, entry) {
            Located::Home(home) => self.erase_left_slots(&home),
            Located::Unreadable(entry, HomeError::Missing(_) | HomeError::NoDescriptor(_)) => {
                self.forget_if_plain(&entry);
                None
            }
            Located::Unreadable(..) | Located::Domain(_) => None,
        }
    }

    /// An encryption that was undone or a decryption that was finished leaves an entry without home, and a domain in libvirt.
    /// A home that is only out of reach leaves no domain: that entry stays.
    fn forget_if_plain(&self, entry: &Entry) {
        if self.is_settled_and_plain(entry.vm)
            && let Err(error) = self.inventory.remove(entry.vm)
        {
            tracing::warn!(vm = %entry.vm, "{}", chain(&error));
        }
    }

    /// Whether libvirt keeps the definition of a VM, and nothing is interrupted that would take it from there.
    pub(crate) fn is_settled_and_plain(&self, vm: VmId) -> bool {
        matches!(self.journal.find(vm), Ok(None))
            && matches!(self.hypervisor.domain(vm.uuid()), Ok(Some(domain)) if domain.persistent)
    }

    /// Erases one-time slots that an interrupted start left, and lets the guest run that it had paused.
    fn erase_left_slots(&self, home: &VmHome) -> Option<HostEvent> {
        let vm = home.vm();
        if self.settled.contains(vm) {
            return None;
        }
        // A locked VM is looked at again when its keys have come.
        let unlocked = home.unlock(&self.keys).ok()?;
        let event = |kind, message| Some(HostEvent { kind, vm: Some(vm), message });
        match unlocked.erase_leftover_slots(&*self.steps) {
            Ok(0) => {
                self.settled.insert(vm);
                None
            }
            Ok(erased) => {
                self.settled.insert(vm);
                self.resume_if_paused(vm);
                event(
                    "vm.slots-erased",
                    format!(
                        "{erased} one-time key slots of VM {} that an interrupted start left were erased",
                        home.name()
                    ),
                )
            }
            Err(error) => event("vm.needs-repair", chain(&error)),
        }
    }

    fn resume_if_paused(&self, vm: VmId) {
        if matches!(self.power(vm), Ok(PowerState::Paused))
            && let Err(error) = self.hypervisor.resume(vm.uuid())
        {
            tracing::warn!(%vm, "{}", chain(&error));
        }
    }
}
