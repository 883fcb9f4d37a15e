//! How a task for many VMs ends.

use cadenas_api::{BulkOutcome, Task};

use super::{Ended, Result};
use crate::{
    output::{human::milliseconds, table::Table},
    session::Session,
    tell,
};

/// Tells how a task ended, whatever it was for; exit status 1 if it failed with any VM.
pub(crate) fn end(session: &Session, task: &Task) -> Result {
    let Some(bulk) = task.outcome.as_ref().and_then(|outcome| outcome.bulk.as_ref()) else {
        session.tell_end(task)?;
        return Ok(Ended::Well);
    };
    session.printer.done(task, |_| sentence(bulk))?;
    if !bulk.failures.is_empty() && !session.printer.is_json() {
        session.printer.remark("");
        tell_failures(bulk);
    }
    Ok(if bulk.failed == 0 { Ended::Well } else { Ended::Badly })
}

/// Failures are told to people even where confirmations are not; for programs they are in the task.
fn tell_failures(bulk: &BulkOutcome) {
    let mut table = Table::new(["VM", "FAILED"]);
    for failure in &bulk.failures {
        table.row([failure.name.clone(), failure.problem.detail.clone()]);
        if let Some(next) = &failure.problem.next {
            table.row([String::new(), format!("-> {next}")]);
        }
    }
    tell(&table.text());
    let listed = u64::try_from(bulk.failures.len()).unwrap_or(u64::MAX);
    if let more @ 1.. = bulk.failed.saturating_sub(listed) {
        tell(&format!("... and {more} more"));
    }
}

fn sentence(bulk: &BulkOutcome) -> String {
    let vms = if bulk.changed == 1 { "VM" } else { "VMs" };
    let done = format!("{} {vms} re-encrypted, {} already so, {} failed", bulk.changed, bulk.already, bulk.failed);
    match (bulk.median_microseconds, bulk.p99_microseconds) {
        (Some(median), Some(p99)) => {
            format!("{done} (median {}, 99 % within {})", milliseconds(median), milliseconds(p99))
        }
        _ => done,
    }
}
