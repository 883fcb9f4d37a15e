//! `cadenasd`: the server and the host in one process. `cadenas serve` becomes this program; its command line is the same.

mod log;
mod serve;

use std::{alloc::System, io, process::ExitCode};

use cadenas_cli::args::{Cli, Command};
use cadenas_host::doctor;
use cadenas_hypervisor::Libvirt;
use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

use serve::ServeError;

/// Memory is wiped when it is freed. Our own secrets wipe themselves; buffers of the libraries that a password passes through
/// (HTTP, JSON, libvirt's messages) do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

const USAGE: &str =
    "cadenasd: this is the server's program; run `cadenas serve`, or `cadenas --help` for everything else";

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(error) => {
            cadenas_cli::tell(&format!("cadenas: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, ServeError> {
    cadenas_secret::process::forbid_core_dumps().map_err(ServeError::CoreDumps)?;
    let Cli { global, command } = Cli::parse();
    match command {
        Command::Serve(args) => serve::serve(&global, args).map(|()| ExitCode::SUCCESS),
        Command::Doctor => examine().map(|()| ExitCode::SUCCESS),
        _ => {
            cadenas_cli::tell(USAGE);
            Ok(ExitCode::from(2))
        }
    }
}

/// The checks of this host as JSON, for `cadenas doctor` when no server answers.
fn examine() -> Result<(), ServeError> {
    let checks = doctor::examine(&Libvirt::new(DEFAULT_LIBVIRT)?);
    serde_json::to_writer(io::stdout().lock(), &checks).map_err(|error| ServeError::Output(error.into()))
}

const DEFAULT_LIBVIRT: &str = "qemu:///system";

/// An error and its causes, outermost first.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
