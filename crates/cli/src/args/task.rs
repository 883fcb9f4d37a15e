//! `cadenas task`

use cadenas_api::TaskId;
use clap::{Args, Subcommand};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas task ls
  cadenas task wait 0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44";
const LS: &str = "\
EXAMPLES:
  cadenas task ls
  cadenas task ls -o json | jq '.[] | select(.state == \"running\")'";
const SHOW: &str = "\
EXAMPLES:
  cadenas task show 0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44";
const WAIT: &str = "\
EXAMPLES:
  id=$(cadenas vm encrypt web01 --detach)
  cadenas task wait $id

Exit status 0 if the task succeeded, 1 if not.";
const CANCEL: &str = "\
EXAMPLES:
  cadenas task cancel 0193f1c2-9d1e-7c5a-8f65-0f6f2b3a1d44

What the task had begun is undone. A task for many VMs stops after those at hand; what is done
stays.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the tasks
    #[command(after_help = LS)]
    Ls,
    /// Show a task
    #[command(after_help = SHOW)]
    Show(Named),
    /// Wait until a task has ended, and show its progress
    #[command(after_help = WAIT)]
    Wait(Named),
    /// Stop a task
    #[command(after_help = CANCEL)]
    Cancel(Named),
}

/// A task.
#[derive(Debug, Args)]
pub struct Named {
    /// Its ID
    #[arg(value_name = "ID")]
    pub task: TaskId,
}
