//! A TPM 2.0 in software, of a test's own.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::command::eventually;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// An `swtpm` on a loopback port, with a state of its own, as if it were soldered to a machine of its own. It dies with this value or
/// the test's thread, its state too.
pub struct SoftwareTpm {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl SoftwareTpm {
    /// Makes one and switches it on.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("cadenas-tpm-").tempdir().expect("a temporary folder");
        let mut tpm = Self { folder, port: 0, process: None };
        tpm.switch_on();
        tpm
    }

    /// Switches it off without a warning, as a power cut does.
    pub fn switch_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Switches it on again, with what it kept. Its port may be another.
    pub fn switch_on(&mut self) {
        self.switch_off();
        (self.port, self.process) = eventually(
            START_TIMEOUT,
            || self.try_port(free_port()).map(|(port, process)| (port, Some(process))),
            || "swtpm does not start; is it installed (e2e/setup.sh)?".to_owned(),
        );
    }

    /// Where it answers, as `--tpm` and the tools of `tpm2-tools` (`-T`) take it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The port of its commands. The next one is its control port, as the TSS libraries expect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `None` if another program was faster with one of the two ports.
    fn try_port(&self, port: u16) -> Option<(u16, Child)> {
        let control = port.checked_add(1)?;
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", self.folder.path().display())])
            .args(["--server", &format!("type=tcp,bindaddr=127.0.0.1,port={port}")])
            .args(["--ctrl", &format!("type=tcp,bindaddr=127.0.0.1,port={control}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run setpriv: {error}"));
        let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, control)).is_ok();
        let up = eventually(
            START_TIMEOUT,
            || match process.try_wait().expect("our own child") {
                Some(_) => Some(false),
                None => answers().then_some(true),
            },
            || "swtpm neither ends nor answers".to_owned(),
        );
        up.then_some((port, process))
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        self.switch_off();
    }
}

/// A port that is free, and the next one too, for the moment.
fn free_port() -> u16 {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let pair = || {
        let first = bind(0).ok()?;
        let port = first.local_addr().ok()?.port();
        bind(port.checked_add(1)?).ok().map(|_| port)
    };
    eventually(START_TIMEOUT, pair, || "no two free ports in a row".to_owned())
}
