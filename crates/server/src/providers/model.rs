//! What a provider is, and which of its keys encrypts.

use std::collections::BTreeMap;

use cadenas_api::{KeyVersionState, MissingKey, Problem, ProblemCode, ProviderKind, ProviderName, Vm};
use cadenas_keys::{Fingerprint, Kdk, KeyId, ProviderId};
use cadenas_store::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    kms::StandardRecord,
    rotation::RotationRecord,
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
    pub(crate) created: Timestamp,
    pub(crate) kind: KindRecord,
    /// When its keys are rotated.
    pub(crate) rotation: RotationRecord,
}

/// What a provider is, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KindRecord {
    /// Its keys are its own.
    Native(NativeRecord),
    /// Its keys are in key servers.
    Standard(StandardRecord),
}

/// A native provider's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NativeRecord {
    pub(crate) tpm_required: bool,
    /// Oldest first; at least one.
    pub(crate) versions: Vec<VersionRecord>,
}

impl Record for ProviderRecord {
    const VERSION: u32 = 2;

    fn from_earlier(version: u32, value: serde_json::Value) -> Option<serde_json::Result<Self>> {
        (version == 1).then(|| serde_json::from_value::<NativeOnly>(value).map(Self::from))
    }
}

/// The first form, when every provider was a native one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NativeOnly {
    id: ProviderId,
    name: ProviderName,
    tpm_required: bool,
    created: Timestamp,
    versions: Vec<VersionRecord>,
}

impl From<NativeOnly> for ProviderRecord {
    fn from(earlier: NativeOnly) -> Self {
        let NativeOnly { id, name, tpm_required, created, versions } = earlier;
        Self::native(id, name, created, NativeRecord { tpm_required, versions })
    }
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
    /// When it was said that somebody else may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compromised: Option<Timestamp>,
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

    /// The ID of the provider with this ID or name. An ID need not be known here: VMs may need a provider that is not.
    pub(crate) fn find_known_or_id(&self, id_or_name: &str) -> Result<ProviderId, Problem> {
        id_or_name.parse().or_else(|_| self.find(id_or_name).map(|record| record.id))
    }

    /// The provider with this ID, to be changed.
    pub(crate) fn provider_mut(&mut self, id: ProviderId) -> Result<&mut ProviderRecord, Problem> {
        self.providers.get_mut(&id).ok_or_else(|| no_such_provider(&id.to_string()))
    }

    /// The name of the provider with this ID.
    pub(crate) fn name_of(&self, id: ProviderId) -> Option<&ProviderName> {
        self.providers.get(&id).map(|record| &record.name)
    }

    /// A key that a VM lacks and that no key server gives: what one keeps is fetched when it is needed.
    pub(crate) fn out_of_reach<'a>(&self, vm: &'a Vm) -> Option<&'a MissingKey> {
        let fetched = |provider| self.providers.get(&provider).is_some_and(|record| record.as_standard().is_ok());
        vm.missing_keys.iter().find(|missing| !fetched(missing.provider))
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
    /// A native provider.
    pub(crate) fn native(id: ProviderId, name: ProviderName, created: Timestamp, native: NativeRecord) -> Self {
        Self { id, name, created, kind: KindRecord::Native(native), rotation: RotationRecord::default() }
    }

    /// What only a native provider has.
    pub(crate) fn as_native(&self) -> Result<&NativeRecord, Problem> {
        match &self.kind {
            KindRecord::Native(native) => Ok(native),
            KindRecord::Standard(_) => Err(self.not_native()),
        }
    }

    /// As [`Self::as_native`], to be changed.
    pub(crate) fn as_native_mut(&mut self) -> Result<&mut NativeRecord, Problem> {
        let refusal = self.not_native();
        match &mut self.kind {
            KindRecord::Native(native) => Ok(native),
            KindRecord::Standard(_) => Err(refusal),
        }
    }

    /// What only a standard provider has.
    pub(crate) fn as_standard(&self) -> Result<&StandardRecord, Problem> {
        match &self.kind {
            KindRecord::Standard(standard) => Ok(standard),
            KindRecord::Native(_) => Err(self.not_standard()),
        }
    }

    /// As [`Self::as_standard`], to be changed.
    pub(crate) fn as_standard_mut(&mut self) -> Result<&mut StandardRecord, Problem> {
        let refusal = self.not_standard();
        match &mut self.kind {
            KindRecord::Standard(standard) => Ok(standard),
            KindRecord::Native(_) => Err(refusal),
        }
    }

    /// The kind, as the API names it.
    pub(crate) fn provider_kind(&self) -> ProviderKind {
        match self.kind {
            KindRecord::Native(_) => ProviderKind::Native,
            KindRecord::Standard(_) => ProviderKind::Standard,
        }
    }

    fn not_native(&self) -> Problem {
        let detail = format!("key provider {} is a standard one: its keys are in key servers", self.name);
        Problem::new(ProblemCode::WrongProviderKind, detail)
            .next("The key servers' own administration backs them up; this is for native key providers.")
    }

    fn not_standard(&self) -> Problem {
        let detail = format!("key provider {} is a native one: it has no key servers", self.name);
        Problem::new(ProblemCode::WrongProviderKind, detail)
            .next("Make a standard one: `cadenas provider create NAME --kind standard --kms HOST`.")
    }
}

impl NativeRecord {
    /// The key that encrypts: the newest that is in a proved backup and not compromised.
    pub(crate) fn current(&self) -> Option<&VersionRecord> {
        self.versions.iter().rev().find(|version| version.backup.is_some() && version.compromised.is_none())
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
            _ if version.compromised.is_some() => KeyVersionState::Compromised,
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
        Ok(Self { id, fingerprint: kdk.fingerprint(), created, sealed: Bytes(sealed), backup: None, compromised: None })
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

pub(crate) fn seal_failed(error: &SealError) -> Problem {
    Problem::internal(error)
}
