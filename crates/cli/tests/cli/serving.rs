//! A server of its own, as `cadenas serve` starts it.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    passwords::private,
    program::{Ended, cadenas},
};

/// A server with data of its own and a password in the file `pw`.
pub(crate) struct Serving {
    pub(crate) folder: TempDir,
    pub(crate) child: Child,
}

impl Serving {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Its console is at any port that is free, unless `args` say otherwise.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        private(&folder.path().join("pw"), b"secret\n");
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = cadenas()
            .current_dir(folder.path())
            .args(["serve", "--data", "data", "--libvirt", "test:///default"])
            .args(if args.contains(&"--console") { &[][..] } else { &["--console", "127.0.0.1:0"] })
            .args(args)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut server = Self { folder, child };
        server.await_start();
        server
    }

    pub(crate) fn await_start(&mut self) {
        let begin = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.data().join("cadenas.sock")).is_err() {
            let ended = self.child.try_wait().expect("our own child");
            assert!(ended.is_none() && begin.elapsed() < Duration::from_secs(30), "it does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("there")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let socket = self.data().join("cadenas.sock");
        let mut command = cadenas();
        command.current_dir(self.folder.path()).env("CADENAS_SOCKET", socket).args(args);
        command.output().expect("the program starts").into()
    }

    pub(crate) fn provider(&self, name: &str) -> Value {
        serde_json::from_str(&self.run(&["provider", "show", name, "-o", "json"]).ok()).expect("JSON")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
