//! The inventory: the host's VMs with what the server knows of them, and the operations on them.

use std::sync::Arc;

use cadenas_api::{
    Actor, DATASTORE_DEFAULT, DiskWork, Problem, ProblemCode, ProviderState, RecryptVm, RegisterVm, SetPolicy,
    ShutdownVm, TaskProgress, Vm, VmOperation, VmOutcome, VmQuery,
};
use cadenas_keys::{KeyId, ProviderId, VmId};
use cadenas_store::Txn;
use jiff::Timestamp;

use crate::{
    core::Core,
    events::Draft,
    exposure, kms, policies,
    providers::{self, Catalog, KindRecord, ProviderRecord},
    report::Known,
    tasks::{self, Live},
    templates,
    text::quoted,
};

/// How long a guest has to shut down unless the request says otherwise, in seconds.
const SHUTDOWN_SECONDS: u64 = 120;
/// A day is longer than any guest takes.
const LONGEST_SHUTDOWN: u64 = 24 * 60 * 60;

/// Every VM, by name.
pub(crate) async fn list(core: &Core) -> Result<Vec<Vm>, Problem> {
    let known = Known::load(core).await?;
    let mut vms = by_name(core).await?;
    for vm in &mut vms {
        known.complete(core, vm);
    }
    Ok(vms)
}

/// The VMs that a query asks for, and how many there are of that kind in all. Only what is shown is completed.
pub(crate) async fn page(core: &Core, query: &VmQuery) -> Result<(Vec<Vm>, usize), Problem> {
    let (known, now) = (Known::load(core).await?, Timestamp::now());
    let provider = match &query.provider {
        Some(provider) => Some(known.catalog.find(provider)?.id),
        None => None,
    };
    let mut vms = by_name(core).await?;
    let search = query.search.as_ref().map(|text| text.to_lowercase());
    vms.retain(|vm| {
        search.as_ref().is_none_or(|text| vm.name.to_lowercase().contains(text))
            && query.padlock.is_none_or(|padlock| vm.padlock == padlock)
            && query.power.is_none_or(|power| vm.power == power)
            && query.due.is_none_or(|due| known.due(vm, now).is_some() == due)
            && provider.is_none_or(|provider| vm.providers.iter().any(|used| used.id == provider))
    });
    let total = vms.len();
    let place =
        |number: Option<u64>, default| number.map_or(default, |number| usize::try_from(number).unwrap_or(total));
    let mut page: Vec<Vm> = vms.into_iter().skip(place(query.offset, 0)).take(place(query.limit, total)).collect();
    for vm in &mut page {
        known.complete(core, vm);
    }
    Ok((page, total))
}

/// Every VM as the host has it, by name.
async fn by_name(core: &Core) -> Result<Vec<Vm>, Problem> {
    let mut vms = core.host.vms().await?;
    vms.sort_unstable_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
    Ok(vms)
}

/// One VM, by ID or name.
pub(crate) async fn show(core: &Core, vm: &str) -> Result<Vm, Problem> {
    let mut found = find(core, vm).await?;
    Known::load(core).await?.complete(core, &mut found);
    Ok(found)
}

/// Sets a VM's storage policy, which encrypts or decrypts it.
pub(crate) async fn set_policy(
    core: &Arc<Core>,
    vm: &str,
    request: SetPolicy,
    by: &Actor,
) -> Result<Arc<Live>, Problem> {
    let policy = policies::find(&request.policy)?;
    let vm = find(core, vm).await?;
    if !policy.encrypts {
        fetch_missing(core, &vm).await?;
        return tasks::start(core, &vm, decrypt(&request)?, None, Txn::new(), by).await;
    }
    let _provider_stays = core.provider_use.read().await;
    let (provider, key) = wrapping_key(core, request.provider.as_deref(), &vm, true).await?;
    let SetPolicy { disks, home, format, method, jobs, rate_limit, wipe, .. } = request;
    let (work, wipe) = (DiskWork { method, jobs, rate_limit }, wipe.unwrap_or_default());
    let operation = VmOperation::Encrypt { policy: policy.name, provider, key, disks, home, format, work, wipe };
    tasks::start(core, &vm, operation, Some(provider), Txn::new(), by).await
}

/// Re-encrypts a VM with the provider that is named, or the default one.
pub(crate) async fn recrypt(core: &Arc<Core>, vm: &str, request: &RecryptVm, by: &Actor) -> Result<Arc<Live>, Problem> {
    let RecryptVm { provider: _, deep, method, jobs, rate_limit } = *request;
    let work = DiskWork { method, jobs, rate_limit };
    if !deep && work != DiskWork::default() {
        let detail = "method, jobs and rate limit are for disks, and only a deep recrypt rewrites them";
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Leave them out, or ask for a deep recrypt."));
    }
    let vm = find(core, vm).await?;
    fetch_missing(core, &vm).await?;
    let _provider_stays = core.provider_use.read().await;
    let (provider, key) = wrapping_key(core, request.provider.as_deref(), &vm, deep).await?;
    if deep {
        let operation = VmOperation::DeepRecrypt { provider, key, work };
        return tasks::start(core, &vm, operation, Some(provider), Txn::new(), by).await;
    }
    let from = vm.wrapped_under();
    let moves = from.iter().any(|used| *used != (provider, key));
    let txn = if moves { exposure::with_note(core, Txn::new(), &vm).await? } else { Txn::new() };
    tasks::start(core, &vm, VmOperation::Recrypt { from, provider, key }, Some(provider), txn, by).await
}

