//! A person at a terminal: the program runs on a pseudo-terminal of its own.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::cadenas;

/// A program on a terminal.
pub(crate) struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
    child: Child,
}

impl Terminal {
    /// Runs `cadenas` with these arguments; `prepare` may add to the command.
    pub(crate) fn run(args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("named").into_string().expect("text");
        let child = spawn(&name, args, prepare);
        let keyboard = File::from(master);
        let screen = watch(keyboard.try_clone().expect("one more descriptor"));
        Self { keyboard, screen, shown: String::new(), child }
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> &mut Self {
        const PATIENCE: Duration = Duration::from_secs(20);
        while !self.shown.contains(text) {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => panic!("{text:?} does not come; the screen shows {:?}", self.shown),
                Err(RecvTimeoutError::Disconnected) => panic!("{text:?} is not in {:?}", self.shown),
            }
        }
        self
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) -> &mut Self {
        self.type_keys(&format!("{line}\n"))
    }

    /// Types these keys.
    pub(crate) fn type_keys(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes it");
        self
    }

    /// Waits for the end: the exit status (`None` after a signal) and everything that was on the screen.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("our own child").code();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_secs(1)) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status, self.shown.replace("\r\n", "\n"))
    }
}

/// `setsid --ctty` makes the terminal the program's own, as a login does.
fn spawn(terminal: &str, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Child {
    let side = || File::options().read(true).write(true).open(terminal).expect("the terminal opens");
    let like = cadenas();
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .arg(like.get_program())
        .args(args)
        .env_remove("CADENAS_SOCKET")
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "xterm");
    command.stdin(side()).stdout(side()).stderr(side());
    prepare(&mut command);
    command.spawn().expect("setsid starts")
}

/// Reads the screen until the program has closed it.
fn watch(mut screen: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = screen.read(&mut bytes) {
            if sender.send(bytes[..len].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
