//! What crosses the boundaries of Cadenas: the REST types, the errors, the client, and the trait through which the server
//! reaches a host.
//!
//! The JSON shapes here are the public API, version 1. When you change one: run `make openapi`, look at the difference of
//! `openapi.json`, and say so in CHANGELOG.md.

mod backup;
mod client;
mod doctor;
mod event;
mod feature;
mod host;
mod name;
mod password;
mod policy;
mod problem;
mod provider;
mod task;
mod vm;

pub use backup::{
    BackupFile, BackupReport, BackupRequest, ConfirmBackup, P12, RestoreRequest, RestoreResult, Restored, VerifyBackup,
};
pub use client::{Client, ClientError};
pub use doctor::{Check, Verdict};
pub use event::{Event, EventQuery};
pub use feature::{Feature, NATIVE_KEY_PROVIDER, SetFeature};
pub use host::{DiskWork, Host, HostEvent, KeyPush, VmOperation};
pub use name::{NAME_RULE, NameError, ProviderName};
pub use password::Password;
pub use policy::{DATASTORE_DEFAULT, Policy, VM_ENCRYPTION_POLICY};
pub use problem::{PROBLEM_JSON, Problem, ProblemCode, chain};
pub use provider::{
    CreateProvider, DeleteProvider, KeyVersion, KeyVersionState, Provider, ProviderKind, ProviderState, RenameProvider,
};
pub use task::{Actor, Progress, Task, TaskId, TaskProgress, TaskQuery, TaskState};
pub use vm::{
    Disk, DiskFormat, DiskMethod, MissingKey, ObjectVerdict, Padlock, PowerState, ProviderRef, RecryptVm, RegisterVm,
    SetPolicy, ShutdownVm, Vm, VmOutcome, Wipe,
};

/// Every path of the API begins so.
pub const API_PREFIX: &str = "/api/v1";
