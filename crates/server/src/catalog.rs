//! The providers as the store has them, read as a whole and changed by compare-and-set.
//!
//! A change is planned by a function without I/O on a copy of the [`Catalog`]; what differs afterwards is written together
//! with the events, if nobody else changed it meanwhile; else it is planned again on what is there then. Changes of names, of
//! the default and of which providers there are also write the entry of the default, so that no two of them pass each other.

use std::collections::BTreeMap;

use cadenas_api::{Problem, ProblemCode};
use cadenas_keys::ProviderId;
use cadenas_store::{Entry, Key, Prefix, Range, Record, Revision, StoreError, Stored, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    events::{Draft, Written},
    providers::{Catalog, ProviderRecord},
};

/// Providers are stored below this, by ID.
pub(crate) const PROVIDERS: &str = "provider/id";
const ALL: &str = "provider";
const DEFAULT: &str = "provider/default";
/// Plans before the server gives up; others would have to change the same provider as often in between.
const MOST_ATTEMPTS: usize = 20;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultRecord {
    provider: Option<ProviderId>,
}

impl Record for DefaultRecord {
    const VERSION: u32 = 1;
}

/// A catalog with what is needed to replace it.
#[derive(Debug, Default)]
struct Loaded {
    catalog: Catalog,
    default_revision: Option<Revision>,
    revisions: BTreeMap<ProviderId, Revision>,
}

impl Core {
    /// Every provider, as of now.
    pub(crate) async fn catalog(&self) -> Result<Catalog, Problem> {
        Ok(self.load().await?.catalog)
    }

    /// Plans a change and writes it with its events. Without events and without a difference nothing is written.
    pub(crate) async fn change_catalog<T>(
        &self,
        mut plan: impl FnMut(&mut Catalog) -> Result<(T, Vec<Draft>), Problem>,
    ) -> Result<T, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let loaded = self.load().await?;
            let mut planned = loaded.catalog.clone();
            let (result, drafts) = plan(&mut planned)?;
            if planned == loaded.catalog && drafts.is_empty() {
                return Ok(result);
            }
            let txn = difference(&loaded, &planned).map_err(|error| store_failed(&error))?;
            if let Written::Done(_) = self.commit(txn, drafts).await? {
                return Ok(result);
            }
        }
        Err(Problem::new(ProblemCode::Internal, "the key providers were changed by others all the time")
            .next("Try again."))
    }

    async fn load(&self) -> Result<Loaded, Problem> {
        let prefix: Prefix = ALL.parse().expect("a constant that is a key");
        let page = self.store.range(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
        read(page.entries).map_err(|error| store_failed(&error))
    }
}

fn read(entries: Vec<Entry>) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    for entry in entries {
        if entry.key == default_key() {
            let stored: Stored<DefaultRecord> = Stored::from_entry(entry)?;
            loaded.catalog.default = stored.value.provider;
            loaded.default_revision = Some(stored.revision);
        } else {
            let stored: Stored<ProviderRecord> = Stored::from_entry(entry)?;
            loaded.revisions.insert(stored.value.id, stored.revision);
            loaded.catalog.providers.insert(stored.value.id, stored.value);
        }
    }
    Ok(loaded)
}

/// The transaction that makes `planned` of what was loaded.
fn difference(loaded: &Loaded, planned: &Catalog) -> Result<Txn, StoreError> {
    let before = &loaded.catalog;
    let mut txn = Txn::new();
    for (id, record) in &planned.providers {
        if before.providers.get(id) != Some(record) {
            txn = if_unchanged(txn, provider_key(*id), loaded.revisions.get(id)).put_as(provider_key(*id), record)?;
        }
    }
    for id in before.providers.keys().filter(|id| !planned.providers.contains_key(id)) {
        txn = if_unchanged(txn, provider_key(*id), loaded.revisions.get(id)).delete(provider_key(*id));
    }
    if before.default != planned.default || names(before) != names(planned) {
        let record = DefaultRecord { provider: planned.default };
        txn = if_unchanged(txn, default_key(), loaded.default_revision.as_ref()).put_as(default_key(), &record)?;
    }
    Ok(txn)
}

fn if_unchanged(txn: Txn, key: Key, revision: Option<&Revision>) -> Txn {
    match revision {
        Some(revision) => txn.if_revision(key, *revision),
        None => txn.if_absent(key),
    }
}

fn names(catalog: &Catalog) -> Vec<(ProviderId, &str)> {
    catalog.providers.values().map(|record| (record.id, record.name.as_str())).collect()
}

fn provider_key(id: ProviderId) -> Key {
    format!("{PROVIDERS}/{id}").parse().expect("a UUID is allowed in keys")
}

fn default_key() -> Key {
    DEFAULT.parse().expect("a constant that is a key")
}