/// Does an operation on the host. Before a VM that was wrapped under other keys since it was looked at is wrapped anew, those
/// are remembered.
pub(crate) async fn run(
    core: Arc<Core>,
    vm: VmId,
    mut operation: VmOperation,
    progress: Arc<TaskProgress>,
) -> Result<VmOutcome, Problem> {
    loop {
        let done = core.host.run(vm, operation.clone(), Arc::clone(&progress)).await;
        match (&mut operation, &done) {
            (VmOperation::Recrypt { from, .. }, Err(problem)) if problem.code == ProblemCode::VmChanged => {
                let now = core.host.vm(vm).await?;
                exposure::note(&core, std::iter::once(&now)).await?;
                *from = now.wrapped_under();
            }
            _ => return done,
        }
    }
}

/// Asks a guest to shut down.
pub(crate) async fn shutdown(
    core: &Arc<Core>,
    vm: &str,
    request: &ShutdownVm,
    by: &Actor,
) -> Result<Arc<Live>, Problem> {
    let timeout = request.timeout.unwrap_or(SHUTDOWN_SECONDS);
    if timeout > LONGEST_SHUTDOWN {
        let detail = format!("a time-out of {timeout} seconds is too long; a day has {LONGEST_SHUTDOWN}");
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Give a shorter one."));
    }
    operate(core, vm, VmOperation::Shutdown { timeout }, by).await
}

/// Does what needs no provider.
pub(crate) async fn operate(
    core: &Arc<Core>,
    vm: &str,
    operation: VmOperation,
    by: &Actor,
) -> Result<Arc<Live>, Problem> {
    let vm = find(core, vm).await?;
    match operation {
        VmOperation::Start => {
            templates::refuse_to_start(core, &vm).await?;
            fetch_missing(core, &vm).await?;
        }
        VmOperation::Unlock => fetch_missing(core, &vm).await?,
        _ => {}
    }
    tasks::start(core, &vm, operation, None, Txn::new(), by).await
}

/// Fetches what a locked VM lacks of key servers. What else it lacks, the operation itself tells.
async fn fetch_missing(core: &Arc<Core>, vm: &Vm) -> Result<(), Problem> {
    if vm.missing_keys.is_empty() {
        return Ok(());
    }
    kms::unlock(core, &core.catalog().await?, vm).await.map(drop).map_err(|problem| {
        let detail = format!("VM {} is locked: {}", vm.name, problem.detail);
        Problem { detail, ..problem }
    })
}

/// Makes a VM a template, or a VM again.
pub(crate) async fn set_template(core: &Core, vm: &str, template: bool, by: &Actor) -> Result<Vm, Problem> {
    let vm = find(core, vm).await?;
    let _held = core.tasks.hold_for_request(&vm)?;
    templates::set(core, &vm, template, by).await?;
    show(core, &vm.id.to_string()).await
}

/// Adds a VM home to the inventory.
pub(crate) async fn register(core: &Arc<Core>, request: RegisterVm, by: &Actor) -> Result<Vm, Problem> {
    if !request.path.is_absolute() {
        let detail = format!("{} is not an absolute path", quoted(&request.path.to_string_lossy()));
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Give the path from the root folder on."));
    }
    let vm = core.host.register(request.path).await?;
    // What a key server does not give now, it is asked for again and again.
    if let Err(problem) = fetch_missing(core, &vm).await {
        tracing::info!(%problem, "a registered VM stays locked");
    }
    core.record(vec![Draft::new("vm.registered", format!("VM {} was registered.", vm.name)).vm(vm.id).by(by)]).await;
    show(core, &vm.id.to_string()).await
}

/// Drops a VM home from the inventory; its files stay. Gives the VM as it was.
pub(crate) async fn unregister(core: &Core, vm: &str, by: &Actor) -> Result<Vm, Problem> {
    let vm = show(core, vm).await?;
    let _held = core.tasks.hold_for_request(&vm)?;
    core.host.unregister(vm.id).await?;
    let message = format!("VM {} was unregistered; its files stay.", vm.name);
    core.record(vec![Draft::new("vm.unregistered", message).vm(vm.id).by(by)]).await;
    Ok(vm)
}

