//! Compromised keys of providers that are gone: what they wrapped needs new data keys still, and they wrap nothing should the
//! provider come back.

use std::collections::BTreeSet;

use cadenas_api::Problem;
use cadenas_keys::{KeyId, ProviderId};
use cadenas_store::{Key, Prefix, Range, Record, StoreExt, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    events::Written,
    kms::Keks,
    providers::ProviderRecord,
};

const COMPROMISED: &str = "compromised";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompromisedRecord {
    provider: ProviderId,
    key: KeyId,
}

impl Record for CompromisedRecord {
    const VERSION: u32 = 1;
}

/// Every one that is remembered.
pub(crate) async fn all(core: &Core) -> Result<BTreeSet<(ProviderId, KeyId)>, Problem> {
    let prefix: Prefix = COMPROMISED.parse().expect("a constant that is a key");
    let page =
        core.store.range_as::<CompromisedRecord>(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
    Ok(page.items.into_iter().map(|stored| (stored.value.provider, stored.value.key)).collect())
}

/// Remembers keys, whatever becomes of their provider.
pub(crate) async fn remember(core: &Core, keys: &[(ProviderId, KeyId)]) -> Result<(), Problem> {
    /// Well below what a transaction takes.
    const AT_ONCE: usize = 64;
    for some in keys.chunks(AT_ONCE) {
        let put = |txn: Txn, (provider, key): &(ProviderId, KeyId)| {
            txn.put_as(store_key(*provider, *key), &CompromisedRecord { provider: *provider, key: *key })
        };
        let txn = some.iter().try_fold(Txn::new(), put).map_err(|error| store_failed(&error))?;
        let _: Written = core.commit(txn, vec![]).await?;
    }
    Ok(())
}

/// The compromised ones among a provider's keys.
pub(crate) fn of(record: &ProviderRecord, keks: &Keks) -> Vec<(ProviderId, KeyId)> {
    let versions = record.as_native().map_or(&[][..], |native| &native.versions);
    let native = versions.iter().filter(|version| version.compromised.is_some()).map(|version| version.id);
    let of_keks = keks.values().filter(|kek| kek.provider == record.id && kek.is_compromised()).map(|kek| kek.key);
    native.chain(of_keks).map(|key| (record.id, key)).collect()
}

fn store_key(provider: ProviderId, key: KeyId) -> Key {
    format!("{COMPROMISED}/{provider}/{key}").parse().expect("UUIDs are allowed in keys")
}
