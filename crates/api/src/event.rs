//! Events: what changed, by whom.

use cadenas_keys::{ProviderId, VmId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Actor, TaskId};

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Grows by one with each event; `after` takes it.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened: `provider.created`, `vm.encrypted`.
    pub kind: String,
    /// By whom; nobody when Cadenas did it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// The provider concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub provider: Option<ProviderId>,
    /// The VM concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub vm: Option<VmId>,
    /// The task concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// One sentence for people.
    pub message: String,
}

/// Which events.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only those after this sequence number; with `newest_first` those before it.
    pub after: Option<u64>,
    /// At most so many (default and maximum 1,000).
    pub limit: Option<u64>,
    /// The newest first instead of the oldest.
    pub newest_first: Option<bool>,
    /// When there is none, wait up to so many seconds for one (at most 60).
    pub wait: Option<u64>,
}
