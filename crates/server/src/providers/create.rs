//! Creation, names, the default, and new versions of the key.

use std::sync::Arc;

use cadenas_api::{Actor, CreateProvider, Problem, ProblemCode, Provider, ProviderKind, ProviderName};
use cadenas_keys::{Kdk, KeyId, MAX_BACKUP_KEYS, ProviderId};
use jiff::Timestamp;

use super::{
    model::{Catalog, KindRecord, MOST_PROVIDERS, NativeRecord, ProviderRecord, VersionRecord, parse_name},
    show,
};
use crate::{
    core::{Core, off_thread},
    events::Draft,
    features,
    kms::{self, StandardRecord},
    rotation::RotationRecord,
};

/// Makes a provider. A native one has a fresh key and encrypts nothing until it is backed up; a standard one encrypts nothing
/// until its key servers are trusted.
pub(crate) async fn create(core: &Arc<Core>, request: CreateProvider, by: &Actor) -> Result<Provider, Problem> {
    let (name, id) = (parse_name(&request.name)?, request.id.unwrap_or_else(ProviderId::random));
    let record = match request.kind {
        ProviderKind::Native => native(core, id, name, &request).await?,
        ProviderKind::Standard => standard(id, name, &request)?,
    };
    core.change_catalog(|catalog| Ok(((), catalog.create(&record, by)?))).await?;
    show(core, &id.to_string()).await
}

async fn native(
    core: &Core,
    id: ProviderId,
    name: ProviderName,
    request: &CreateProvider,
) -> Result<ProviderRecord, Problem> {
    if !request.kms.is_empty() {
        let problem = Problem::new(ProblemCode::BadRequest, "a native key provider has no key servers");
        return Err(problem.next("Leave them out, or make a standard one with `--kind standard`."));
    }
    if request.id.is_some() {
        let problem =
            Problem::new(ProblemCode::BadRequest, "a native key provider has the ID that its keys were made for");
        return Err(problem.next("Bring it here with its backup: `cadenas provider restore FILE.p12`."));
    }
    features::require_native_key_provider(core).await?;
    let first = fresh_version(core, id).await?;
    let (created, tpm_required) = (first.created, request.tpm_required);
    Ok(ProviderRecord::native(id, name, created, NativeRecord { tpm_required, versions: vec![first] }))
}

fn standard(id: ProviderId, name: ProviderName, request: &CreateProvider) -> Result<ProviderRecord, Problem> {
    if request.tpm_required {
        let problem = Problem::new(ProblemCode::BadRequest, "a standard key provider leaves no key on a host's disk");
        return Err(problem.next("Leave out the demand for a TPM: there is nothing that it would seal."));
    }
    let kind = KindRecord::Standard(StandardRecord::new(kms::parse_servers(&request.kms)?));
    Ok(ProviderRecord { id, name, created: Timestamp::now(), kind, rotation: RotationRecord::default() })
}

/// Gives a provider another name.
pub(crate) async fn rename(core: &Arc<Core>, provider: &str, name: &str, by: &Actor) -> Result<Provider, Problem> {
    let name = parse_name(name)?;
    let rename = |catalog: &mut Catalog| {
        let id = catalog.find(provider)?.id;
        Ok((id, catalog.rename(id, &name, by)?))
    };
    let id = core.change_catalog(rename).await?;
    show(core, &id.to_string()).await
}

/// Makes a provider the default.
pub(crate) async fn set_default(core: &Arc<Core>, provider: &str, by: &Actor) -> Result<Provider, Problem> {
    let set = |catalog: &mut Catalog| {
        let id = catalog.find(provider)?.id;
        Ok((id, catalog.set_default(id, by)?))
    };
    let id = core.change_catalog(set).await?;
    show(core, &id.to_string()).await
}

/// Makes a new version of a native provider's key. The last version that is backed up goes on encrypting until the new one is.
pub(crate) async fn add_version(core: &Arc<Core>, id: ProviderId, by: Option<&Actor>) -> Result<(), Problem> {
    let version = fresh_version(core, id).await?;
    core.change_catalog(|catalog| Ok(((), catalog.rotate(id, version.clone(), by)?))).await
}

