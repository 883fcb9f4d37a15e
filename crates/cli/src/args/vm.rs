//! `cadenas vm`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::tuning::TuningArgs;

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas vm ls
  cadenas vm encrypt web01
  cadenas vm start web01
  cadenas vm recrypt web01

A VM is named by its name or its UUID.";

const LS: &str = "\
EXAMPLES:
  cadenas vm ls
  cadenas vm ls -v                                 With IDs, keys and folders
  cadenas vm ls -o json | jq -r '.[] | select(.padlock == \"locked\").name'";
const SHOW: &str = "\
EXAMPLES:
  cadenas vm show web01";
const SET_POLICY: &str = "\
EXAMPLES:
  cadenas vm set-policy web01 \"VM Encryption Policy\"
  cadenas vm set-policy web01 \"Datastore Default\"      Decrypts";
const ENCRYPT: &str = "\
EXAMPLES:
  cadenas vm encrypt web01
  cadenas vm encrypt web01 --provider nkp
  cadenas vm encrypt web01 --disk vda --disk vdb   Not the other disks
  cadenas vm encrypt web01 --home /data/web01      Where the encrypted VM shall lie
  cadenas vm encrypt web01 --in-place              Without room for a copy
  cadenas vm encrypt web01 --rate-limit 200M       Leave some of the datastore to others

The VM must be off, without snapshots, with raw or qcow2 disks in files.";
const DECRYPT: &str = "\
EXAMPLES:
  cadenas vm decrypt web01
  cadenas vm decrypt web01 --in-place

The VM must be off. libvirt gets its old definition back.";
const RECRYPT: &str = "\
EXAMPLES:
  cadenas vm recrypt web01                         New wrapping of the keys: milliseconds, the VM may run
  cadenas vm recrypt web01 --provider nkp-2        Move it to another provider
  cadenas vm recrypt --deep web01                  New keys and rewritten disks; the VM must be off
  cadenas vm recrypt --all --dry-run               What would be done, and what cannot be
  cadenas vm recrypt --all --from cluster --to nkp

With --all, Ctrl-C stops after the VMs at hand. Run it again: what is done is skipped. Exit status 1
if any VM failed, or could not be re-encrypted to begin with.";
const TEMPLATE: &str = "\
EXAMPLES:
  cadenas vm template golden
  cadenas vm template golden --off

A template is re-encrypted with the others and does not start.";
const START: &str = "\
EXAMPLES:
  cadenas vm start web01";
const SHUTDOWN: &str = "\
EXAMPLES:
  cadenas vm shutdown web01
  cadenas vm shutdown web01 --timeout 600";
const KILL: &str = "\
EXAMPLES:
  cadenas vm kill web01";
const REGISTER: &str = "\
EXAMPLES:
  cadenas vm register /data/web01
  cadenas vm register /data/web01/web01.cadenas

If the VM's provider is not here, the VM is locked until `cadenas provider restore` brings it.";
const UNREGISTER: &str = "\
EXAMPLES:
  cadenas vm unregister web01

The VM's files stay where they are; `cadenas vm register` takes them back.";
const UNLOCK: &str = "\
EXAMPLES:
  cadenas vm unlock web01";
const VERIFY: &str = "\
EXAMPLES:
  cadenas vm verify web01

Exit status 1 if anything is not as it should be.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the VMs with their padlocks
    #[command(after_help = LS)]
    Ls,
    /// Show a VM, its keys and its disks
    #[command(after_help = SHOW)]
    Show(Named),
    /// Set a VM's storage policy, which encrypts or decrypts it
    #[command(after_help = SET_POLICY)]
    SetPolicy(SetPolicy),
    /// Encrypt a VM: its configuration and its disks
    #[command(after_help = ENCRYPT)]
    Encrypt(Encrypt),
    /// Decrypt a VM
    #[command(after_help = DECRYPT)]
    Decrypt(Decrypt),
    /// Change a VM's key, or the keys of all VMs
    #[command(after_help = RECRYPT)]
    Recrypt(Recrypt),
    /// Make a VM a template, or a VM again
    #[command(after_help = TEMPLATE)]
    Template(Template),
    /// Power a VM on
    #[command(after_help = START)]
    Start(Operate),
    /// Ask a VM's guest to shut down, and wait for it
    #[command(after_help = SHUTDOWN)]
    Shutdown(Shutdown),
    /// Power a VM off at once
    #[command(after_help = KILL)]
    Kill(Operate),
    /// Add a VM home to the inventory
    #[command(after_help = REGISTER)]
    Register(Register),
    /// Drop a VM home from the inventory; its files stay
    #[command(after_help = UNREGISTER)]
    Unregister(Named),
    /// Try again to unlock a locked VM
    #[command(after_help = UNLOCK)]
    Unlock(Operate),
    /// Read a VM's headers and samples of its disks, and say what really is encrypted
    #[command(after_help = VERIFY)]
    Verify(Operate),
}

