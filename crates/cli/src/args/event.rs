//! `cadenas event`

use clap::{Args, Subcommand};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas event ls
  cadenas event ls --follow";
const LS: &str = "\
EXAMPLES:
  cadenas event ls
  cadenas event ls --follow
  cadenas event ls --follow --after 1200 -o json   One JSON object per line, from event 1201 on";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the events, the oldest first
    #[command(after_help = LS)]
    Ls(Ls),
}

/// `cadenas event ls`
#[derive(Debug, Args)]
pub struct Ls {
    /// Go on and print events as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this number
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,
}
