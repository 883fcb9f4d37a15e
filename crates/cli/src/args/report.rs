//! `cadenas report`

use clap::Subcommand;

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas report keys";
const KEYS: &str = "\
EXAMPLES:
  cadenas report keys
  cadenas report keys -v                           With the IDs of the keys
  cadenas report keys -o csv > keys.csv
  cadenas report keys -o json | jq -r '.[] | select(.due.kind == \"deep\").name'

KEK AGE is how old the key is that wraps a VM's keys: a shallow recrypt renews it. DEK AGE is how old
the keys are that encrypt its data: only a deep recrypt renews them.";

/// The reports.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How old each VM's keys are, and which re-encryption is due
    #[command(after_help = KEYS)]
    Keys,
}
