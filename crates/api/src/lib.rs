//! What crosses the boundaries of Cadenas: the REST types, the errors, the client, and the trait through which the server
//! reaches a host.
//!
//! The JSON shapes here are the public API, version 1. When you change one: run `make openapi`, look at the difference of
//! `openapi.json`, and say so in CHANGELOG.md.

mod action;
mod backup;
mod bulk;
mod client;
mod copy;
mod doctor;
mod event;
mod feature;
mod host;
mod kms;
mod name;
mod password;
mod policy;
mod problem;
mod provider;
mod rotation;
mod session;
mod summary;
mod task;
mod vm;

pub use action::{ActionKind, VmAction};
pub use backup::{
    BackupFile, BackupReport, BackupRequest, ConfirmBackup, P12, RestoreRequest, RestoreResult, Restored, VerifyBackup,
};
pub use bulk::{BulkFailure, BulkOutcome, PlannedStep, PlannedVm, RecryptAll, RecryptPlan};
pub use client::{Client, ClientError};
pub use copy::{CopyPath, HomeKeys, KnownCopy};
pub use doctor::{Check, Verdict};
pub use event::{Event, EventQuery};
pub use feature::{Feature, NATIVE_KEY_PROVIDER, SetFeature};
pub use host::{DiskWork, Host, HostEvent, KeyPush, KeyUser, RewrapVm, RewrappedVm, RewriteEstimate, VmOperation};
pub use kms::{
    CertificateView, KmsCluster, KmsIdentity, KmsKeyState, KmsServerTest, KmsTestStep, KmsTrust, NotASha256,
    SetKmsIdentity, SetKmsServers, SetKmsUser, Sha256, ShownCertificate, TrustKms,
};
pub use name::{NAME_RULE, NameError, ProviderName};
pub use password::Password;
pub use policy::{DATASTORE_DEFAULT, Policy, VM_ENCRYPTION_POLICY};
pub use problem::{PROBLEM_JSON, Problem, ProblemCode, chain};
pub use provider::{
    CreateProvider, DeleteProvider, KeyAlarm, KeyVersion, KeyVersionState, Provider, ProviderKind, ProviderState,
    ProviderUser, RenameProvider, UserKind,
};
pub use rotation::{CompromiseReport, ExposedVm, KeyReport, RecryptDue, RecryptKind, Rotation, SetRotation};
pub use session::{ConsoleLink, OpenSession, SecretUrl, Session};
pub use summary::{Attention, AttentionKind, NamedProvider, NamedVm, Severity, Summary, VmCounts};
pub use task::{Actor, Progress, ProgressUnit, Task, TaskId, TaskProgress, TaskQuery, TaskState};
pub use vm::{
    Disk, DiskFormat, DiskMethod, MissingKey, ObjectVerdict, Padlock, PowerState, ProviderRef, RecryptVm, RegisterVm,
    SetPolicy, SetTemplate, ShutdownVm, Vm, VmOutcome, VmQuery, Wipe,
};

/// Every path of the API begins so.
pub const API_PREFIX: &str = "/api/v1";
