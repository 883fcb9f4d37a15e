//! What the commands that talk to the server share: the client, the printer, and waiting for tasks.

use std::{future::Future, pin::pin};

use cadenas_api::{Client, ClientError, Problem, ProblemCode, Task, TaskQuery, TaskState, VmOutcome};
use serde::Serialize;

use crate::{
    args::{DEFAULT_SOCKET, Global, vm::WaitArgs},
    commands::{self, Ended},
    error::Failure,
    output::{Look, Printer, human::harmless, print},
    progress::Display,
};

/// One command's view of the server and of the user.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) printer: Printer,
}

impl Session {
    pub(crate) fn new(global: &Global) -> Self {
        let socket = global.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into());
        Self { client: Client::new(socket), printer: Printer::new(global) }
    }

    /// Asks for something and shows it.
    pub(crate) async fn show<T: Serialize>(
        &self,
        request: impl Future<Output = Result<T, ClientError>>,
        text: impl FnOnce(&T, &Look) -> String,
    ) -> commands::Result {
        self.printer.show(&request.await?, text)?;
        Ok(Ended::Well)
    }

    /// Asks for a change that is done at once, and confirms it with a sentence.
    pub(crate) async fn change<T: Serialize>(
        &self,
        request: impl Future<Output = Result<T, ClientError>>,
        sentence: impl FnOnce(&T) -> String,
    ) -> commands::Result {
        self.printer.done(&request.await?, sentence)?;
        Ok(Ended::Well)
    }

    /// Asks for a task of which nothing but its end matters.
    pub(crate) async fn operate(
        &self,
        request: impl Future<Output = Result<Task, ClientError>>,
        wait: WaitArgs,
    ) -> commands::Result {
        self.run(request, wait).await?;
        Ok(Ended::Well)
    }

    /// Asks for a task and sees it through. Ctrl-C stops the waiting, not the task.
    pub(crate) async fn run(
        &self,
        request: impl Future<Output = Result<Task, ClientError>>,
        wait: WaitArgs,
    ) -> Result<Task, Failure> {
        let task = unless_interrupted(request, || Failure::StoppedAsking).await??;
        let failed = task.state.is_final() && task.state != TaskState::Succeeded;
        if wait.detach && !failed {
            // Also of a task that has already succeeded: scripts read the ID.
            self.tell_id(&task)?;
        } else if task.state.is_final() {
            self.tell_end(&task)?;
        } else {
            return self.wait(task).await;
        }
        Ok(task)
    }

    /// Shows a task's progress until it has ended, then its end.
    pub(crate) async fn wait(&self, task: Task) -> Result<Task, Failure> {
        let id = task.id;
        let task = unless_interrupted(self.ended(task), || Failure::StoppedWaiting { task: id }).await??;
        self.tell_end(&task)?;
        Ok(task)
    }

    async fn ended(&self, mut task: Task) -> Result<Task, Failure> {
        const SECONDS_BETWEEN_UPDATES: u64 = 1;
        let query = TaskQuery { wait: Some(SECONDS_BETWEEN_UPDATES) };
        let mut display = Display::new(self.printer.shows_progress(), &label(&task));
        while !task.state.is_final() {
            display.update(task.progress.done, task.progress.total);
            let gone = |source| gone(&task, source);
            task = self.client.task(task.id, &query).await.map_err(gone)?;
        }
        display.clear();
        Ok(task)
    }

    fn tell_id(&self, task: &Task) -> Result<(), Failure> {
        if self.printer.is_json() {
            self.printer.done(task, |_| String::new())?;
        } else {
            print(&task.id.to_string())?;
        }
        Ok(())
    }

    fn tell_end(&self, task: &Task) -> Result<(), Failure> {
        if task.state != TaskState::Succeeded {
            let unexplained = || Problem::new(ProblemCode::Internal, format!("task {} {}", task.id, task.state));
            return Err(Failure::TaskFailed(Box::new(task.problem.clone().unwrap_or_else(unexplained))));
        }
        Ok(self.printer.done(task, |task| match &task.outcome {
            Some(outcome) => harmless(&format!("{}: {}{}", task.vm_name, outcome.message, took(outcome))),
            None => format!("{}: done", label(task)),
        })?)
    }
}

/// How long the core of a shallow re-encryption took; nothing of other tasks.
fn took(outcome: &VmOutcome) -> String {
    outcome.microseconds.map_or_else(String::new, |us| format!(" ({}.{:02} ms)", us / 1000, us % 1000 / 10))
}

/// What a task does, for people: `encrypt web01`.
pub(crate) fn label(task: &Task) -> String {
    let verb = task.kind.rsplit('.').next().unwrap_or_default();
    harmless(&format!("{verb} {}", task.vm_name))
}

/// A refusal is the server's answer; everything else means that it is not there any more.
fn gone(task: &Task, source: ClientError) -> Failure {
    match source {
        ClientError::NoServer { .. } | ClientError::Broken(_) => Failure::ServerGone { task: task.id, source },
        refused => refused.into(),
    }
}

async fn unless_interrupted<T>(
    work: impl Future<Output = T>,
    interrupted: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        // Without a handler Ctrl-C ends the program as it always does.
        Ok(()) = tokio::signal::ctrl_c() => Err(interrupted()),
    }
}
