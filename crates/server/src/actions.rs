//! What can be done to a VM now, why the rest cannot, and how long what takes time would take.

use std::sync::Arc;

use cadenas_api::{
    ActionKind, DiskMethod, Padlock, PowerState, Problem, ProblemCode, ProgressUnit, RewriteEstimate, Task, TaskState,
    VM_ENCRYPTION_POLICY, Vm, VmAction,
};

use crate::{core::Core, tasks, templates, vms};

/// Bytes per second until something was rewritten here: what one disk of the usual kind gives.
const USUAL_RATE: u64 = 400_000_000;
/// What took less than this says nothing about the disk's speed.
const LEAST_MEASURED: u64 = 64 << 20;

/// Every operation on a VM, looked at.
pub(crate) async fn list(core: &Arc<Core>, vm: &str) -> Result<Vec<VmAction>, Problem> {
    let vm = vms::show(core, vm).await?;
    let looked = Looked::at(core, &vm).await?;
    Ok(ActionKind::ALL.into_iter().map(|kind| looked.action(&vm, kind)).collect())
}

/// All that the answers depend on beside the VM itself.
struct Looked {
    rewrite: Result<RewriteEstimate, Problem>,
    /// Whether it lacks a key that would not be fetched.
    locked: bool,
    /// Whether the default provider can encrypt.
    provider: Result<(), Problem>,
    rate: u64,
}

impl Looked {
    async fn at(core: &Arc<Core>, vm: &Vm) -> Result<Self, Problem> {
        let catalog = core.catalog().await?;
        Ok(Self {
            rewrite: core.host.estimate_rewrite(vm.id).await,
            locked: catalog.out_of_reach(vm).is_some(),
            provider: vms::wrapping_provider(core, &catalog, None).map(drop),
            rate: rate(&tasks::list(core).await?),
        })
    }

    fn action(&self, vm: &Vm, operation: ActionKind) -> VmAction {
        let reason = self.obstacle(vm, operation);
        let rewrites = matches!(operation, ActionKind::Encrypt | ActionKind::Decrypt | ActionKind::DeepRecrypt);
        let estimate = self.rewrite.as_ref().ok().filter(|_| rewrites && reason.is_none());
        let method = estimate.map(|rewrite| if rewrite.copy_fits { DiskMethod::Copy } else { DiskMethod::InPlace });
        let bytes = estimate.map(|rewrite| rewrite.bytes * passes(rewrite));
        let seconds = bytes.map(|bytes| bytes.div_ceil(self.rate));
        VmAction { operation, allowed: reason.is_none(), reason, bytes, seconds, method }
    }

    fn obstacle(&self, vm: &Vm, operation: ActionKind) -> Option<Problem> {
        let own = match operation {
            ActionKind::Encrypt => encrypted(vm).or_else(|| broken(vm)),
            ActionKind::Decrypt | ActionKind::DeepRecrypt => self.unopenable(vm).or_else(|| not_off(vm)),
            ActionKind::Recrypt => self.unopenable(vm),
            ActionKind::Start => {
                self.locked(vm).or_else(|| broken(vm)).or_else(|| template(vm)).or_else(|| not_off(vm))
            }
            ActionKind::Shutdown | ActionKind::Kill => not_running(vm),
            ActionKind::Unlock => not_locked(vm),
            ActionKind::Verify => plain(vm),
            ActionKind::SetTemplate => template_already(vm).or_else(|| not_off(vm)),
            ActionKind::UnsetTemplate => no_template(vm),
            ActionKind::Unregister => plain(vm).or_else(|| not_off(vm)),
        };
        own.or_else(|| self.unfit(operation)).or_else(|| busy(vm))
    }

    /// Why its keys cannot be had, of what is done to an encrypted VM.
    fn unopenable(&self, vm: &Vm) -> Option<Problem> {
        plain(vm).or_else(|| self.locked(vm)).or_else(|| broken(vm))
    }

