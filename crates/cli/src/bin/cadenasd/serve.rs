//! `cadenas serve`

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cadenas_cli::args::{
    DEFAULT_SOCKET, Global,
    console::ServeConsole,
    program::{DEFAULT_DATA, SealKind, Serve},
};
use cadenas_host::{LocalHost, OpenHostError};
use cadenas_hypervisor::{HypervisorError, Libvirt};
use cadenas_server::{BadTpmAddress, CertificateFiles, ConsoleOptions, Options, SealChoice, Server, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Core dumps could not be forbidden, so no secret is touched.
    #[error("cannot forbid core dumps of this process")]
    CoreDumps(#[source] io::Error),
    /// The runtime could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The data folder's path is relative and the current folder is not known.
    #[error("cannot make {} absolute", path.display())]
    Path {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `--tpm` names no TPM.
    #[error("--tpm")]
    Tpm(#[from] BadTpmAddress),
    /// libvirt's event loop could not be started.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// The host's data cannot be used.
    #[error(transparent)]
    Host(#[from] OpenHostError),
    /// The server could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Standard output could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// Runs server and host until SIGTERM or SIGINT.
pub(crate) fn serve(global: &Global, args: Serve) -> Result<(), ServeError> {
    log::start(global, args.log_format);
    let seal = seal_choice(args.seal, &args.tpm)?;
    let kms_check = Duration::from_secs(args.kms_check.get().into());
    let data = std::path::absolute(&args.data).map_err(|source| ServeError::Path { path: args.data, source })?;
    let socket = global.socket.clone().unwrap_or_else(|| default_socket(&data));
    let console = console_options(args.console);
    let hypervisor = Arc::new(Libvirt::new(&args.libvirt)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    runtime.block_on(async {
        let shutdown = Shutdown::listen().map_err(ServeError::Runtime)?;
        let host = Arc::new(LocalHost::open(&data, hypervisor)?);
        Ok(Server::run(Options { data, socket, seal, host, kms_check, console }, shutdown.asked()).await?)
    })
}

/// The certificate and its key come together, or not at all.
fn console_options(args: ServeConsole) -> Option<ConsoleOptions> {
    let certificate = args.console_certificate.zip(args.console_key);
    Some(ConsoleOptions {
        address: args.console.0?,
        certificate: certificate.map(|(certificate, key)| CertificateFiles { certificate, key }),
        files: cadenas_console::FILES.to_vec(),
    })
}

fn seal_choice(kind: SealKind, tpm: &str) -> Result<SealChoice, BadTpmAddress> {
    let tpm = tpm.parse()?;
    Ok(match kind {
        SealKind::KeyFile => SealChoice::KeyFile,
        SealKind::Tpm => SealChoice::Tpm(tpm),
    })
}

/// The system's socket for the system's data; a server on other data has its own beside them.
fn default_socket(data: &Path) -> PathBuf {
    if data == Path::new(DEFAULT_DATA) { DEFAULT_SOCKET.into() } else { data.join("cadenas.sock") }
}

/// The signals that stop the server.
struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Listens from now on, before anything is begun that a signal would have to undo.
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use cadenas_cli::args::program::DEFAULT_TPM;
    use cadenas_server::TpmAddress;

    use super::*;

    #[test]
    fn the_tpm_is_looked_for_where_the_help_says() {
        let tpm = TpmAddress::Device("/dev/tpmrm0".into());
        assert_eq!(seal_choice(SealKind::Tpm, DEFAULT_TPM), Ok(SealChoice::Tpm(tpm)));
        assert!(seal_choice(SealKind::KeyFile, "tpmrm0").is_err(), "nonsense is told even where it does not matter");
    }

    #[test]
    fn a_server_on_its_own_data_has_its_own_socket() {
        assert_eq!(default_socket(Path::new(DEFAULT_DATA)), Path::new(DEFAULT_SOCKET));
        assert_eq!(default_socket(Path::new("/tmp/try")), Path::new("/tmp/try/cadenas.sock"));
    }
}
