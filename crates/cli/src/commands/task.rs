//! `cadenas task`

use cadenas_api::{Task, TaskQuery, TaskState};

use super::{Result, bulk};
use crate::{
    args::task::Command,
    output::{
        Look,
        human::{age, percent, time_and_age},
        table::Table,
    },
    progress::shown,
    session::Session,
};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    let client = &session.client;
    match command {
        Command::Ls => session.show(client.tasks(), list).await,
        Command::Show(args) => session.show(client.task(args.task, &TaskQuery::default()), detail).await,
        Command::Wait(args) => {
            let task = session.watch(client.task(args.task, &TaskQuery::default()).await?).await?;
            bulk::end(session, &task)
        }
        Command::Cancel(args) => session.change(client.cancel_task(args.task), cancelled).await,
    }
}

fn list(tasks: &Vec<Task>, look: &Look) -> String {
    let mut table = Table::new(["TASK", "VM", "KIND", "STATE", "PROGRESS", "AGE", "BY"]);
    for task in tasks {
        table.row([
            task.id.to_string(),
            task.vm_name.clone(),
            task.kind.clone(),
            task.state.to_string(),
            progress(task),
            age(task.created, look.now),
            task.by.to_string(),
        ]);
    }
    table.text()
}

fn detail(task: &Task, look: &Look) -> String {
    let mut fields = vec![
        ("Task", task.id.to_string()),
        ("Kind", task.kind.clone()),
        match task.vm {
            Some(vm) => ("VM", format!("{} ({vm})", task.vm_name)),
            None => ("VMs", task.vm_name.clone()),
        },
        ("State", task.state.to_string()),
        ("Progress", progress(task)),
        ("By", task.by.to_string()),
        ("Created", time_and_age(task.created, look.now)),
    ];
    fields.extend(task.finished.map(|finished| ("Finished", time_and_age(finished, look.now))));
    fields.extend(task.outcome.iter().map(|outcome| ("Outcome", outcome.message.clone())));
    if let Some(problem) = &task.problem {
        fields.push(("Problem", problem.detail.clone()));
        fields.extend(problem.next.iter().map(|next| ("Next", next.clone())));
    }
    Table::fields(fields).text()
}

fn progress(task: &Task) -> String {
    let (done, total) = (task.progress.done, task.progress.total);
    if total == 0 {
        "-".to_owned()
    } else {
        format!("{} % of {}", percent(done, total), shown(total, task.progress.unit))
    }
}

fn cancelled(task: &Task) -> String {
    match task.state {
        TaskState::Running if task.vm.is_none() => {
            format!("task {} will stop after the VMs at hand; what is done stays", task.id)
        }
        TaskState::Running => format!("task {} will stop and undo what it had begun", task.id),
        state => format!("task {} {state}", task.id),
    }
}
