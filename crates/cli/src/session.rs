//! What the commands that talk to the server share: the client, the printer, and waiting for tasks.

use std::{future::Future, pin::pin};

use cadenas_api::{Client, ClientError, Problem, ProblemCode, Task, TaskQuery, TaskState, VmOutcome};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{DEFAULT_SOCKET, Global, vm::WaitArgs},
    commands::{self, Ended},
    error::Failure,
    output::{
        Look, Printer,
        human::{harmless, milliseconds},
        print,
    },
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
        let mut task = self.begin(request).await?;
        if wait.detach && !has_failed(&task) {
            // Also of a task that has already succeeded.
            self.tell_id(&task)?;
        } else {
            task = self.watch(task).await?;
            self.tell_end(&task)?;
        }
        Ok(task)
    }

    /// Asks for a task.
    pub(crate) async fn begin(
        &self,
        request: impl Future<Output = Result<Task, ClientError>>,
    ) -> Result<Task, Failure> {
        Ok(unless_interrupted(request, || Failure::StoppedAsking).await??)
    }

    /// Shows a task's progress until it has ended. Ctrl-C stops the waiting, not the task.
    pub(crate) async fn watch(&self, task: Task) -> Result<Task, Failure> {
        if task.state.is_final() {
            return Ok(task);
        }
        let id = task.id;
        unless_interrupted(self.ended(task), || Failure::StoppedWaiting { task: id }).await?
    }

    /// Shows a task's progress until it has ended. Ctrl-C stops the task, which is then waited for; once more stops the waiting.
    pub(crate) async fn ended_or_cancelled(&self, mut task: Task) -> Result<Task, Failure> {
        let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
        let mut display = self.display(&task);
        let mut cancelled = false;
        while !task.state.is_final() {
            display.update(task.progress.done, task.progress.total);
            tokio::select! {
                biased;
                next = self.later(&task) => task = next?,
                Some(()) = interrupts.recv() => {
                    if cancelled {
                        return Err(Failure::StoppedWaiting { task: task.id });
                    }
                    cancelled = true;
                    display.say("stopping after the VMs at hand; Ctrl-C once more stops only the waiting");
                    self.cancel(&task).await?;
                }
            }
        }
        display.clear();
        Ok(task)
    }

    async fn ended(&self, mut task: Task) -> Result<Task, Failure> {
        let mut display = self.display(&task);
        while !task.state.is_final() {
            display.update(task.progress.done, task.progress.total);
            task = self.later(&task).await?;
        }
        display.clear();
        Ok(task)
    }

    fn display(&self, task: &Task) -> Display {
        Display::new(self.printer.shows_progress(), &label(task), task.progress.unit)
    }

    /// The task when it has ended, or a second later.
    async fn later(&self, task: &Task) -> Result<Task, Failure> {
        const SECONDS_BETWEEN_UPDATES: u64 = 1;
        let query = TaskQuery { wait: Some(SECONDS_BETWEEN_UPDATES) };
        self.client.task(task.id, &query).await.map_err(|source| gone(task, source))
    }

    /// A refusal says that the task ends by itself, which is waited for anyway.
    async fn cancel(&self, task: &Task) -> Result<(), Failure> {
        match self.client.cancel_task(task.id).await {
            Ok(_) | Err(ClientError::Refused(_)) => Ok(()),
            Err(source) => Err(gone(task, source)),
        }
    }

    /// The task's ID, which scripts read.
    pub(crate) fn tell_id(&self, task: &Task) -> Result<(), Failure> {
        if self.printer.is_json() {
            self.printer.done(task, |_| String::new())?;
        } else {
            print(&task.id.to_string())?;
        }
        Ok(())
    }

    /// A sentence about a task that has ended, or why it failed.
    pub(crate) fn tell_end(&self, task: &Task) -> Result<(), Failure> {
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

/// Whether a task has ended without success, which is told even to those who do not wait.
pub(crate) fn has_failed(task: &Task) -> bool {
    task.state.is_final() && task.state != TaskState::Succeeded
}

/// How long the core of a shallow re-encryption took; nothing of other tasks.
fn took(outcome: &VmOutcome) -> String {
    outcome.microseconds.map_or_else(String::new, |us| format!(" ({})", milliseconds(us)))
}

/// What a task does, for people: `encrypt web01`, `recrypt all VMs with nkp`.
pub(crate) fn label(task: &Task) -> String {
    let verb = task.kind.rsplit('.').next().unwrap_or_default();
    let verb = if task.vm.is_none() { verb.trim_end_matches("-all") } else { verb };
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
