//! Running programs.

use std::{
    ffi::OsStr,
    fmt,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// What was run.
    pub line: String,
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Finished {
    /// What it printed, if it ended well; else a panic that shows all of it.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }

    /// What it complained, if it ended with `code`; else a panic that shows all of it.
    #[must_use]
    pub fn failed_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self}");
        self.stderr
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        write!(f, "`{}` ended with {code}\n{}\n{}", self.line, self.stdout, self.stderr)
    }
}

/// Runs a program that must succeed, and returns what it printed.
pub fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> String {
    try_run(program, args).ok()
}

/// Runs a program that may fail.
pub fn try_run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Finished {
    try_run_with(Command::new(program).args(args), b"")
}

/// Runs a command that may fail, with this on its standard input.
pub fn try_run_with(command: &mut Command, input: &[u8]) -> Finished {
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {line}: {error}; e2e/setup.sh installs what is missing"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // A program that does not read its input may end before it was written.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("cannot wait for {line}: {error}"));
    writer.join().expect("the writer does not panic");
    Finished {
        line,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until `probe` gives something, and panics with what `describe` says when that takes longer than `timeout`.
pub fn eventually<T>(timeout: Duration, mut probe: impl FnMut() -> Option<T>, describe: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "after {timeout:?}: {}", describe());
        thread::sleep(Duration::from_millis(20));
    }
}
