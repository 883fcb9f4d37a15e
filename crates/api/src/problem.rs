//! Errors as RFC 9457 problem details.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, Type},
    },
};

use crate::TaskId;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused or a task failed (RFC 9457), with a stable code and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The code as a URI: `urn:cadenas:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind of problem in a few words, the same for every occurrence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable identifier of the kind, for scripts.
    pub code: ProblemCode,
    /// What happened to what, once.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The task that stands in the way, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Problem {
    /// A problem of kind `code`; `detail` names the thing and the cause.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:cadenas:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            next: None,
            task: None,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Names the task that stands in the way.
    #[must_use]
    pub fn with_task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }

    /// An internal error with the whole chain of its causes.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(ProblemCode::Internal, chain(error))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.next.as_ref().map_or(Ok(()), |next| write!(f, "\n  {next}"))
    }
}

impl std::error::Error for Problem {}

/// An error and its causes, outermost first, on one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $status:literal, $title:literal;)+) => {
        /// The stable code of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as text, as JSON has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request's form is wrong.
    BadRequest = "bad-request", 400, "The request is not understood";
    /// A name breaks the rule for names.
    BadName = "bad-name", 400, "The name is not allowed";
    /// The caller's user may not use this server.
    Forbidden = "forbidden", 403, "Not allowed";
    /// The web console was asked without a session.
    NotSignedIn = "not-signed-in", 401, "Not signed in";
    /// The link into the web console was used, or is too old.
    LinkSpent = "link-spent", 401, "The link does not work any more";
    /// The server has no web console.
    NoConsole = "no-console", 409, "There is no web console";
    /// Nothing there by that path.
    NotFound = "not-found", 404, "Not found";
    /// No provider by that name or ID.
    NoSuchProvider = "no-such-provider", 404, "No such key provider";
    /// No VM by that name or ID.
    NoSuchVm = "no-such-vm", 404, "No such VM";
    /// Several VMs have that name.
    AmbiguousVm = "ambiguous-vm", 409, "Several VMs have that name";
    /// No policy by that name.
    NoSuchPolicy = "no-such-policy", 404, "No such storage policy";
    /// No feature by that name.
    NoSuchFeature = "no-such-feature", 404, "No such feature";
    /// No task by that ID.
    NoSuchTask = "no-such-task", 404, "No such task";
    /// Another provider has the name.
    NameTaken = "name-taken", 409, "The name is taken";
    /// 32 providers are there already.
    TooManyProviders = "too-many-providers", 409, "Too many key providers";
    /// The service provider switched the feature off.
    FeatureDisabled = "feature-disabled", 403, "The feature is disabled";
    /// No provider was named and there is no default.
    NoDefaultProvider = "no-default-provider", 409, "No default key provider";
    /// The provider's key is in no proved backup yet.
    ProviderNotBackedUp = "provider-not-backed-up", 409, "The key provider is not backed up";
    /// The provider is not usable on the host.
    ProviderNotUsable = "provider-not-usable", 409, "The key provider is not usable";
    /// VMs need the provider.
    ProviderInUse = "provider-in-use", 409, "The key provider is in use";
    /// The confirmation does not repeat the name.
    NotConfirmed = "not-confirmed", 400, "The name was not repeated";
    /// The password does not open the backup, or the file is damaged.
    WrongPassword = "wrong-password", 400, "The backup does not open";
    /// The file is not a backup of a key provider.
    BadBackup = "bad-backup", 400, "Not a usable backup";
    /// The backup lacks the provider's present key, or is of another provider.
    BackupMismatch = "backup-mismatch", 409, "The backup is not this provider's";
    /// Another key is known under the same ID.
    DifferentKey = "different-key", 409, "A different key is known under this ID";
    /// A password is needed, or `no password` must be said.
    PasswordNeeded = "password-needed", 400, "A password is needed";
    /// A task holds the VM.
    VmBusy = "vm-busy", 409, "A task holds the VM";
    /// The VM is not as the request took it to be.
    VmChanged = "vm-changed", 409, "The VM was changed by others meanwhile";
    /// The VM must be off.
    VmNotOff = "vm-not-off", 409, "The VM is not powered off";
    /// The VM must be running.
    VmNotRunning = "vm-not-running", 409, "The VM is not running";
    /// The VM is encrypted already.
    VmEncrypted = "vm-encrypted", 409, "The VM is encrypted";
    /// The VM is not encrypted.
    VmNotEncrypted = "vm-not-encrypted", 409, "The VM is not encrypted";
    /// Keys are missing on this host.
    VmLocked = "vm-locked", 409, "The VM is locked";
    /// The VM has something that is not handled yet.
    NotYetHandled = "not-yet-handled", 422, "Not yet handled";
    /// A disk is unfit: its format, its header, its file.
    DiskUnfit = "disk-unfit", 422, "A disk is unfit";
    /// An image is open elsewhere.
    ImageInUse = "image-in-use", 409, "A disk image is in use";
    /// The datastore has too little free space.
    NoSpace = "no-space", 507, "Too little free space";
    /// Reading or writing the datastore failed.
    DatastoreFailed = "datastore-failed", 500, "The datastore failed";
    /// The VM home is unfit: the folder, the descriptor.
    HomeUnfit = "home-unfit", 422, "The VM home is unfit";
    /// A disk or descriptor is not what was sealed.
    Tampered = "tampered", 409, "The VM was changed from outside";
    /// An interrupted change of the VM waits for something before it can be finished.
    NeedsRepair = "needs-repair", 409, "An interrupted change waits to be finished";
    /// A key server does not answer, or is not trusted.
    KmsUnreachable = "kms-unreachable", 503, "The key server cannot be reached";
    /// A key server answered, and refused.
    KmsRefused = "kms-refused", 502, "The key server refused";
    /// The operation is for the other kind of provider.
    WrongProviderKind = "wrong-provider-kind", 409, "Not for this kind of key provider";
    /// No key by that ID.
    NoSuchKey = "no-such-key", 404, "No such key";
    /// A certificate or a private key is not usable.
    BadCertificate = "bad-certificate", 400, "Not a usable certificate";
    /// libvirt does not answer.
    HypervisorUnreachable = "hypervisor-unreachable", 503, "libvirt does not answer";
    /// libvirt refused.
    HypervisorFailed = "hypervisor-failed", 502, "libvirt refused";
    /// The user cancelled the task.
    Cancelled = "cancelled", 409, "Cancelled";
    /// The task can no longer be cancelled.
    TooLateToCancel = "too-late-to-cancel", 409, "Too late to cancel";
    /// The server stopped while the task ran; what it had begun was undone.
    Interrupted = "interrupted", 500, "Interrupted";
    /// A time-out passed.
    TimedOut = "timed-out", 504, "Timed out";
    /// An error of ours.
    Internal = "internal", 500, "Internal error";
}

/// By hand, because the derived one does not see the names that a macro gives.
impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let codes = Self::ALL.iter().map(|code| code.as_str());
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
        schema.description(Some("The stable code of a problem.")).into()
    }
}

impl ToSchema for ProblemCode {}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_codes_that_are_sent() {
        let schema = serde_json::to_value(ProblemCode::schema()).expect("JSON");
        let documented = schema["enum"].as_array().expect("an enumeration");
        let sent: Vec<_> = ProblemCode::ALL.iter().map(|code| serde_json::to_value(code).expect("JSON")).collect();
        assert_eq!(*documented, sent);
    }
}
