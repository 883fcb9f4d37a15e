//! The command line of Cadenas.
//!
//! [`args`] is the command line as types, `commands` what each command does, `output` how it is shown. The program `cadenas`
//! is this library; `cadenasd` is the server, which `cadenas serve` becomes.

pub mod args;
mod browser;
mod commands;
mod error;
mod files;
mod output;
mod password;
mod progress;
mod question;
mod session;
mod terminal;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use args::{Cli, OutputFormat};
use commands::Ended;
pub use error::Failure;
use output::human::harmless_lines;

/// The whole program: exit status 0 done, 1 failed, 2 the command line is wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.global.output;
    match forbid_core_dumps().and_then(|()| commands::run(cli)) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => report(&failure, format),
    }
}

/// A line on standard error. That it may be closed is no reason to stop, and nowhere is left to tell it.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells a failure in the format that results have.
fn report(failure: &Failure, format: OutputFormat) -> ExitCode {
    match format {
        OutputFormat::Table | OutputFormat::Csv => tell(&harmless_lines(&failure.text())),
        OutputFormat::Json => tell(&format!("{:#}", failure.json())),
    }
    ExitCode::from(failure.exit_status())
}

fn forbid_core_dumps() -> Result<(), Failure> {
    cadenas_secret::process::forbid_core_dumps().map_err(Failure::CoreDumps)
}
