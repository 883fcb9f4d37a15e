//! `cadenas provider`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::secret::{NewPasswordArgs, PasswordArgs};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas provider create nkp
  cadenas provider backup nkp --out nkp.p12
  cadenas provider ls

A provider encrypts nothing until its key is in a backup that was proved to open.";

const CREATE: &str = "\
EXAMPLES:
  cadenas provider create nkp
  cadenas provider create nkp-tpm --tpm-required

Next: cadenas provider backup NAME --out FILE.p12";
const LS: &str = "\
EXAMPLES:
  cadenas provider ls
  cadenas provider ls -o json";
const SHOW: &str = "\
EXAMPLES:
  cadenas provider show nkp";
const RENAME: &str = "\
EXAMPLES:
  cadenas provider rename nkp nkp-paris

VMs name their provider by its ID: nothing of them changes.";
const SET_DEFAULT: &str = "\
EXAMPLES:
  cadenas provider set-default nkp";
const ROTATE: &str = "\
EXAMPLES:
  cadenas provider rotate nkp
  cadenas provider backup nkp --out nkp-2.p12      The new key encrypts from here on
  cadenas vm recrypt web01                         Move a VM to it

Until the new key is in a backup the provider goes on with the last one that is.";
const RM: &str = "\
EXAMPLES:
  cadenas provider rm nkp
  cadenas provider rm nkp --force                          Asks for the name once more
  cadenas provider rm nkp --force --confirm nkp            The same in a script

A provider that VMs use is not removed: the refusal lists them. With --force it is, and these VMs are locked until the
provider is restored from a backup.";
const BACKUP: &str = "\
EXAMPLES:
  cadenas provider backup nkp --out nkp.p12                          Asks twice for a password
  cadenas provider backup nkp --out nkp.p12 --password-file pw.txt
  pass show nkp | cadenas provider backup nkp --out nkp.p12 --password-file -

The file is written, read again and proved to open before the provider becomes active. Keep it away from this machine:
without it and without the server nothing opens the VMs. `openssl pkcs12 -info` reads it.";
const VERIFY: &str = "\
EXAMPLES:
  cadenas provider verify-backup nkp.p12

Exit status 0: the file opens with the password and holds the provider's present key.";
const RESTORE: &str = "\
EXAMPLES:
  cadenas provider restore nkp.p12 --dry-run       Say what would be done
  cadenas provider restore nkp.p12
  cadenas provider restore nkp.p12 --name nkp-old";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a native key provider
    #[command(after_help = CREATE)]
    Create(Create),
    /// List the providers
    #[command(after_help = LS)]
    Ls,
    /// Show a provider and its keys
    #[command(after_help = SHOW)]
    Show(Named),
    /// Give a provider another name
    #[command(after_help = RENAME)]
    Rename(Rename),
    /// Encrypt with this provider unless another one is named
    #[command(after_help = SET_DEFAULT)]
    SetDefault(Named),
    /// Make a new version of a provider's key
    #[command(after_help = ROTATE)]
    Rotate(Named),
    /// Remove a provider
    #[command(after_help = RM)]
    Rm(Rm),
    /// Write a provider's keys to a password-protected file, which makes it active
    #[command(after_help = BACKUP)]
    Backup(Backup),
    /// Prove that a backup file opens and holds the provider's present key; changes nothing
    #[command(after_help = VERIFY)]
    VerifyBackup(VerifyBackup),
    /// Bring a provider back, here or on another server
    #[command(after_help = RESTORE)]
    Restore(Restore),
}

/// A provider that exists.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
}

/// `cadenas provider create`
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: 1 to 63 letters, digits, '.', '_' and '-'
    pub name: String,
    /// Only hosts whose keys a TPM 2.0 seals may use it
    #[arg(long)]
    pub tpm_required: bool,
}

/// `cadenas provider rename`
#[derive(Debug, Args)]
pub struct Rename {
    /// Its name or ID now
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub name: String,
}

/// `cadenas provider rm`
#[derive(Debug, Args)]
pub struct Rm {
    /// Its name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// Remove it although VMs use it
    #[arg(long)]
    pub force: bool,
    /// The provider's name once more, instead of typing it when --force asks
    #[arg(long, value_name = "NAME", requires = "force")]
    pub confirm: Option<String>,
}

/// `cadenas provider backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// The file to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
    /// The password.
    #[command(flatten)]
    pub password: NewPasswordArgs,
}

/// `cadenas provider verify-backup`
#[derive(Debug, Args)]
pub struct VerifyBackup {
    /// The backup file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// `cadenas provider restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Another name than the one in the file
    #[arg(long, value_name = "NEW")]
    pub name: Option<String>,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArgs,
}
