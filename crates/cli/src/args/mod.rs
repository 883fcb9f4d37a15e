//! The command line as types: noun, then verb.

pub mod console;
pub mod copy;
pub mod disk;
pub mod event;
pub mod feature;
pub mod kms;
pub mod program;
pub mod provider;
pub mod report;
pub mod rotation;
pub mod secret;
pub mod task;
pub mod tuning;
pub mod vm;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

/// Where the server listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cadenas/cadenas.sock";

const EXAMPLES: &str = "\
EXAMPLES:
  cadenas serve &                                  Start the server (as root)
  cadenas provider create nkp                      Make a key provider ...
  cadenas provider backup nkp --out nkp.p12        ... and back it up, which makes it usable
  cadenas vm encrypt web01                         Encrypt a VM that is off
  cadenas vm ls                                    See the padlocks
  cadenas console                                  The same in a browser

Exit status: 0 done, 1 failed, 2 the command line is wrong.";

/// Encrypts virtual machines on QEMU/KVM hosts.
///
/// No key server is needed: a key provider lives in the server, and one password-protected file is its backup. Where there is
/// a key server that speaks KMIP, its keys can be used too. Disks and configuration are encrypted in formats that QEMU,
/// cryptsetup and OpenSSL open without Cadenas.
#[derive(Debug, Parser)]
#[command(name = "cadenas", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The noun.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// How to print results; `json` is the API's own
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// The server's socket [default: /run/cadenas/cadenas.sock]
    #[arg(long, global = true, env = "CADENAS_SOCKET", hide_env_values = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Print only what was asked for: no progress, no confirmations
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: wider tables; of the server a longer log, twice the longest
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For spreadsheets (RFC 4180); only `cadenas report` has it
    Csv,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Key providers: where keys come from
    #[command(subcommand, visible_alias = "providers", after_help = provider::EXAMPLES)]
    Provider(provider::Command),
    /// Virtual machines
    #[command(subcommand, visible_alias = "vms", after_help = vm::EXAMPLES)]
    Vm(vm::Command),
    /// Storage policies
    #[command(subcommand, after_help = feature::POLICY_EXAMPLES)]
    Policy(feature::PolicyCommand),
    /// Copies of VM homes that are no VMs here: backups, which need keys too
    #[command(subcommand, visible_alias = "copies", after_help = copy::EXAMPLES)]
    Copy(copy::Command),
    /// What is to be known of all VMs together
    #[command(subcommand, visible_alias = "reports", after_help = report::EXAMPLES)]
    Report(report::Command),
    /// Long operations
    #[command(subcommand, visible_alias = "tasks", after_help = task::EXAMPLES)]
    Task(task::Command),
    /// What changed, when and by whom
    #[command(subcommand, visible_alias = "events", after_help = event::EXAMPLES)]
    Event(event::Command),
    /// Features that a service provider switches
    #[command(subcommand, after_help = feature::EXAMPLES)]
    Feature(feature::Command),
    /// Disk images alone, without a server
    #[command(subcommand, after_help = disk::EXAMPLES)]
    Disk(disk::Command),
    /// Get a VM's passphrases and definition out of its home and a backup file or key, without a server
    #[command(after_help = program::RECOVER_EXAMPLES)]
    Recover(program::Recover),
    /// Get a link into the web console, and open it where there is a browser
    #[command(after_help = console::EXAMPLES)]
    Console(console::Console),
    /// Check this host's prerequisites and say how to mend each
    #[command(after_help = program::DOCTOR_EXAMPLES)]
    Doctor,
    /// Run the server
    #[command(after_help = program::SERVE_EXAMPLES)]
    Serve(program::Serve),
    /// Print a shell's completion script
    #[command(after_help = program::COMPLETION_EXAMPLES)]
    Completion(program::Completion),
    /// Write the manual pages
    #[command(after_help = program::MAN_EXAMPLES)]
    Man(program::Man),
}
