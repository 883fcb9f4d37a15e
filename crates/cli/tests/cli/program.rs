//! Running `cadenas`.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// The program, with nothing of this machine's settings.
pub(crate) fn cadenas() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cadenas"));
    command.env_remove("CADENAS_SOCKET").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ended {
    /// What it printed; it must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// What it complained about; it must have ended with this status, and printed no result.
    #[track_caller]
    pub(crate) fn refused(self, status: i32) -> String {
        assert_eq!((self.status, self.out.as_str()), (Some(status), ""), "{}", self.err);
        self.err
    }
}

/// Runs it in a folder.
pub(crate) fn run_in(folder: &Path, args: &[&str]) -> Ended {
    cadenas().current_dir(folder).args(args).output().expect("the program starts").into()
}

/// Runs it in a folder with something on its standard input.
pub(crate) fn run_with_input(folder: &Path, args: &[&str], input: &[u8]) -> Ended {
    let mut command = cadenas();
    command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // It may refuse its arguments without reading.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("it ends").into()
}

/// Runs another program that must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn other(folder: &Path, program: &str, args: &[&str]) -> String {
    // qemu-img measures the CPU before it makes a LUKS slot, and fails at times on a busy machine.
    for _ in 0..10 {
        let ended: Ended = Command::new(program).current_dir(folder).args(args).output().expect(program).into();
        if !ended.err.contains("Unable to get accurate CPU usage") {
            assert_eq!(ended.status, Some(0), "{program} {args:?}: {}{}", ended.out, ended.err);
            return ended.out;
        }
    }
    panic!("{program} {args:?} cannot measure the CPU");
}