    fn locked(&self, vm: &Vm) -> Option<Problem> {
        self.locked.then(|| {
            let next = "Restore the key provider that it needs; it unlocks by itself then.";
            refusal(vm, ProblemCode::VmLocked, "is locked: a key is missing").next(next)
        })
    }

    /// What only the host and the providers tell.
    fn unfit(&self, operation: ActionKind) -> Option<Problem> {
        let provider = || self.provider.as_ref().err().cloned();
        let disks = || self.rewrite.as_ref().err().cloned();
        match operation {
            ActionKind::Encrypt | ActionKind::DeepRecrypt => disks().or_else(provider),
            ActionKind::Decrypt => disks(),
            // Another provider than the default one can be named.
            _ => None,
        }
    }
}

/// A copy is compared with what it was made of; a rewriting in place is not.
fn passes(rewrite: &RewriteEstimate) -> u64 {
    if rewrite.copy_fits { 2 } else { 1 }
}

/// How fast disks were rewritten the last time, in the bytes of [`Task::progress`] per second.
fn rate(newest_first: &[Task]) -> u64 {
    newest_first.iter().find_map(measured).unwrap_or(USUAL_RATE)
}

fn measured(task: &Task) -> Option<u64> {
    let bytes = Some(task.progress.done).filter(|bytes| {
        task.state == TaskState::Succeeded && task.progress.unit == ProgressUnit::Bytes && *bytes >= LEAST_MEASURED
    })?;
    let milliseconds = u64::try_from(task.finished?.as_millisecond() - task.created.as_millisecond()).ok()?;
    Some((bytes.saturating_mul(1000) / milliseconds.max(1)).max(1))
}

fn encrypted(vm: &Vm) -> Option<Problem> {
    (vm.padlock != Padlock::None).then(|| {
        refusal(vm, ProblemCode::VmEncrypted, "is encrypted already").next("Re-encrypt it to give it another key.")
    })
}

fn plain(vm: &Vm) -> Option<Problem> {
    (vm.padlock == Padlock::None).then(|| {
        let next = format!("Give it the policy \"{VM_ENCRYPTION_POLICY}\" first.");
        refusal(vm, ProblemCode::VmNotEncrypted, "is not encrypted").next(next)
    })
}

/// What is wrong with it is in the way of whatever changes it.
fn broken(vm: &Vm) -> Option<Problem> {
    vm.problem.clone()
}

fn not_locked(vm: &Vm) -> Option<Problem> {
    (vm.padlock != Padlock::Locked).then(|| refusal(vm, ProblemCode::BadRequest, "is not locked"))
}

fn not_off(vm: &Vm) -> Option<Problem> {
    is_on(vm)
        .then(|| refusal(vm, ProblemCode::VmNotOff, &format!("is {}, not off", vm.power)).next("Shut it down first."))
}

fn not_running(vm: &Vm) -> Option<Problem> {
    (!is_on(vm)).then(|| refusal(vm, ProblemCode::VmNotRunning, "is not running"))
}

/// A VM of which nothing is known may be off.
fn is_on(vm: &Vm) -> bool {
    !matches!(vm.power, PowerState::Off | PowerState::Unknown)
}

fn template(vm: &Vm) -> Option<Problem> {
    vm.template.then(|| templates::does_not_start(vm))
}

fn template_already(vm: &Vm) -> Option<Problem> {
    vm.template.then(|| refusal(vm, ProblemCode::BadRequest, "is a template already"))
}

fn no_template(vm: &Vm) -> Option<Problem> {
    (!vm.template).then(|| refusal(vm, ProblemCode::BadRequest, "is no template"))
}

fn busy(vm: &Vm) -> Option<Problem> {
    let task = vm.task?;
    let problem = refusal(vm, ProblemCode::VmBusy, "is being worked on").with_task(task);
    Some(problem.next("Wait for that task, or cancel it."))
}

fn refusal(vm: &Vm, code: ProblemCode, what: &str) -> Problem {
    Problem::new(code, format!("VM {} {what}", vm.name))
}
