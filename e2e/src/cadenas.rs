//! The program under test: `cadenas serve`, and the commands that talk to it.
#![expect(clippy::must_use_candidate, reason = "commands are run for what they do; what they print may not matter")]

use std::{
    fs::{self, File},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    command::{Finished, eventually, try_run_with},
    workspace,
};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A `cadenas serve` with data and a socket of its own. It dies with this value, its data too.
pub struct Cadenas {
    folder: TempDir,
    data: PathBuf,
    libvirt_uri: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// How to start one.
#[derive(Debug, Default)]
pub struct CadenasOptions {
    data: Option<PathBuf>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl CadenasOptions {
    /// Takes this data folder instead of a fresh one; it stays afterwards.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Sets a variable in the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds arguments to `cadenas serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.arguments.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Starts it and waits until it listens.
    #[must_use]
    pub fn start(self, libvirt_uri: &str) -> Cadenas {
        let mut cadenas = self.prepare(libvirt_uri);
        cadenas.restart();
        cadenas
    }

    /// Everything but the start, for a test that expects [`Cadenas::try_start`] to be refused.
    #[must_use]
    pub fn prepare(self, libvirt_uri: &str) -> Cadenas {
        let folder = tempfile::Builder::new().prefix("cadenas-serve-").tempdir().expect("a temporary folder");
        let data = self.data.unwrap_or_else(|| folder.path().join("data"));
        let libvirt_uri = libvirt_uri.to_owned();
        Cadenas { folder, data, libvirt_uri, environment: self.environment, arguments: self.arguments, process: None }
    }
}

impl Cadenas {
    /// Starts one on this libvirt and waits until it listens.
    #[must_use]
    pub fn start(libvirt_uri: &str) -> Self {
        CadenasOptions::default().start(libvirt_uri)
    }

    /// The program: `CADENAS_BIN`, or what Cargo built beside this test.
    #[must_use]
    pub fn program() -> PathBuf {
        if let Some(path) = std::env::var_os("CADENAS_BIN") {
            return PathBuf::from(path);
        }
        // Tests lie in `target/PROFILE/deps`, programs in `target/PROFILE`.
        let test = std::env::current_exe().expect("a process knows its program");
        let beside = test.ancestors().nth(2).map(|folder| folder.join("cadenas"));
        let path = beside.filter(|path| path.exists()).unwrap_or_else(|| workspace().join("target/debug/cadenas"));
        assert!(path.exists(), "{} is missing: run `cargo build -p cadenas-cli`", path.display());
        path
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("cadenas.sock")
    }

    /// The server's process ID while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What the server has printed since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Runs a command against this server; it may fail.
    pub fn try_cadenas(&self, args: &[&str]) -> Finished {
        self.try_cadenas_with(args, b"")
    }

    /// Runs a command against this server with this on its standard input; it may fail.
    pub fn try_cadenas_with(&self, args: &[&str], input: &[u8]) -> Finished {
        try_run_with(Command::new(Self::program()).args(args).env("CADENAS_SOCKET", self.socket()), input)
    }

    /// Runs a command against this server that must succeed, and returns what it printed.
    pub fn cadenas(&self, args: &[&str]) -> String {
        self.try_cadenas(args).ok()
    }

    /// Runs a command against this server with this on its standard input that must succeed.
    pub fn cadenas_with(&self, args: &[&str], input: &[u8]) -> String {
        self.try_cadenas_with(args, input).ok()
    }

    /// Kills the server as a power cut would, while others use this value.
    pub fn signal_kill(&self) {
        let pid = self.pid().expect("it runs").to_string();
        drop(Command::new("kill").args(["-KILL", &pid]).status());
    }

    /// Kills the server as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Waits until the server has ended by itself, and says with which code; `None` after a signal.
    pub fn wait_for_end(&mut self, timeout: Duration) -> Option<i32> {
        let process = self.process.as_mut().expect("it was started");
        let ended = || process.try_wait().expect("our own child");
        let status = eventually(timeout, ended, || "the server still runs".to_owned());
        self.process = None;
        status.code()
    }

    /// Sets a variable for the next start; an empty value takes it away.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Replaces the arguments that [`CadenasOptions::args`] gave, for the next start.
    pub fn set_args(&mut self, args: &[&str]) {
        self.arguments = args.iter().map(ToString::to_string).collect();
    }

    /// Kills the server if it runs, starts it on the same data, and waits until it listens.
    pub fn restart(&mut self) {
        self.kill9();
        if let Err(words) = self.try_start() {
            panic!("{words}");
        }
    }

    /// Starts the server and waits until it listens, or says what it said when it ended instead.
    pub fn try_start(&mut self) -> Result<(), String> {
        let mut process = self.spawn();
        let started = eventually(
            START_TIMEOUT,
            || match process.try_wait().expect("our own child") {
                Some(status) => Some(Err(format!("cadenas serve ended with {status}:\n{}", self.log()))),
                None => UnixStream::connect(self.socket()).is_ok().then_some(Ok(())),
            },
            || format!("cadenas serve does not listen:\n{}", self.log()),
        );
        if started.is_ok() {
            self.process = Some(process);
        }
        started
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a file in our own folder");
        Command::new(Self::program())
            // Port 0: any that is free.
            .args(["serve", "--libvirt", &self.libvirt_uri, "--console", "127.0.0.1:0"])
            .arg("--data")
            .arg(&self.data)
            .arg("--socket")
            .arg(self.socket())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", Self::program().display()))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }
}

impl Drop for Cadenas {
    fn drop(&mut self) {
        self.kill9();
    }
}
