//! The KEKs of standard providers: one for each VM, made in the key server, fetched when a VM needs it, kept by the host alone.

use std::{collections::BTreeMap, sync::Arc};

use cadenas_api::{KeyPush, KmsKeyState, MissingKey, Problem, ProblemCode, Vm};
use cadenas_keys::{Fingerprint, Kek, KeyId, KmsKeyId, ProviderId, ProviderKey, VmId};
use cadenas_kmip::{Cluster, FetchedKey, KeyState, KmipError, KmipId};
use cadenas_secret::SecretBytes;
use cadenas_store::{Key, Prefix, Range, Record, StoreExt, Txn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clusters::{ask, problem};
use crate::{
    core::{Core, store_failed},
    events::{Draft, Written},
    exposure,
    providers::ProviderRecord,
};

const KEKS: &str = "kek";

/// What is known of a KEK: everything but the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KekRecord {
    pub(crate) provider: ProviderId,
    pub(crate) key: KeyId,
    pub(crate) kms_key: KmsKeyId,
    /// Whose.
    pub(crate) vm: VmId,
    pub(crate) created: Timestamp,
    /// Of the key itself; not known of one that was made elsewhere and came with a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// As last seen in the key server.
    pub(crate) state: KmsKeyState,
    /// When it was said that somebody else may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compromised: Option<Timestamp>,
}

impl Record for KekRecord {
    const VERSION: u32 = 1;
}

impl KekRecord {
    fn store_key(&self) -> Key {
        store_key(self.provider, self.vm, self.key)
    }

    /// Whether somebody else may have it.
    pub(crate) fn is_compromised(&self) -> bool {
        let in_server = matches!(self.state, KmsKeyState::Compromised | KmsKeyState::DestroyedCompromised);
        in_server || self.compromised.is_some()
    }

    /// Whether it may wrap.
    pub(crate) fn is_usable(&self) -> bool {
        self.state == KmsKeyState::Active && self.compromised.is_none()
    }
}

/// Every KEK that is known here.
pub(crate) type Keks = BTreeMap<(ProviderId, KeyId), KekRecord>;

/// Every KEK that is known here, of all standard providers.
pub(crate) async fn all(core: &Core) -> Result<Keks, Problem> {
    range(core, KEKS).await
}

/// The KEKs of one provider.
pub(crate) async fn of(core: &Core, provider: ProviderId) -> Result<Keks, Problem> {
    range(core, &format!("{KEKS}/{provider}")).await
}

async fn range(core: &Core, prefix: &str) -> Result<Keks, Problem> {
    let prefix: Prefix = prefix.parse().expect("a constant and a UUID are allowed in keys");
    let page = core.store.range_as::<KekRecord>(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
    Ok(page.items.into_iter().map(|stored| ((stored.value.provider, stored.value.key), stored.value)).collect())
}

/// Forgets what is known of a provider's KEKs; in the key servers they stay.
pub(crate) async fn forget(core: &Core, provider: ProviderId) -> Result<(), Problem> {
    /// Well below what a transaction takes.
    const AT_ONCE: usize = 64;
    let keks: Vec<_> = of(core, provider).await?.into_values().collect();
    for some in keks.chunks(AT_ONCE) {
        let txn = some.iter().fold(Txn::new(), |txn, kek| txn.delete(kek.store_key()));
        let _: Written = core.commit(txn, vec![]).await?;
    }
    Ok(())
}

/// The KEK that `vm` is to be wrapped under: the present one of this provider if it will do, else a new one. The host has it
/// when this returns.
pub(crate) async fn wrapping(
    core: &Arc<Core>,
    record: &ProviderRecord,
    vm: &Vm,
    fresh: bool,
) -> Result<KeyId, Problem> {
    let keks = range(core, &format!("{KEKS}/{}/{}", record.id, vm.id)).await?;
    let reusable = match present(record, vm, &keks).filter(|_| !fresh) {
        Some(kek) => Some(kek),
        None => unused(record, vm, &keks, &exposure::former_keys(core, vm.id).await?),
    };
    match reusable {
        Some(kek) => give_again(core, record, kek).await,
        None => make(core, record, vm).await,
    }
}

/// The KEK of this provider that all of `vm` is wrapped under, if it may go on.
pub(crate) fn present<'a>(record: &ProviderRecord, vm: &Vm, keks: &'a Keks) -> Option<&'a KekRecord> {
    let [only] = &vm.providers[..] else { return None };
    let kek = keks.get(&(record.id, only.key)).filter(|_| only.id == record.id)?;
    (kek.is_usable() && !record.rotation.replaces(kek.created)).then_some(kek)
}

/// A KEK that was made for `vm` a short while ago and that nothing is wrapped under, because what it was made for failed.
fn unused<'a>(
    record: &ProviderRecord,
    vm: &Vm,
    keks: &'a Keks,
    former: &[(ProviderId, KeyId)],
) -> Option<&'a KekRecord> {
    const HOUR: i64 = 60 * 60;
    let is_fresh = |kek: &KekRecord| Timestamp::now().as_second() - kek.created.as_second() < HOUR;
    let is_used = |kek: &KekRecord| {
        vm.providers.iter().any(|used| used.key == kek.key) || former.contains(&(kek.provider, kek.key))
    };
    keks.values().find(|kek| {
        kek.vm == vm.id && kek.is_usable() && is_fresh(kek) && !is_used(kek) && !record.rotation.replaces(kek.created)
    })
}

