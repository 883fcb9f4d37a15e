//! Questions to a person, and visible answers. The questions go to standard error, beside the results.

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether there is somebody to ask.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line, without spaces around it; empty at the end of the input.
pub(crate) fn line(question: &str) -> io::Result<String> {
    let mut prompt = io::stderr().lock();
    write!(prompt, "{question} ")?;
    prompt.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    Ok(typed.trim().to_owned())
}

/// Asks for yes or no; everything but a yes is a no.
pub(crate) fn yes(question: &str) -> io::Result<bool> {
    let typed = line(&format!("{question} [y/N]"))?;
    Ok(["y", "yes"].contains(&typed.to_ascii_lowercase().as_str()))
}
