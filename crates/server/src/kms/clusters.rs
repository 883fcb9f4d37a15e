//! The clusters of key servers that this process speaks to, and how the last words with each went.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cadenas_api::{Problem, ProblemCode};
use cadenas_keys::ProviderId;
use cadenas_kmip::{Cluster, KmipError, KmipErrorKind};

use super::record::StandardRecord;
use crate::{
    core::{Core, off_thread},
    providers::ProviderRecord,
};

/// One cluster for each standard provider, made when it is first asked. Connections and back-off live in it.
#[derive(Default)]
pub(crate) struct Clusters(Mutex<BTreeMap<ProviderId, Known>>);

struct Known {
    made_of: StandardRecord,
    cluster: Cluster,
    /// Why the last call brought nothing, if it did not.
    failure: Option<String>,
}

impl Clusters {
    /// Drops what is known of a provider: it was changed or removed.
    pub(crate) fn forget(&self, provider: ProviderId) {
        self.lock().remove(&provider);
    }

    /// Why the last call to a provider's servers failed, if it did.
    pub(crate) fn failure(&self, provider: ProviderId) -> Option<String> {
        self.lock().get(&provider)?.failure.clone()
    }

    fn get(&self, provider: ProviderId, standard: &StandardRecord) -> Option<Cluster> {
        let known = self.lock();
        known.get(&provider).filter(|known| known.made_of == *standard).map(|known| known.cluster.clone())
    }

    fn keep(&self, provider: ProviderId, made_of: StandardRecord, cluster: &Cluster) {
        let known = Known { made_of, cluster: cluster.clone(), failure: None };
        self.lock().insert(provider, known);
    }

    /// Notes that none of a provider's servers works, or that one does.
    pub(super) fn note_test(&self, provider: ProviderId, failure: Option<String>) {
        if let Some(known) = self.lock().get_mut(&provider) {
            known.failure = failure;
        }
    }

    /// A server's own verdict is no failure of the servers.
    fn note(&self, provider: ProviderId, error: Option<&KmipError>) {
        if let Some(known) = self.lock().get_mut(&provider) {
            known.failure = error.filter(|error| !error.kind.is_server_verdict()).map(ToString::to_string);
        }
    }

    /// The map is whole between any two statements, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster of a standard provider.
pub(super) async fn cluster(core: &Core, record: &ProviderRecord) -> Result<Cluster, Problem> {
    let standard = record.as_standard()?;
    if let Some(cluster) = core.clusters.get(record.id, standard) {
        return Ok(cluster);
    }
    let (made_of, seal, id) = (standard.clone(), Arc::clone(&core.seal), record.id);
    let cluster = off_thread(move || made_of.cluster(&*seal, id)).await?;
    core.clusters.keep(record.id, standard.clone(), &cluster);
    Ok(cluster)
}

/// Asks a standard provider's servers for something, where that does not hold up the server.
pub(super) async fn ask<T: Send + 'static>(
    core: &Core,
    record: &ProviderRecord,
    work: impl FnOnce(&Cluster) -> Result<T, KmipError> + Send + 'static,
) -> Result<Result<T, KmipError>, Problem> {
    let cluster = cluster(core, record).await?;
    let answer = off_thread(move || Ok(work(&cluster))).await?;
    core.clusters.note(record.id, answer.as_ref().err());
    Ok(answer)
}

/// What a key server's failure means for who asked.
pub(super) fn problem(record: &ProviderRecord, error: &KmipError) -> Problem {
    let detail = format!("key provider {}: {error}", record.name);
    let test = format!("See `cadenas provider test {}`.", record.name);
    match &error.kind {
        KmipErrorKind::NotFound { .. } => Problem::new(ProblemCode::KmsRefused, detail)
            .next("The key is gone from the key server. Bring it back there from its backup."),
        kind if kind.is_server_verdict() => Problem::new(ProblemCode::KmsRefused, detail).next(test),
        _ => Problem::new(ProblemCode::KmsUnreachable, detail).next(test),
    }
}