/// The state of a key that is to wrap again is looked at before.
async fn give_again(core: &Arc<Core>, record: &ProviderRecord, kek: &KekRecord) -> Result<KeyId, Problem> {
    let needed = MissingKey { provider: kek.provider, key: kek.key, kms_key: Some(kek.kms_key.clone()) };
    match fetch(core, record, kek.vm, &needed, kek.fingerprint).await? {
        KmsKeyState::Active => Ok(kek.key),
        state => Err(Problem::new(
            ProblemCode::KmsRefused,
            format!(
                "key {} of key provider {} is {state} in its key server and wraps nothing",
                kek.kms_key, record.name
            ),
        )
        .next("Ask again: a new key is made then.")),
    }
}

async fn make(core: &Arc<Core>, record: &ProviderRecord, vm: &Vm) -> Result<KeyId, Problem> {
    let (key, vm) = (KeyId::random(), vm.id);
    // A name that no key ever had, so that a key that was made twice is found.
    let name = format!("cadenas-{vm}-{key}");
    let asked = name.clone();
    let made = ask(core, record, move |cluster| made(cluster, &asked, vm)).await?;
    let (id, fetched) = made.map_err(|error| problem(record, &error))?;
    if !fetched.names.is_empty() && !fetched.names.contains(&name) {
        return Err(another_key(record, &id.to_string()));
    }
    let secret = secret(fetched.material)?;
    let kek = KekRecord {
        provider: record.id,
        key,
        kms_key: kms_key(record, &id)?,
        vm,
        created: Timestamp::now(),
        fingerprint: Some(secret.fingerprint()),
        state: state(fetched.state),
        compromised: None,
    };
    give(core, &kek, secret).await?;
    add(core, &kek).await?;
    Ok(key)
}

/// Makes a key and reads it. One that cannot be read will never be used, and goes again.
fn made(cluster: &Cluster, name: &str, vm: VmId) -> Result<(KmipId, FetchedKey), KmipError> {
    let id = cluster.create_key(name, &vm.to_string())?;
    match cluster.key(&id) {
        Ok(fetched) => Ok((id, fetched)),
        Err(error) => {
            cluster.discard(&id);
            Err(error)
        }
    }
}

/// Fetches a KEK and gives it to the host, whatever its state: what it wrapped must open. Tells the state. A key that has another
/// fingerprint than `expected` opens nothing, and would stand in the place of the right one on the host.
pub(crate) async fn fetch(
    core: &Arc<Core>,
    record: &ProviderRecord,
    vm: VmId,
    needed: &MissingKey,
    expected: Option<Fingerprint>,
) -> Result<KmsKeyState, Problem> {
    let known = known(core, needed.provider, vm, needed.key).await?;
    let kms_key = needed.kms_key.clone().or_else(|| known.as_ref().map(|kek| kek.kms_key.clone()));
    let Some(kms_key) = kms_key else { return Err(nameless(record, needed.key)) };
    let id = kmip_id(record, &kms_key)?;
    let fetched = match ask(core, record, move |cluster| cluster.key(&id)).await? {
        Ok(fetched) => fetched,
        Err(error) => {
            note_absence(core, record, known, &error).await?;
            return Err(problem(record, &error));
        }
    };
    let secret = secret(fetched.material)?;
    if expected.is_some_and(|expected| expected != secret.fingerprint()) {
        return Err(another_key(record, kms_key.as_str()));
    }
    let state = state(fetched.state);
    let kek = known.clone().unwrap_or_else(|| KekRecord {
        provider: needed.provider,
        key: needed.key,
        kms_key,
        vm,
        created: fetched.created.map_or_else(Timestamp::now, super::record::time),
        fingerprint: Some(secret.fingerprint()),
        // What is another, is news.
        state: KmsKeyState::Active,
        compromised: None,
    });
    give(core, &kek, secret).await?;
    if known.is_none() {
        add(core, &kek).await?;
    }
    note_state(core, record, &kek, state).await?;
    Ok(state)
}

fn another_key(record: &ProviderRecord, id: &str) -> Problem {
    let detail = format!(
        "key provider {}: its key servers give another key as {id} than the one of that name that Cadenas knows; it was not used",
        record.name
    );
    Problem::new(ProblemCode::KmsRefused, detail).next(
        "Servers of one provider must hold the same keys. Bring the right key back there, or leave out the server that lacks it.",
    )
}

async fn known(core: &Core, provider: ProviderId, vm: VmId, key: KeyId) -> Result<Option<KekRecord>, Problem> {
    let stored =
        core.store.get_as::<KekRecord>(&store_key(provider, vm, key)).await.map_err(|error| store_failed(&error))?;
    Ok(stored.map(|stored| stored.value))
}

