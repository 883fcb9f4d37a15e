//! Tasks: long operations that survive the server.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use cadenas_keys::VmId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Problem, VmOutcome};

/// A task's ID: a UUID of version 7, so that IDs sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new one.
    #[must_use]
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// A long operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its ID.
    pub id: TaskId,
    /// What is done: `vm.encrypt`.
    pub kind: String,
    /// The VM it is done to, and which no other task may touch meanwhile. A task for many VMs holds each while it works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub vm: Option<VmId>,
    /// That VM's name, or what is done to many.
    pub vm_name: String,
    /// How it stands.
    pub state: TaskState,
    /// How far it is.
    pub progress: Progress,
    /// Who asked.
    pub by: Actor,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<Timestamp>,
    /// What came of it, when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<VmOutcome>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// Not done; what had been begun was undone.
    Failed,
    /// Stopped by a user; what had been begun was undone.
    Cancelled,
}

impl TaskState {
    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Running
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How far a task is; zero of zero for a task that is done in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Done.
    pub done: u64,
    /// To do.
    pub total: u64,
    /// What is counted.
    #[serde(default)]
    pub unit: ProgressUnit,
}

/// What a task's progress counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressUnit {
    /// Bytes.
    #[default]
    Bytes,
    /// VMs.
    Vms,
}

/// Who did or asked for something: a user of this machine, as the socket's peer credentials tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// User ID.
    pub uid: u32,
    /// User name, when the machine knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Actor {
    /// What the server does by itself, such as a scheduled rotation.
    #[must_use]
    pub fn the_server() -> Self {
        Self { uid: 0, user: Some("cadenas".to_owned()) }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => f.pad(user),
            None => f.pad(&format!("uid {}", self.uid)),
        }
    }
}

/// Whether to wait for a task.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// Answer when the task has ended, or after so many seconds (at most 60).
    pub wait: Option<u64>,
}

/// The live side of [`Progress`]: the host writes it, the server reads it and asks for the end through it.
#[derive(Debug, Default)]
pub struct TaskProgress {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    unit: ProgressUnit,
}

impl TaskProgress {
    /// Progress that counts VMs rather than bytes.
    #[must_use]
    pub fn of_vms() -> Self {
        Self { unit: ProgressUnit::Vms, ..Self::default() }
    }

    /// So much more will be done.
    pub fn expect(&self, more: u64) {
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    /// So much more is done.
    pub fn advance(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    /// Asks the work to stop and undo itself.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is now.
    #[must_use]
    pub fn now(&self) -> Progress {
        Progress { done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed), unit: self.unit }
    }
}
