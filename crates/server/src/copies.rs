//! Copies of VM homes that were made known, such as backups: what they need is not removed unnoticed.

use std::{path::PathBuf, sync::Arc};

use cadenas_api::{Actor, HomeKeys, KnownCopy, MissingKey, Problem, ProblemCode};
use cadenas_keys::VmId;
use cadenas_secret::digest;
use cadenas_store::{Key, Prefix, Range, Record, StoreExt, Txn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    events::{Draft, Written},
    text::quoted,
};

const COPIES: &str = "copy";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyRecord {
    path: PathBuf,
    vm: VmId,
    name: String,
    keys: Vec<MissingKey>,
    seen: Timestamp,
}

impl Record for CopyRecord {
    const VERSION: u32 = 1;
}

/// Every copy that is known, by path, as it is now, or as it was last seen.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<KnownCopy>, Problem> {
    let prefix: Prefix = COPIES.parse().expect("a constant that is a key");
    let page = core.store.range_as::<CopyRecord>(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
    let mut copies = Vec::with_capacity(page.items.len());
    for stored in page.items {
        copies.push(look_again(core, stored.value).await?);
    }
    copies.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(copies)
}

/// A copy may have been made anew since: what it needs now counts, if it can be read.
async fn look_again(core: &Core, record: CopyRecord) -> Result<KnownCopy, Problem> {
    match core.host.look_at_home(record.path.clone()).await {
        Ok(home) => {
            let fresh = seen(record.path.clone(), home);
            if fresh.keys != record.keys {
                write(core, &fresh, vec![]).await?;
            }
            Ok(view(fresh, None))
        }
        Err(problem) => Ok(view(record, Some(problem.detail))),
    }
}

/// Makes a copy known.
pub(crate) async fn add(core: &Arc<Core>, path: PathBuf, by: &Actor) -> Result<KnownCopy, Problem> {
    if !path.is_absolute() {
        let detail = format!("{} is not an absolute path", quoted(&path.to_string_lossy()));
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Give the path from the root folder on."));
    }
    let record = seen(path.clone(), core.host.look_at_home(path).await?);
    let message = format!("A copy of VM {} at {} is known.", record.name, record.path.display());
    let draft = Draft::new("copy.added", message).vm(record.vm).by(by);
    write(core, &record, vec![draft]).await?;
    Ok(view(record, None))
}

/// Forgets a copy; its files stay. Gives it as it was known.
pub(crate) async fn forget(core: &Arc<Core>, path: PathBuf, by: &Actor) -> Result<KnownCopy, Problem> {
    let key = store_key(&path);
    let stored = core.store.get_as::<CopyRecord>(&key).await.map_err(|error| store_failed(&error))?;
    let Some(stored) = stored else {
        let detail = format!("no copy at {} is known", quoted(&path.to_string_lossy()));
        return Err(Problem::new(ProblemCode::NotFound, detail).next("See `cadenas copy ls`."));
    };
    let message = format!("The copy of VM {} at {} is not known any more.", stored.value.name, path.display());
    let draft = Draft::new("copy.forgotten", message).vm(stored.value.vm).by(by);
    let _: Written = core.commit(Txn::new().delete(key), vec![draft]).await?;
    Ok(view(stored.value, None))
}

fn seen(path: PathBuf, home: HomeKeys) -> CopyRecord {
    let HomeKeys { vm, name, keys } = home;
    CopyRecord { path, vm, name, keys: keys.into_iter().map(MissingKey::from).collect(), seen: Timestamp::now() }
}

fn view(record: CopyRecord, problem: Option<String>) -> KnownCopy {
    let CopyRecord { path, vm, name, keys, seen } = record;
    KnownCopy { path, vm, name, keys, seen, problem }
}

async fn write(core: &Core, record: &CopyRecord, drafts: Vec<Draft>) -> Result<(), Problem> {
    let txn = Txn::new().put_as(store_key(&record.path), record).map_err(|error| store_failed(&error))?;
    core.commit(txn, drafts).await.map(|_: Written| ())
}

/// Paths may hold what keys may not.
fn store_key(path: &std::path::Path) -> Key {
    let digest = digest::sha256(&[path.as_os_str().as_encoded_bytes()]);
    format!("{COPIES}/{}", hex::encode(digest)).parse().expect("hex digits are allowed in keys")
}
