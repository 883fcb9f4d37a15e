//! `cadenas copy`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas copy add /backup/web01
  cadenas copy ls

A backup of a VM home opens only with the keys that it was made with. A copy that is known here is
shown by `cadenas provider show` as long as it needs that provider, and keeps it from being removed
unnoticed.";
const ADD: &str = "\
EXAMPLES:
  cadenas copy add /backup/web01
  cadenas copy add /backup/2026-01-31/web01.cadenas

Only the readable part of its descriptor is read, again whenever it matters. A copy that cannot be
read then still counts, with the keys that it was last seen to need.";
const LS: &str = "\
EXAMPLES:
  cadenas copy ls
  cadenas copy ls -o json";
const RM: &str = "\
EXAMPLES:
  cadenas copy rm /backup/web01

Its files stay as they are.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a copy of a VM home known
    #[command(after_help = ADD)]
    Add(At),
    /// List the copies that are known, and the keys that they need
    #[command(after_help = LS)]
    Ls,
    /// Forget a copy
    #[command(after_help = RM)]
    Rm(At),
}

/// Where a copy is.
#[derive(Debug, Args)]
pub struct At {
    /// The copy's folder, or the descriptor in it
    #[arg(value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
}