async fn fresh_version(core: &Core, provider: ProviderId) -> Result<VersionRecord, Problem> {
    let seal = Arc::clone(&core.seal);
    off_thread(move || VersionRecord::seal(&*seal, provider, KeyId::random(), &Kdk::generate(), Timestamp::now())).await
}

impl Catalog {
    pub(super) fn create(&mut self, record: &ProviderRecord, by: &Actor) -> Result<Vec<Draft>, Problem> {
        self.check_name_free(&record.name, record.id, "Choose another name, or remove the other provider first.")?;
        if let Some(same) = self.providers.get(&record.id) {
            let detail = format!("key provider {} has the ID {} already", same.name, same.id);
            return Err(Problem::new(ProblemCode::BadRequest, detail).next("Use that one; its VMs open with it."));
        }
        let becomes_default = self.add(record.clone())?;
        let message = format!("Key provider {} was created{}.", record.name, default_clause(becomes_default));
        Ok(vec![Draft::new("provider.created", message).provider(record.id).by(by)])
    }

    /// Adds a provider whose name is free. The very first one becomes the default; tells whether it did.
    pub(super) fn add(&mut self, record: ProviderRecord) -> Result<bool, Problem> {
        if self.providers.len() >= MOST_PROVIDERS {
            let detail = format!("there are {MOST_PROVIDERS} key providers, and a server takes no more");
            return Err(Problem::new(ProblemCode::TooManyProviders, detail)
                .next("Remove one that no VM uses: `cadenas provider ls` shows how many use each."));
        }
        let becomes_default = self.providers.is_empty();
        if becomes_default {
            self.default = Some(record.id);
        }
        self.providers.insert(record.id, record);
        Ok(becomes_default)
    }

    pub(super) fn rename(&mut self, id: ProviderId, name: &ProviderName, by: &Actor) -> Result<Vec<Draft>, Problem> {
        self.check_name_free(name, id, "Choose another name.")?;
        let record = self.provider_mut(id)?;
        if record.name == *name {
            return Ok(vec![]);
        }
        let message = format!("Key provider {} was renamed to {name}.", record.name);
        record.name = name.clone();
        Ok(vec![Draft::new("provider.renamed", message).provider(id).by(by)])
    }

    pub(super) fn set_default(&mut self, id: ProviderId, by: &Actor) -> Result<Vec<Draft>, Problem> {
        let message = format!("Key provider {} became the default.", self.provider_mut(id)?.name);
        if self.default.replace(id) == Some(id) {
            return Ok(vec![]);
        }
        Ok(vec![Draft::new("provider.default-set", message).provider(id).by(by)])
    }

    pub(super) fn rotate(
        &mut self,
        id: ProviderId,
        version: VersionRecord,
        by: Option<&Actor>,
    ) -> Result<Vec<Draft>, Problem> {
        let record = self.provider_mut(id)?;
        let name = record.name.clone();
        let native = record.as_native_mut()?;
        if native.versions.len() >= MAX_BACKUP_KEYS {
            let detail =
                format!("key provider {name} has {MAX_BACKUP_KEYS} versions of its key, all that a backup holds");
            return Err(Problem::new(ProblemCode::ProviderNotUsable, detail).next(
                "Make another provider and re-encrypt the VMs with it: `cadenas vm recrypt VM --provider NEW`.",
            ));
        }
        let message = format!("Key provider {name} got a new key {}; it encrypts once it is backed up.", version.id);
        let created = version.created;
        native.versions.push(version);
        self.note_rotation(id, created)?;
        Ok(vec![Draft::new("provider.rotated", message).provider(id).by_if(by)])
    }
}

/// The end of a sentence that says of a new provider whether it became the default.
pub(super) fn default_clause(becomes_default: bool) -> &'static str {
    if becomes_default { " and, as the first one, made the default" } else { "" }
}
