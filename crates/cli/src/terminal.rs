//! One hidden line from the controlling terminal, straight into locked memory.
//!
//! The echo is off before the question is shown, so that not even the first letters of a quick answer are. (That is why this is
//! not one of the libraries for it, which ask first.)

use std::{
    fs::File,
    io::{self, Read, Write},
};

use cadenas_secret::SecretBytes;
use rustix::{
    process::{Signal, getpid, kill_process},
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
};

/// Asks and reads a line of at most `longest` bytes, without its newline. `None` if it is longer.
///
/// Ctrl-C ends the program as it does everywhere, with the terminal as it was.
pub(crate) fn hidden_line(question: &str, longest: usize) -> io::Result<Option<SecretBytes>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let quiet = Quiet::make(terminal.try_clone()?)?;
    terminal.write_all(question.as_bytes())?;
    let line = read_line(&mut terminal, longest);
    terminal.write_all(b"\n")?;
    drop(quiet);
    match line? {
        Line::Whole(secret) => Ok(Some(secret)),
        Line::TooLong => Ok(None),
        Line::Interrupted => {
            kill_process(getpid(), Signal::INT)?;
            // Only where somebody ignores the signal.
            Err(io::ErrorKind::Interrupted.into())
        }
    }
}

const CTRL_C: u8 = 3;

/// A terminal that shows nothing of what is typed, until this is dropped. Lines are edited as always.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn make(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        // No signal may end the program while the echo is off: Ctrl-C ends the line instead, and is told by it.
        quiet.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

enum Line {
    Whole(SecretBytes),
    TooLong,
    Interrupted,
}

fn read_line(terminal: &mut File, longest: usize) -> io::Result<Line> {
    let mut typed = SecretBytes::zeroed(longest + 1);
    let mut len = 0;
    loop {
        let more = terminal.read(&mut typed.expose_mut()[len..])?;
        len += more;
        match typed.expose()[..len] {
            [.., CTRL_C] => return Ok(Line::Interrupted),
            [ref line @ .., b'\n'] => return Ok(Line::Whole(copy(line))),
            // The end of the input (Ctrl-D) ends the line too.
            ref line if more == 0 && line.len() <= longest => return Ok(Line::Whole(copy(line))),
            _ if len > longest => return Ok(Line::TooLong),
            _ => {}
        }
    }
}

fn copy(line: &[u8]) -> SecretBytes {
    SecretBytes::new_with(line.len(), |secret| secret.copy_from_slice(line))
}