async fn note_absence(
    core: &Core,
    record: &ProviderRecord,
    known: Option<KekRecord>,
    error: &KmipError,
) -> Result<(), Problem> {
    match known {
        Some(kek) if matches!(error.kind, cadenas_kmip::KmipErrorKind::NotFound { .. }) => {
            note_state(core, record, &kek, KmsKeyState::Missing).await
        }
        _ => Ok(()),
    }
}

/// Writes a state that is news, with an event: an alarm, when the key must not be used any more.
pub(crate) async fn note_state(
    core: &Core,
    record: &ProviderRecord,
    kek: &KekRecord,
    state: KmsKeyState,
) -> Result<(), Problem> {
    if kek.state == state {
        return Ok(());
    }
    let kek = KekRecord { state, ..kek.clone() };
    let alarm = if state == KmsKeyState::Active { None } else { Some(alarm(core, record, &kek).await) };
    change(core, &kek.store_key(), |kek| {
        kek.state = state;
        alarm.iter().cloned().collect()
    })
    .await
}

/// Says that somebody else may have a KEK.
pub(crate) async fn mark_compromised(core: &Core, kek: &KekRecord, marked: &Draft) -> Result<(), Problem> {
    let now = Timestamp::now();
    change(core, &kek.store_key(), |kek| {
        kek.compromised.get_or_insert(now);
        vec![marked.clone()]
    })
    .await
}

/// Changes what is known of a KEK, as it is by then, if it is known still. Without a difference nothing is written.
async fn change(core: &Core, key: &Key, mut change: impl FnMut(&mut KekRecord) -> Vec<Draft>) -> Result<(), Problem> {
    loop {
        let stored = core.store.get_as::<KekRecord>(key).await.map_err(|error| store_failed(&error))?;
        let Some(stored) = stored else { return Ok(()) };
        let mut kek = stored.value.clone();
        let drafts = change(&mut kek);
        if kek == stored.value {
            return Ok(());
        }
        let txn = Txn::new().if_revision(key.clone(), stored.revision).put_as(key.clone(), &kek);
        if let Written::Done(_) = core.commit(txn.map_err(|error| store_failed(&error))?, drafts).await? {
            return Ok(());
        }
    }
}

async fn alarm(core: &Core, record: &ProviderRecord, kek: &KekRecord) -> Draft {
    let vm = core.host.vm(kek.vm).await.map_or_else(|_| kek.vm.to_string(), |vm| vm.name);
    let message = format!(
        "Alarm: key {} of key provider {} is {} in its key server; VM {vm} is wrapped under it. It wraps nothing any more: \
         re-encrypt the VM.",
        kek.kms_key, record.name, kek.state
    );
    Draft::new(format!("provider.key-{}", kek.state), message).provider(record.id).vm(kek.vm)
}

/// Remembers a KEK, unless it is known already.
async fn add(core: &Core, kek: &KekRecord) -> Result<(), Problem> {
    let txn = Txn::new().if_absent(kek.store_key()).put_as(kek.store_key(), kek);
    core.commit(txn.map_err(|error| store_failed(&error))?, vec![]).await.map(|_: Written| ())
}

fn secret(material: SecretBytes) -> Result<Kek, Problem> {
    Kek::from_secret(material).map_err(|error| Problem::internal(&error))
}

async fn give(core: &Core, kek: &KekRecord, secret: Kek) -> Result<(), Problem> {
    let secret = ProviderKey::Kek { kek: secret, kms_key: kek.kms_key.clone() };
    core.host.give_key(KeyPush { provider: kek.provider, key: kek.key, secret }).await
}

fn kms_key(record: &ProviderRecord, id: &KmipId) -> Result<KmsKeyId, Problem> {
    id.to_string().parse().map_err(|error: cadenas_keys::NotAKmsKeyId| unusable_name(record, &error))
}

fn kmip_id(record: &ProviderRecord, kms_key: &KmsKeyId) -> Result<KmipId, Problem> {
    kms_key.as_str().parse().map_err(|error: cadenas_kmip::NotAKmipId| unusable_name(record, &error))
}

fn unusable_name(record: &ProviderRecord, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::KmsRefused, format!("key provider {}: {error}", record.name))
}

fn nameless(record: &ProviderRecord, key: KeyId) -> Problem {
    let detail = format!("how the key servers of {} name key {key} is not known here", record.name);
    Problem::new(ProblemCode::VmLocked, detail).next("Register the VM's home here: its descriptor says it.")
}

pub(super) fn state(state: KeyState) -> KmsKeyState {
    match state {
        KeyState::PreActive => KmsKeyState::PreActive,
        KeyState::Active => KmsKeyState::Active,
        KeyState::Deactivated => KmsKeyState::Deactivated,
        KeyState::Compromised => KmsKeyState::Compromised,
        KeyState::Destroyed => KmsKeyState::Destroyed,
        KeyState::DestroyedCompromised => KmsKeyState::DestroyedCompromised,
    }
}

/// By VM, so that those of one VM are found without reading all.
fn store_key(provider: ProviderId, vm: VmId, key: KeyId) -> Key {
    format!("{KEKS}/{provider}/{vm}/{key}").parse().expect("UUIDs are allowed in keys")
}