/// A VM.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name or UUID
    pub vm: String,
}

/// A VM and whether to wait.
#[derive(Debug, Args)]
pub struct Operate {
    /// Its name or UUID
    pub vm: String,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Whether to wait for a task.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct WaitArgs {
    /// Do not wait: print the task's ID
    #[arg(long, visible_alias = "no-wait")]
    pub detach: bool,
}

/// What encrypting takes.
#[derive(Debug, Clone, Default, Args)]
pub struct EncryptionArgs {
    /// Encrypt with this key provider rather than the default one
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Encrypt only this disk (libvirt's target, `vda`); may be repeated
    #[arg(long = "disk", value_name = "TARGET")]
    pub disks: Vec<String>,
    /// The new folder for the encrypted VM [default: one with the VM's name beside its first disk]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub home: Option<PathBuf>,
    /// The encrypted disks' format [default: the one that keeps holes]
    #[arg(long, value_enum)]
    pub format: Option<EncryptedFormat>,
    /// How the disks are rewritten.
    #[command(flatten)]
    pub work: DiskWorkArgs,
    /// What happens to the plain disks before they are removed, after a copy [default: discard]
    #[arg(long, value_enum)]
    pub wipe: Option<Wipe>,
}

/// How disks are rewritten.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct DiskWorkArgs {
    /// Rewrite the disks where they lie [default: copy them where there is room, else in place]
    #[arg(long, conflicts_with = "copy")]
    pub in_place: bool,
    /// Copy the disks, or refuse where there is no room
    #[arg(long)]
    pub copy: bool,
    /// How much of the machine it may take.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// What happens to a plain disk before it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wipe {
    /// It is only removed
    None,
    /// Its blocks are given back to the file system
    Discard,
    /// Zeros are written over it
    Zero,
}

/// The format of an encrypted disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EncryptedFormat {
    /// qcow2 with LUKS inside: holes stay holes
    Qcow2,
    /// A raw LUKS1 volume: cryptsetup opens it
    Luks,
}

/// `cadenas vm set-policy`
#[derive(Debug, Args)]
pub struct SetPolicy {
    /// Its name or UUID
    pub vm: String,
    /// The policy; see `cadenas policy ls`
    pub policy: String,
    /// How to encrypt.
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `cadenas vm encrypt`
#[derive(Debug, Args)]
pub struct Encrypt {
    /// Its name or UUID
    pub vm: String,
    /// The policy that asks for it; see `cadenas policy ls` [default: VM Encryption Policy]
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// How to encrypt.
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `cadenas vm decrypt`
#[derive(Debug, Args)]
pub struct Decrypt {
    /// Its name or UUID
    pub vm: String,
    /// How the disks are rewritten.
    #[command(flatten)]
    pub work: DiskWorkArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `cadenas vm recrypt`
#[derive(Debug, Args)]
#[command(mut_arg("jobs", |jobs| jobs.help(RECRYPT_JOBS)))]
pub struct Recrypt {
    /// Its name or UUID
    #[arg(required_unless_present = "all")]
    pub vm: Option<String>,
    /// Which others.
    #[command(flatten)]
    pub many: ManyArgs,
    /// With this key provider rather than the default one
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// New data keys and rewritten disks, not only a new wrapping
    #[arg(long)]
    pub deep: bool,
    /// How the disks are rewritten.
    #[command(flatten)]
    pub work: DiskWorkArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

const RECRYPT_JOBS: &str = "With --deep, threads that read, encrypt and write [default: enough for the cores and for the disk]; \
    with --all, keys asked of key servers at the same time [default: 8]";

/// Re-encrypting many VMs.
#[derive(Debug, Args)]
pub struct ManyArgs {
    /// Every encrypted VM, running or not, instead of one
    #[arg(long, conflicts_with_all = ["vm", "provider", "deep", "in_place", "copy", "rate_limit"])]
    pub all: bool,
    /// Only VMs that are encrypted with this key provider
    #[arg(long, value_name = "NAME", requires = "all", conflicts_with = "vm")]
    pub from: Option<String>,
    /// With this key provider rather than the default one
    #[arg(long, value_name = "NAME", requires = "all", conflicts_with = "vm")]
    pub to: Option<String>,
    /// Only say what would be done, and what cannot be
    #[arg(long, requires = "all", conflicts_with_all = ["vm", "detach"])]
    pub dry_run: bool,
}

/// `cadenas vm template`
#[derive(Debug, Args)]
pub struct Template {
    /// Its name or UUID
    pub vm: String,
    /// Make it a VM again, which starts
    #[arg(long)]
    pub off: bool,
}

/// `cadenas vm shutdown`
#[derive(Debug, Args)]
pub struct Shutdown {
    /// Its name or UUID
    pub vm: String,
    /// How long the guest has, in seconds [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `cadenas vm register`
#[derive(Debug, Args)]
pub struct Register {
    /// The VM home, or the descriptor in it
    #[arg(value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
}