/// The VM with this ID or name, as the host has it.
async fn find(core: &Core, id_or_name: &str) -> Result<Vm, Problem> {
    if let Ok(id) = id_or_name.parse::<VmId>() {
        match core.host.vm(id).await {
            Err(problem) if problem.code == ProblemCode::NoSuchVm => {}
            found => return found,
        }
    }
    let mut named: Vec<Vm> = core.host.vms().await?.into_iter().filter(|vm| vm.name == id_or_name).collect();
    match (named.pop(), named.is_empty()) {
        (Some(vm), true) => Ok(vm),
        (Some(last), false) => Err(ambiguous(id_or_name, named.iter().chain([&last]))),
        (None, _) => Err(Problem::new(ProblemCode::NoSuchVm, format!("there is no VM {} here", quoted(id_or_name)))
            .next("See `cadenas vm ls`; a VM home from elsewhere comes in with `cadenas vm register PATH`.")),
    }
}

fn ambiguous<'a>(name: &str, vms: impl Iterator<Item = &'a Vm>) -> Problem {
    let ids: Vec<String> = vms.map(|vm| vm.id.to_string()).collect();
    let detail = format!("{} VMs are named {}: {}", ids.len(), quoted(name), crate::text::listed(&ids));
    Problem::new(ProblemCode::AmbiguousVm, detail).next("Name the VM by its ID.")
}

/// What a verification found, with the names of the providers, which the host does not know.
pub(crate) async fn with_provider_names(core: &Core, mut outcome: VmOutcome) -> VmOutcome {
    let keys = outcome.objects.iter_mut().filter_map(|object| object.key.as_mut());
    let unnamed: Vec<_> = keys.collect();
    // The names are for people: without them the verdict is the same.
    if !unnamed.is_empty()
        && let Ok(catalog) = core.catalog().await
    {
        for key in unnamed {
            key.name = catalog.name_of(key.id).map(ToString::to_string);
        }
    }
    outcome
}

fn decrypt(request: &SetPolicy) -> Result<VmOperation, Problem> {
    let SetPolicy { policy: _, provider, disks, home, format, method, jobs, rate_limit, wipe } = request;
    if provider.is_none() && disks.is_empty() && home.is_none() && format.is_none() && wipe.is_none() {
        let work = DiskWork { method: *method, jobs: *jobs, rate_limit: *rate_limit };
        return Ok(VmOperation::Decrypt { work });
    }
    let detail = format!(
        "provider, disks, VM home, format and wiping belong to encrypting, and \"{DATASTORE_DEFAULT}\" decrypts"
    );
    Err(Problem::new(ProblemCode::BadRequest, detail).next("Leave them out."))
}

/// The key that `vm` is to be wrapped under: the current one of a native provider, or `vm`'s own of a standard one. With
/// `fresh` a standard provider makes a new one in any case.
async fn wrapping_key(
    core: &Arc<Core>,
    provider: Option<&str>,
    vm: &Vm,
    fresh: bool,
) -> Result<(ProviderId, KeyId), Problem> {
    let record = wrapping_provider(core, &core.catalog().await?, provider)?;
    let key = match &record.kind {
        KindRecord::Native(native) => native.current().expect("an active provider has a current key").id,
        KindRecord::Standard(_) => kms::wrapping(core, &record, vm, fresh).await?,
    };
    Ok((record.id, key))
}

/// The named or the default provider, if it can encrypt.
pub(crate) fn wrapping_provider(
    core: &Core,
    catalog: &Catalog,
    provider: Option<&str>,
) -> Result<ProviderRecord, Problem> {
    let record = match (provider, catalog.default) {
        (Some(named), _) => catalog.find(named)?,
        (None, Some(default)) => catalog.find(&default.to_string())?,
        (None, None) => return Err(no_default(catalog)),
    };
    let (state, reason) = providers::state_now(core, record);
    let wraps = match record.kind {
        // Whether the key servers answer shows when they are asked.
        KindRecord::Standard(_) => state != ProviderState::NotTrusted,
        KindRecord::Native(_) => state == ProviderState::Active,
    };
    if wraps { Ok(record.clone()) } else { Err(not_usable(record, state, reason)) }
}

fn not_usable(record: &ProviderRecord, state: ProviderState, reason: Option<String>) -> Problem {
    if state == ProviderState::NotBackedUp {
        let detail = format!("key provider {} is in no backup, so it encrypts nothing", record.name);
        return Problem::new(ProblemCode::ProviderNotBackedUp, detail)
            .next(format!("Run `cadenas provider backup {} --out FILE.p12`.", record.name));
    }
    let detail = format!("key provider {} cannot encrypt now: {}", record.name, reason.unwrap_or_default());
    Problem::new(ProblemCode::ProviderNotUsable, detail).next(format!("See `cadenas provider show {}`.", record.name))
}

fn no_default(catalog: &Catalog) -> Problem {
    let next = if catalog.providers.is_empty() {
        "Make one: `cadenas provider create NAME`, then `cadenas provider backup NAME --out FILE.p12`."
    } else {
        "Name one with `--provider`, or run `cadenas provider set-default NAME`."
    };
    Problem::new(ProblemCode::NoDefaultProvider, "there is no default key provider and none was named").next(next)
}
