//! Removal, and what stands in its way.

use std::sync::Arc;

use cadenas_api::{Actor, DeleteProvider, KeyUser, Problem, ProblemCode, Provider};
use cadenas_keys::ProviderId;

use super::{
    model::{Catalog, KindRecord, ProviderRecord},
    view::view,
};
use crate::{
    compromised, copies,
    core::Core,
    events::Draft,
    kms,
    text::{listed, quoted},
};

/// Removes a provider and its keys, from the host too. Gives the provider as it was.
///
/// While VMs use it this is refused, unless `force` is said and the provider's name repeated.
pub(crate) async fn remove(
    core: &Arc<Core>,
    provider: &str,
    request: &DeleteProvider,
    by: &Actor,
) -> Result<Provider, Problem> {
    let _no_task_begins = core.provider_use.write().await;
    let catalog = core.catalog().await?;
    let record = catalog.find(provider)?.clone();
    let vms = core.host.vms().await;
    let keks = kms::of(core, record.id).await?;
    let before = view(core, &catalog, &record, vms.as_deref(), &keks);
    let copies = copies_that_need(core, record.id).await?;
    let users = permitted(core, &record, request, core.host.key_users().await, &copies)?;
    compromised::remember(core, &compromised::of(&record, &keks)).await?;
    core.change_catalog(|catalog| Ok(((), catalog.remove(record.id, &users, by)?))).await?;
    core.pushes.forget(record.id);
    core.clusters.forget(record.id);
    kms::forget(core, record.id).await?;
    forget_old_values(core).await;
    core.host.forget_provider(record.id).await?;
    Ok(before)
}

/// The known copies of VM homes that need a provider, for people.
async fn copies_that_need(core: &Arc<Core>, id: ProviderId) -> Result<Vec<String>, Problem> {
    let copies = copies::list(core).await?;
    let need = copies.into_iter().filter(|copy| copy.keys.iter().any(|needed| needed.provider == id));
    Ok(need.map(|copy| format!("the copy of {} at {}", copy.name, copy.path.display())).collect())
}

/// The names of the VMs that will lock, if the request allows that.
fn permitted(
    core: &Core,
    record: &ProviderRecord,
    request: &DeleteProvider,
    key_users: Result<Vec<KeyUser>, Problem>,
    copies: &[String],
) -> Result<Vec<String>, Problem> {
    if request.force {
        confirmed(record, request)?;
        return Ok(users(core, record.id, &key_users.unwrap_or_default()));
    }
    let key_users = key_users.map_err(|problem| not_known(record, problem))?;
    let users = users(core, record.id, &key_users);
    if !users.is_empty() || !copies.is_empty() {
        return Err(in_use(record, &users, copies));
    }
    match key_users.into_iter().find_map(|user| user.keys.err()) {
        Some(problem) => Err(not_known(record, problem)),
        None => Ok(users),
    }
}

fn not_known(record: &ProviderRecord, problem: Problem) -> Problem {
    let detail = format!("which VMs use key provider {} is not known: {}", record.name, problem.detail);
    Problem { detail, ..problem }
}

fn confirmed(record: &ProviderRecord, request: &DeleteProvider) -> Result<(), Problem> {
    if request.confirm.as_deref() == Some(record.name.as_str()) {
        return Ok(());
    }
    let said = request.confirm.as_deref().map_or_else(|| "nothing".to_owned(), quoted);
    let detail = format!("the name {} must be repeated to remove the provider by force; {said} was given", record.name);
    Err(Problem::new(ProblemCode::NotConfirmed, detail).next("Type the provider's name again."))
}

/// The VMs that need the provider, and those that a task is wrapping under it now.
fn users(core: &Core, id: ProviderId, key_users: &[KeyUser]) -> Vec<String> {
    let needs = |user: &&KeyUser| user.keys.iter().flatten().any(|(provider, _)| *provider == id);
    let wrapped = key_users.iter().filter(needs).map(|user| user.name.clone());
    let mut users: Vec<String> = wrapped.chain(core.tasks.vms_using(id)).collect();
    users.sort();
    users.dedup();
    users
}

fn in_use(record: &ProviderRecord, users: &[String], copies: &[String]) -> Problem {
    if users.is_empty() {
        let detail = format!("key provider {} is needed by {}", record.name, listed(copies));
        return Problem::new(ProblemCode::ProviderInUse, detail).next(
            "Make those copies anew and forget the old ones (`cadenas copy rm PATH`). With `--force` they stay closed.",
        );
    }
    let needed = if copies.is_empty() { String::new() } else { format!("; and needed by {}", listed(copies)) };
    let detail = format!("key provider {} is used by {}: {}{needed}", record.name, counted(users.len()), listed(users));
    let forced = match record.kind {
        KindRecord::Native(_) => "open again only when the provider is restored from its backup",
        KindRecord::Standard(_) => "open only with `cadenas recover`, with their keys out of the key server",
    };
    Problem::new(ProblemCode::ProviderInUse, detail).next(format!(
        "Re-encrypt them with another provider (`cadenas vm recrypt VM --provider OTHER`) or decrypt them first. With \
         `--force` they lock when they stop, and {forced}."
    ))
}

fn counted(vms: usize) -> String {
    if vms == 1 { "1 VM".to_owned() } else { format!("{vms} VMs") }
}

/// The store remembers its last changes for those who watch; a removed key shall not stay among them.
async fn forget_old_values(core: &Core) {
    let compacted = match core.store.range(&cadenas_store::Range::of(cadenas_store::Prefix::all()).limit(0)).await {
        Ok(page) => core.store.compact(page.revision).await,
        Err(error) => Err(error),
    };
    if let Err(error) = compacted {
        tracing::warn!(%error, "the removed keys stay, sealed, in the store's history for a while");
    }
}

impl Catalog {
    /// Drops the provider; of the default, none is left.
    pub(super) fn remove(&mut self, id: ProviderId, users: &[String], by: &Actor) -> Result<Vec<Draft>, Problem> {
        let record = self.provider_mut(id)?;
        let force = match users {
            [] => String::new(),
            users => format!(" by force although {} used it: {}", counted(users.len()), listed(users)),
        };
        let mut message = format!("Key provider {} was removed{force}", record.name);
        self.providers.remove(&id);
        if self.default.take_if(|default| *default == id).is_some() {
            message += "; there is no default key provider now";
        }
        Ok(vec![Draft::new("provider.removed", message + ".").provider(id).by(by)])
    }
}
