//! What a provider is, and which of its keys encrypts.

use std::collections::BTreeMap;

use cadenas_api::{KeyVersionState, Problem, ProblemCode, ProviderName};
use cadenas_keys::{Fingerprint, Kdk, KeyId, ProviderId};
use cadenas_store::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    seal::{Seal, SealError, SealedPlace},
    text::{Bytes, quoted},
};

/// The most providers of a server, as in vSphere.
pub(crate) const MOST_PROVIDERS: usize = 32;

/// Every provider, and which one is the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Catalog {
    pub(crate) default: Option<ProviderId>,
    pub(crate) providers: BTreeMap<ProviderId, ProviderRecord>,
}

/// A provider as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderRecord {
    pub(crate) id: ProviderId,
    pub(crate) name: ProviderName,
    pub(crate) tpm_required: bool,
    pub(crate) created: Timestamp,
    /// Oldest first; at least one.
    pub(crate) versions: Vec<VersionRecord>,
}

impl Record for ProviderRecord {
    const VERSION: u32 = 1;
}

/// A version of a provider's key as it is stored: sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionRecord {
    pub(crate) id: KeyId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) created: Timestamp,
    sealed: Bytes,
    pub(crate) backup: Option<BackupProof>,
}

/// That a version is in a backup that was proved to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupProof {
    pub(crate) at: Timestamp,
    pub(crate) has_password: bool,
}

impl Catalog {
    /// The provider with this ID or name.
    pub(crate) fn find(&self, id_or_name: &str) -> Result<&ProviderRecord, Problem> {
        let by_id = id_or_name.parse().ok().and_then(|id: ProviderId| self.providers.get(&id));
        by_id.or_else(|| self.named(id_or_name)).ok_or_else(|| no_such_provider(id_or_name))
    }

    /// The provider with this ID, to be changed.
    pub(super) fn provider_mut(&mut self, id: ProviderId) -> Result<&mut ProviderRecord, Problem> {
        self.providers.get_mut(&id).ok_or_else(|| no_such_provider(&id.to_string()))
    }

    /// The name of the provider with this ID.
    pub(crate) fn name_of(&self, id: ProviderId) -> Option<&ProviderName> {
        self.providers.get(&id).map(|record| &record.name)
    }

    /// Refuses a name that another provider than `id` has.
    pub(super) fn check_name_free(&self, name: &ProviderName, id: ProviderId, next: &str) -> Result<(), Problem> {
        match self.named(name.as_str()) {
            Some(other) if other.id != id => {
                let detail = format!("another key provider ({}) is named \"{name}\"", other.id);
                Err(Problem::new(ProblemCode::NameTaken, detail).next(next))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, name: &str) -> Option<&ProviderRecord> {
        self.providers.values().find(|record| record.name.as_str() == name)
    }
}

impl ProviderRecord {
    /// The key that encrypts: the newest that is in a proved backup.
    pub(crate) fn current(&self) -> Option<&VersionRecord> {
        self.versions.iter().rev().find(|version| version.backup.is_some())
    }

    /// The newest key, backed up or not.
    pub(crate) fn newest(&self) -> &VersionRecord {
        self.versions.last().expect("a provider has at least one key")
    }

    pub(crate) fn version(&self, key: KeyId) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.id == key)
    }

    pub(crate) fn state_of(&self, version: &VersionRecord) -> KeyVersionState {
        match version.backup {
            None => KeyVersionState::NotBackedUp,
            Some(_) if self.current().is_some_and(|current| current.id == version.id) => KeyVersionState::Current,
            Some(_) => KeyVersionState::Old,
        }
    }
}

impl VersionRecord {
    /// Seals `kdk` as a version of `provider`'s key.
    pub(crate) fn seal(
        seal: &dyn Seal,
        provider: ProviderId,
        id: KeyId,
        kdk: &Kdk,
        created: Timestamp,
    ) -> Result<Self, Problem> {
        let sealed =
            seal.seal(SealedPlace::Key { provider, key: id }, kdk.expose()).map_err(|error| seal_failed(&error))?;
        Ok(Self { id, fingerprint: kdk.fingerprint(), created, sealed: Bytes(sealed), backup: None })
    }

    /// Opens the key, to be given to a host or written into a backup.
    pub(crate) fn unseal(&self, seal: &dyn Seal, provider: ProviderId) -> Result<Kdk, Problem> {
        let place = SealedPlace::Key { provider, key: self.id };
        let secret = seal.unseal(place, &self.sealed.0).map_err(|error| seal_failed(&error))?;
        Kdk::from_secret(secret).map_err(|error| Problem::internal(&error))
    }
}

/// A user's text as a provider's name.
pub(super) fn parse_name(text: &str) -> Result<ProviderName, Problem> {
    text.parse().map_err(|error: cadenas_api::NameError| Problem::new(ProblemCode::BadName, error.to_string()))
}

fn no_such_provider(id_or_name: &str) -> Problem {
    let detail = format!("there is no key provider {} here", quoted(id_or_name));
    Problem::new(ProblemCode::NoSuchProvider, detail).next("See `cadenas provider ls`.")
}

fn seal_failed(error: &SealError) -> Problem {
    Problem::internal(error)
}
