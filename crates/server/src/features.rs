//! Features that a service provider switches.

use cadenas_api::{Actor, Feature, NATIVE_KEY_PROVIDER, Problem, ProblemCode, SetFeature};
use cadenas_store::{Key, Record, StoreExt, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    events::{Draft, Written},
    text::quoted,
};

const DESCRIPTION: &str = "Create and restore native key providers. Those that exist go on while it is off.";
/// Longer texts would not be read.
const LONGEST_MESSAGE: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureRecord {
    enabled: bool,
    message: Option<String>,
}

impl Record for FeatureRecord {
    const VERSION: u32 = 1;
}

/// Every feature.
pub(crate) async fn list(core: &Core) -> Result<Vec<Feature>, Problem> {
    Ok(vec![to_feature(read(core).await?)])
}

/// Switches a feature. Switching it on drops the message.
pub(crate) async fn set(core: &Core, name: &str, request: SetFeature, by: &Actor) -> Result<Feature, Problem> {
    check(name, &request)?;
    let message = request.message.filter(|message| !request.enabled && !message.is_empty());
    let record = FeatureRecord { enabled: request.enabled, message };
    if record == read(core).await? {
        return Ok(to_feature(record));
    }
    let txn = Txn::new().put_as(key(), &record).map_err(|error| store_failed(&error))?;
    match core.commit(txn, vec![changed(&record).by(by)]).await? {
        Written::Done(_) => Ok(to_feature(record)),
        Written::Conflict => unreachable!("nothing is compared"),
    }
}

/// Refuses while the feature is off, with the service provider's words.
pub(crate) async fn require_native_key_provider(core: &Core) -> Result<(), Problem> {
    let record = read(core).await?;
    if record.enabled {
        return Ok(());
    }
    let message = record.message.map(|message| format!(": {message}")).unwrap_or_default();
    let detail = format!("creating and restoring native key providers is switched off here{message}");
    Err(Problem::new(ProblemCode::FeatureDisabled, detail)
        .next("Ask who runs this server; `cadenas feature enable native-key-provider` switches it on."))
}

fn check(name: &str, request: &SetFeature) -> Result<(), Problem> {
    if name != NATIVE_KEY_PROVIDER {
        let detail = format!("there is no feature {}", quoted(name));
        return Err(Problem::new(ProblemCode::NoSuchFeature, detail).next("See `cadenas feature ls`."));
    }
    if request.message.as_ref().is_some_and(|message| message.chars().count() > LONGEST_MESSAGE) {
        let detail = format!("the message is longer than {LONGEST_MESSAGE} characters");
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Write a shorter one."));
    }
    Ok(())
}

async fn read(core: &Core) -> Result<FeatureRecord, Problem> {
    let stored = core.store.get_as(&key()).await.map_err(|error| store_failed(&error))?;
    Ok(stored.map_or(FeatureRecord { enabled: true, message: None }, |stored| stored.value))
}

fn changed(record: &FeatureRecord) -> Draft {
    match (record.enabled, &record.message) {
        (true, _) => Draft::new("feature.enabled", format!("Feature {NATIVE_KEY_PROVIDER} was switched on.")),
        (false, None) => Draft::new("feature.disabled", format!("Feature {NATIVE_KEY_PROVIDER} was switched off.")),
        (false, Some(message)) => {
            Draft::new("feature.disabled", format!("Feature {NATIVE_KEY_PROVIDER} was switched off: {message}"))
        }
    }
}

fn to_feature(record: FeatureRecord) -> Feature {
    Feature {
        name: NATIVE_KEY_PROVIDER.to_owned(),
        enabled: record.enabled,
        message: record.message,
        description: DESCRIPTION.to_owned(),
    }
}

fn key() -> Key {
    Key::from_segments(&["feature", NATIVE_KEY_PROVIDER]).expect("a constant that is a key")
}
