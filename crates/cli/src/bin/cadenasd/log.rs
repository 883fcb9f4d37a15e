//! The server's log, on standard error.

use std::io::{self, IsTerminal};

use cadenas_cli::args::{Global, program::LogFormat};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// `RUST_LOG` decides, else `--verbose` and `--quiet`.
pub(crate) fn start(global: &Global, format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(level(global).into()).from_env_lossy();
    // A closed standard error is no reason to stop, nor to panic about.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

fn level(global: &Global) -> LevelFilter {
    match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}
