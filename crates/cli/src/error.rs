//! Why a command failed, and how that is told.

use std::{io, path::PathBuf};

use cadenas_api::{ClientError, Problem, TaskId};
use cadenas_keys::BackupError;
use cadenas_vmhome::RecoverError;
use serde_json::{Value, json};

use crate::{commands::disk::DiskError, files::FileError, password::PasswordError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server did not do what was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A task failed or was cancelled.
    #[error("{}", .0.detail)]
    TaskFailed(Box<Problem>),
    /// The server went away while a task was waited for.
    #[error("the server stopped answering while task {task} ran")]
    ServerGone {
        /// The task.
        task: TaskId,
        /// What broke.
        #[source]
        source: ClientError,
    },
    /// Ctrl-C while a task was waited for.
    #[error("not waiting any more; task {task} goes on")]
    StoppedWaiting {
        /// The task.
        task: TaskId,
    },
    /// Ctrl-C before the server had answered.
    #[error("stopped before the server answered; what was asked for may go on")]
    StoppedAsking,
    /// The backup file stands, but the server does not accept it as proof.
    #[error("{} was written, but the key provider is not active: {}", path.display(), chain(source))]
    BackupNotProved {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<Failure>,
    },
    /// The answer to the question for the name was another one.
    #[error("nothing was removed: the name was not repeated")]
    NotConfirmed,
    /// The question for the name needs a terminal.
    #[error("removing {name} with --force needs its name once more, and there is no terminal to ask on")]
    NobodyToConfirm {
        /// The provider, as it was named.
        name: String,
    },
    /// `--kms` without `--kind standard`.
    #[error("--kms names a key server, which only a standard key provider has")]
    KmsOfNative,
    /// `-o csv` where nothing is a list of records.
    #[error("`-o csv` is for `cadenas report` alone")]
    NoCsv,
    /// `provider backup` of a standard provider.
    #[error("{name} is a standard key provider: its keys are in its key servers, and there is nothing here to back up")]
    NothingToBackUp {
        /// The provider.
        name: String,
    },
    /// Somebody has to look at certificates before they are trusted.
    #[error("somebody has to look at the certificates of {name}'s key servers, and there is no terminal to ask on")]
    NobodyToTrust {
        /// The provider, as it was named.
        name: String,
    },
    /// Every certificate was declined.
    #[error("nothing was changed: no certificate was trusted")]
    NothingTrusted,
    /// No key server could be looked at.
    #[error("nothing was changed: no key server of {name} showed a certificate")]
    NoCertificate {
        /// The provider.
        name: String,
    },
    /// `vm encrypt` with a policy that does not encrypt.
    #[error("the policy \"{policy}\" does not encrypt")]
    PolicyDoesNotEncrypt {
        /// The policy.
        policy: String,
    },
    /// A name breaks the rule.
    #[error(transparent)]
    BadName(cadenas_api::NameError),
    /// No secret could be had.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A disk image could not be handled.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A backup file does not open here.
    #[error("cannot use the backup {}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BackupError,
    },
    /// Nothing was recovered.
    #[error(transparent)]
    Recover(#[from] Box<RecoverError>),
    /// Core dumps could not be forbidden, so no secret is touched.
    #[error("cannot forbid core dumps of this process")]
    CoreDumps(#[source] io::Error),
    /// The server's program could not be started.
    #[error("cannot run {}", program.display())]
    NoServerProgram {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What the server's program printed is not what was expected.
    #[error("{} gave no usable answer", program.display())]
    ServerProgramFailed {
        /// The program.
        program: PathBuf,
        /// What is wrong with the answer.
        #[source]
        source: serde_json::Error,
    },
    /// The asynchronous runtime could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// Standard output could not be written.
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit status: 2 when the command line is at fault, else 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::PolicyDoesNotEncrypt { .. }
            | Self::NobodyToConfirm { .. }
            | Self::NobodyToTrust { .. }
            | Self::KmsOfNative
            | Self::NoCsv
            | Self::BadName(_) => 2,
            Self::Password(error) => error.exit_status(),
            Self::Disk(error) => error.exit_status(),
            _ => 1,
        }
    }

    /// Whether whoever read our output has gone, which is nothing to report.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// For people: what happened, and on the following line what to do next.
    #[must_use]
    pub fn text(&self) -> String {
        match self.next() {
            Some(next) => format!("cadenas: {}\n  {next}", self.detail()),
            None => format!("cadenas: {}", self.detail()),
        }
    }

    /// For programs: the server's own problem, or one of the same shape.
    #[must_use]
    pub fn json(&self) -> Value {
        if let Some(problem) = self.problem() {
            return serde_json::to_value(problem).expect("a problem is plain data");
        }
        let code = self.code();
        let mut problem = json!({
            "type": format!("urn:cadenas:problem:{code}"),
            "title": "The command failed before or beside the server",
            "code": code,
            "detail": self.detail(),
        });
        if let Some(next) = self.next() {
            problem["next"] = next.into();
        }
        problem
    }

    fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Client(ClientError::Refused(problem)) | Self::TaskFailed(problem) => Some(problem),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Client(ClientError::NoServer { socket, source }) => {
                format!("no Cadenas server answers at {}: {source}", socket.display())
            }
            Self::BackupNotProved { .. } => self.to_string(),
            _ => self.problem().map_or_else(|| chain(self), |problem| problem.detail.clone()),
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            Self::Client(ClientError::NoServer { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run the command as root, or as a user who may open the socket".to_owned())
            }
            Self::Client(ClientError::NoServer { .. }) => {
                Some("start it with `cadenas serve`, or name its socket with --socket".to_owned())
            }
            Self::ServerGone { task, .. } => {
                Some(format!("when the server runs again, `cadenas task show {task}` says what became of it"))
            }
            Self::StoppedWaiting { task } => {
                Some(format!("watch it with `cadenas task wait {task}`, stop it with `cadenas task cancel {task}`"))
            }
            Self::StoppedAsking => Some("look at `cadenas task ls`".to_owned()),
            Self::BackupNotProved { path, .. } => {
                Some(format!("mend the cause, then make the backup again; {} is of no use by itself", path.display()))
            }
            Self::NobodyToConfirm { .. } => Some("give --confirm NAME".to_owned()),
            Self::PolicyDoesNotEncrypt { .. } => {
                Some("`cadenas policy ls` shows those that do; to decrypt, use `cadenas vm decrypt`".to_owned())
            }
            Self::KmsOfNative => Some("add --kind standard".to_owned()),
            Self::NoCsv => Some("use `-o table` or `-o json`".to_owned()),
            Self::NothingToBackUp { .. } => {
                Some("back up the key servers, with what their maker gives for it".to_owned())
            }
            Self::NobodyToTrust { name } => Some(format!(
                "look at them with `cadenas provider trust {name} --show`, then give --pin SHA256, or --ca FILE"
            )),
            Self::NoCertificate { name } => Some(format!(
                "`cadenas provider test {name}` says what works; `cadenas provider set-kms` names other servers"
            )),
            Self::NoServerProgram { .. } => {
                Some("install the server: the program `cadenasd` belongs beside `cadenas`".to_owned())
            }
            Self::Password(error) => error.next(),
            Self::File(error) => error.next(),
            Self::Disk(error) => error.next(),
            _ => self.problem().and_then(|problem| problem.next.clone()),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Client(ClientError::NoServer { .. }) => "no-server",
            Self::Client(ClientError::Broken(_)) | Self::ServerGone { .. } => "server-gone",
            Self::Client(_) | Self::ServerProgramFailed { .. } => "answer-not-understood",
            Self::StoppedWaiting { .. } | Self::StoppedAsking => "stopped-waiting",
            Self::BackupNotProved { .. } => "backup-not-proved",
            Self::Backup { .. } => "bad-backup",
            Self::Recover(_) => "home-unfit",
            Self::NotConfirmed | Self::NobodyToConfirm { .. } | Self::NobodyToTrust { .. } | Self::NothingTrusted => {
                "not-confirmed"
            }
            Self::PolicyDoesNotEncrypt { .. } | Self::KmsOfNative | Self::NoCsv => "bad-request",
            Self::NothingToBackUp { .. } => "wrong-provider-kind",
            Self::NoCertificate { .. } => "kms-unreachable",
            Self::BadName(_) => "bad-name",
            Self::Password(_) => "password-needed",
            Self::Disk(_) => "disk-unfit",
            Self::File(_) | Self::Output(_) => "file-failed",
            Self::TaskFailed(_) | Self::NoServerProgram { .. } | Self::Runtime(_) | Self::CoreDumps(_) => "internal",
        }
    }
}

/// An error and its causes on one line; a refusal is told by its detail alone.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(Failure::Client(ClientError::Refused(problem))) = error.downcast_ref() {
        return problem.detail.clone();
    }
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
