//! The commands about the program itself, and those that need no server.

use std::{num::NonZeroU32, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::{console::ServeConsole, secret::PasswordArgs};

pub(crate) const RECOVER_EXAMPLES: &str = "\
EXAMPLES:
  cadenas recover --backup nkp.p12 --vm web01/web01.cadenas --out recovered
  cadenas recover --key kek.bin --vm web01/web01.cadenas --out recovered

A VM of a native key provider needs that provider's backup. A VM of a standard one needs the key that
its key server keeps; the field `kms_key` in the descriptor names it.

Writes a file with the passphrase of each disk, for qemu-img and cryptsetup, and the VM's domain XML for `virsh define`.
All are readable only by you; delete them when you are done.";
pub(crate) const DOCTOR_EXAMPLES: &str = "\
EXAMPLES:
  cadenas doctor

Exit status 1 if anything fails. Without a server the checks run in this process.";
pub(crate) const SERVE_EXAMPLES: &str = "\
EXAMPLES:
  cadenas serve
  cadenas serve --data /tmp/try --libvirt qemu:///session
  cadenas serve --seal tpm
  cadenas serve --console 192.0.2.7:7780 --console-certificate host.crt --console-key host.key

Everything is made on first use; no configuration file is needed. SIGTERM and SIGINT stop it; interrupted tasks are
finished or undone at the next start.";
pub(crate) const COMPLETION_EXAMPLES: &str = "\
EXAMPLES:
  cadenas completion bash > /etc/bash_completion.d/cadenas
  cadenas completion zsh > \"${fpath[1]}/_cadenas\"";
pub(crate) const MAN_EXAMPLES: &str = "\
EXAMPLES:
  cadenas man --out /usr/local/share/man/man1";

/// `cadenas recover`
#[derive(Debug, Args)]
pub struct Recover {
    /// What opens it.
    #[command(flatten)]
    pub with: RecoverWith,
    /// The VM's descriptor
    #[arg(long, value_name = "DESCRIPTOR", value_hint = ValueHint::FilePath)]
    pub vm: PathBuf,
    /// The folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// What a VM is recovered with: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RecoverWith {
    /// The backup file of the VM's key provider
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub backup: Option<PathBuf>,
    /// The VM's key, as its key server gives it: 32 bytes or 64 hex digits in a file, or standard input if FILE is `-`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "no_password"], value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
}

/// `cadenas serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the server keeps its state
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    pub data: PathBuf,
    /// How the root key is kept, which seals the providers' keys. The first start decides; it can be changed while there is
    /// no provider
    #[arg(long, value_enum, default_value_t, value_name = "SEAL")]
    pub seal: SealKind,
    /// The TPM for `--seal tpm`: `device:PATH`, or `swtpm:host=HOST,port=PORT` for a TPM in software, which holds only as well as
    /// its state is kept
    #[arg(long, value_name = "TPM", default_value = DEFAULT_TPM)]
    pub tpm: String,
    /// The libvirt whose domains are the inventory
    #[arg(long, value_name = "URI", default_value = "qemu:///system", value_hint = ValueHint::Url)]
    pub libvirt: String,
    /// How often the states of the keys in key servers are looked at, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "180")]
    pub kms_check: NonZeroU32,
    /// How to write the log, which goes to standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// The web console.
    #[command(flatten)]
    pub console: ServeConsole,
}

/// Where the server keeps its state unless told otherwise.
pub const DEFAULT_DATA: &str = "/var/lib/cadenas";

/// The TPM unless told otherwise: the first one, through the kernel's resource manager.
pub const DEFAULT_TPM: &str = "device:/dev/tpmrm0";

/// How the root key is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SealKind {
    /// In the file `root.key` of the data folder: whoever copies the folder has the keys
    #[default]
    KeyFile,
    /// In the file `root.tpm`, sealed by this machine's TPM 2.0: a copy of the folder opens nowhere else
    Tpm,
}

/// How the server writes its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// `cadenas completion`
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    pub shell: Shell,
}

/// `cadenas man`
#[derive(Debug, Args)]
pub struct Man {
    /// The folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}
