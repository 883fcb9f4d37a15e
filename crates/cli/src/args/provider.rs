//! `cadenas provider`

use std::path::PathBuf;

use cadenas_keys::ProviderId;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::{
    kms::{self, Identity, SetKms, Trust, User},
    rotation::{self, MarkCompromised, SetRotation},
    secret::{NewPasswordArgs, PasswordArgs},
};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas provider create nkp
  cadenas provider backup nkp --out nkp.p12
  cadenas provider ls

A native provider encrypts nothing until its key is in a backup that was proved to open. A standard
provider has the keys of a key server that speaks KMIP; it encrypts nothing until that is trusted.";

const CREATE: &str = "\
EXAMPLES:
  cadenas provider create nkp
  cadenas provider create nkp-tpm --tpm-required
  cadenas provider create cluster --kind standard --kms kms1 --kms kms2:5697
  cadenas provider create cluster --kind standard --kms kms1 --id 6f1c2a52-9d0e-4b39-8f55-0c1f2f0f7f3e

Next, of a native provider: cadenas provider backup NAME --out FILE.p12
Next, of a standard one:    cadenas provider trust NAME";
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
    /// Make a key provider
    #[command(after_help = CREATE)]
    Create(Create),
    /// List the providers
    #[command(after_help = LS)]
    Ls,
    /// Show a provider, its keys or key servers, and what needs it
    #[command(after_help = SHOW)]
    Show(Named),
    /// Give a provider another name
    #[command(after_help = RENAME)]
    Rename(Rename),
    /// Encrypt with this provider unless another one is named
    #[command(after_help = SET_DEFAULT)]
    SetDefault(Named),
    /// Give a native provider a new key, or the VMs of a standard one new keys
    #[command(after_help = rotation::ROTATE)]
    Rotate(Named),
    /// Rotate a provider on a schedule
    #[command(after_help = rotation::SET_ROTATION)]
    SetRotation(SetRotation),
    /// Say that somebody else may have a key, and list the VMs that need a deep recrypt
    #[command(after_help = rotation::MARK_COMPROMISED)]
    MarkCompromised(MarkCompromised),
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
    /// Trust the key servers of a standard provider
    #[command(after_help = kms::TRUST)]
    Trust(Trust),
    /// Give a standard provider the certificate that its key servers know it by
    #[command(after_help = kms::IDENTITY)]
    Identity(Identity),
    /// Give a standard provider the user that its key servers ask for
    #[command(after_help = kms::USER)]
    User(User),
    /// Replace the key servers of a standard provider
    #[command(after_help = kms::SET_KMS)]
    SetKms(SetKms),
    /// Say, key server by key server, what works
    #[command(after_help = kms::TEST)]
    Test(Named),
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
    /// Where its keys come from
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// A key server of a standard provider; may be repeated, in the order in which they shall be asked [default port: 5696]
    #[arg(long, value_name = "HOST[:PORT]", required_if_eq("kind", "standard"), value_hint = ValueHint::Hostname)]
    pub kms: Vec<String>,
    /// The ID that a standard provider has on another server, to open VMs from there
    #[arg(long, value_name = "UUID")]
    pub id: Option<ProviderId>,
    /// Only hosts whose keys a TPM 2.0 seals may use it
    #[arg(long)]
    pub tpm_required: bool,
}

/// Where a provider's keys come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// This server makes them, and one file is their backup
    #[default]
    Native,
    /// A key server that speaks KMIP
    Standard,
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
