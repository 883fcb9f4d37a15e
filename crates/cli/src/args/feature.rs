//! `cadenas feature` and `cadenas policy`

use clap::{Args, Subcommand};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas feature ls
  cadenas feature disable native-key-provider --message \"Use the key server kms1: see intra/keys\"";
const LS: &str = "\
EXAMPLES:
  cadenas feature ls";
const ENABLE: &str = "\
EXAMPLES:
  cadenas feature enable native-key-provider";
const DISABLE: &str = "\
EXAMPLES:
  cadenas feature disable native-key-provider
  cadenas feature disable native-key-provider --message \"Ask the storage team first\"

Providers can then be neither created nor restored; those that exist go on.";
pub(crate) const POLICY_EXAMPLES: &str = "\
EXAMPLES:
  cadenas policy ls";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the features
    #[command(after_help = LS)]
    Ls,
    /// Switch a feature on
    #[command(after_help = ENABLE)]
    Enable(Enable),
    /// Switch a feature off
    #[command(after_help = DISABLE)]
    Disable(Disable),
}

/// `cadenas feature enable`
#[derive(Debug, Args)]
pub struct Enable {
    /// Its name
    #[arg(value_name = "FEATURE")]
    pub feature: String,
}

/// `cadenas feature disable`
#[derive(Debug, Args)]
pub struct Disable {
    /// Its name
    #[arg(value_name = "FEATURE")]
    pub feature: String,
    /// What users are told while it is off
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// The verbs of `cadenas policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the storage policies
    #[command(after_help = POLICY_EXAMPLES)]
    Ls,
}
