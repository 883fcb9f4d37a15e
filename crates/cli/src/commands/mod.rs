//! What each command does, one module per noun.

pub(crate) mod backup;
pub(crate) mod bulk;
pub(crate) mod console;
pub(crate) mod copy;
pub(crate) mod disk;
pub(crate) mod doctor;
pub(crate) mod event;
pub(crate) mod feature;
pub(crate) mod generate;
pub(crate) mod provider;
pub(crate) mod recover;
pub(crate) mod report;
pub(crate) mod server_program;
pub(crate) mod task;
pub(crate) mod vm;

use std::future::Future;

use crate::{
    args::{Cli, Command, OutputFormat},
    error::Failure,
    output::Printer,
    session::Session,
};

/// How a command ended that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is well.
    Well,
    /// It found something that is not as it should be, and has told so.
    Badly,
}

pub(crate) type Result<T = Ended, E = Failure> = std::result::Result<T, E>;

/// Carries out the command.
pub(crate) fn run(cli: Cli) -> Result {
    let Cli { global, command } = cli;
    if global.output == OutputFormat::Csv && !matches!(command, Command::Report(_)) {
        return Err(Failure::NoCsv);
    }
    let session = Session::new(&global);
    match command {
        Command::Provider(command) => asking(provider::run(&session, command)),
        Command::Vm(command) => asking(vm::run(&session, command)),
        Command::Policy(command) => asking(feature::run_policy(&session, command)),
        Command::Copy(command) => asking(copy::run(&session, command)),
        Command::Report(command) => asking(report::run(&session, command)),
        Command::Task(command) => asking(task::run(&session, command)),
        Command::Event(command) => asking(event::run(&session, command)),
        Command::Feature(command) => asking(feature::run(&session, command)),
        Command::Console(args) => asking(console::run(&session, &args)),
        Command::Doctor => asking(doctor::run(&session)),
        Command::Disk(command) => disk::run(&Printer::new(&global), command),
        Command::Recover(args) => recover::run(&Printer::new(&global), &args),
        Command::Serve(_) => server_program::replace_this_one(),
        Command::Completion(args) => generate::completion(&args),
        Command::Man(args) => generate::man(&args),
    }
}

/// One thread is enough to ask a server, and starts fastest.
fn asking(command: impl Future<Output = Result>) -> Result {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?.block_on(command)
}
