//! `cadenas vm recrypt --all`

use std::num::NonZeroUsize;

use cadenas_api::{PlannedStep, PlannedVm, RecryptAll, RecryptPlan};

use crate::{
    args::vm::{ManyArgs, WaitArgs},
    commands::{Ended, Result, bulk},
    output::{
        Look,
        human::{count, harmless},
        table::Table,
    },
    session::{Session, has_failed},
};

/// Exit status 1 if any VM failed, or could not be re-encrypted to begin with, which the outcome counts too.
pub(super) async fn run(session: &Session, many: ManyArgs, jobs: Option<NonZeroUsize>, wait: WaitArgs) -> Result {
    let request = RecryptAll { from: many.from, to: many.to, jobs };
    let plan = session.client.plan_recrypt(&request).await?;
    if many.dry_run {
        session.printer.show(&plan, whole)?;
        session.printer.remark(&counts(&plan));
        let all_can_be = plan.vms.iter().all(|vm| vm.step != PlannedStep::Cannot);
        return Ok(if all_can_be { Ended::Well } else { Ended::Badly });
    }
    session.printer.remark(&pre_flight(&plan, session.printer.look()));
    let task = session.begin(session.client.recrypt_all(&request)).await?;
    if wait.detach && !has_failed(&task) {
        session.tell_id(&task)?;
        return Ok(Ended::Well);
    }
    bulk::end(session, &session.ended_or_cancelled(task).await?)
}

fn whole(plan: &RecryptPlan, _look: &Look) -> String {
    let mut table = Table::new(["VM", "STEP", "WHY"]);
    for vm in &plan.vms {
        table.row([vm.name.clone(), step(vm.step).to_owned(), why(vm)]);
    }
    table.text()
}

/// How many, and those that cannot be: everybody reads this before the work is done.
fn pre_flight(plan: &RecryptPlan, look: &Look) -> String {
    const ENOUGH: usize = 50;
    let cannot: Vec<_> = plan.vms.iter().filter(|vm| vm.step == PlannedStep::Cannot).collect();
    if cannot.is_empty() {
        return counts(plan);
    }
    let most = if look.wide { cannot.len() } else { ENOUGH };
    let mut table = Table::new(["VM", "WHY NOT"]);
    for vm in cannot.iter().take(most) {
        table.row([vm.name.clone(), why(vm)]);
    }
    let more = match cannot.len().saturating_sub(most) {
        0 => String::new(),
        more => format!("... and {more} more; --dry-run shows all\n"),
    };
    format!("{}:\n\n{}\n{more}", counts(plan), table.text())
}

fn counts(plan: &RecryptPlan) -> String {
    let number = |step| plan.vms.iter().filter(|vm| vm.step == step).count();
    harmless(&format!(
        "With {}: {} to re-encrypt, {} already so, {} not possible",
        plan.to_name,
        count(number(PlannedStep::Recrypt), "VM"),
        number(PlannedStep::AlreadySo),
        number(PlannedStep::Cannot)
    ))
}

fn step(step: PlannedStep) -> &'static str {
    match step {
        PlannedStep::Recrypt => "recrypt",
        PlannedStep::AlreadySo => "already so",
        PlannedStep::Cannot => "NOT POSSIBLE",
    }
}

fn why(vm: &PlannedVm) -> String {
    vm.reason.clone().unwrap_or_else(|| "-".to_owned())
}
