//! What is printed: tables and sentences for people, the API's JSON for programs.

pub(crate) mod csv;
pub(crate) mod human;
pub(crate) mod table;

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Global, OutputFormat};

/// How to print.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    format: OutputFormat,
    quiet: bool,
    look: Look,
}

/// What a table needs to know about where and when it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Whether the terminal shows more than ASCII.
    pub(crate) symbols: bool,
    /// More columns.
    pub(crate) wide: bool,
    /// What ages count from.
    pub(crate) now: Timestamp,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let look = Look { symbols: terminal_shows_symbols(), wide: global.verbose > 0, now: Timestamp::now() };
        Self { format: global.output, quiet: global.quiet, look }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// How tables look here.
    pub(crate) fn look(&self) -> &Look {
        &self.look
    }

    /// Whether progress may be shown.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet
    }

    /// What was asked for: `value` as JSON, or as `text` shows it.
    pub(crate) fn show<T: Serialize>(&self, value: &T, text: impl FnOnce(&T, &Look) -> String) -> io::Result<()> {
        if self.is_json() { print_json(value) } else { print(&text(value, &self.look)) }
    }

    /// What was asked for, where it has a form for spreadsheets too.
    pub(crate) fn show_or_csv<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T, &Look) -> String,
        csv: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.format == OutputFormat::Csv { write(&csv(value)) } else { self.show(value, text) }
    }

    /// A remark to people beside a result that is a table; `--quiet` leaves it out.
    pub(crate) fn remark(&self, text: &str) {
        if self.format == OutputFormat::Table && !self.quiet {
            crate::tell(text);
        }
    }

    /// That something is done: `value` as JSON, or a sentence, which `--quiet` leaves out.
    pub(crate) fn done<T: Serialize>(&self, value: &T, sentence: impl FnOnce(&T) -> String) -> io::Result<()> {
        match (self.is_json(), self.quiet) {
            (true, _) => print_json(value),
            (false, true) => Ok(()),
            (false, false) => print(&sentence(value)),
        }
    }

    /// One item of an endless list: `value` as JSON on one line, or `text`.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T, &Look) -> String) -> io::Result<()> {
        if self.is_json() { print(&serde_json::to_string(value)?) } else { print(&text(value, &self.look)) }
    }
}

/// A line to people beside the results.
pub(crate) fn warn(text: &str) {
    crate::tell(&format!("cadenas: {text}"));
}

/// Text and one newline, to standard output; unlike `println!` it does not panic when nobody reads.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&format!("{}\n", text.trim_end_matches('\n')))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn print_json<T: Serialize>(value: &T) -> io::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Symbols go to terminals alone, so that what a script reads has the same columns everywhere.
fn terminal_shows_symbols() -> bool {
    io::stdout().is_terminal() && locale().is_some_and(|locale| is_utf8(&locale))
}

/// The locale of characters (locale(7)): the first of these that is set and not empty.
fn locale() -> Option<String> {
    ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty())
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}

#[cfg(test)]
mod tests {
    use super::is_utf8;

    #[test]
    fn the_locale_tells_whether_symbols_can_be_shown() {
        assert!(is_utf8("C.UTF-8") && is_utf8("fr_FR.utf8"));
        assert!(!is_utf8("C") && !is_utf8("fr_FR.ISO-8859-1"));
    }
}
