//! How far a long operation is: a bar on a terminal, a line now and then elsewhere.

use std::{
    fmt,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use cadenas_api::ProgressUnit;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::output::{
    human::{percent, size},
    warn,
};

/// Shows the progress of one operation on standard error.
#[derive(Debug)]
pub(crate) enum Display {
    /// `--quiet`.
    Nothing,
    /// A terminal.
    Bar(ProgressBar),
    /// A pipe or a file.
    Lines(Lines),
}

/// Progress where nothing can be overwritten.
#[derive(Debug)]
pub(crate) struct Lines {
    label: String,
    unit: ProgressUnit,
    started: Instant,
    last: Instant,
}

impl Display {
    /// For the operation that `label` names, which counts `unit`s.
    pub(crate) fn new(shown: bool, label: &str, unit: ProgressUnit) -> Self {
        if !shown {
            Self::Nothing
        } else if io::stderr().is_terminal() {
            Self::Bar(bar(label, unit))
        } else {
            let now = Instant::now();
            Self::Lines(Lines { label: label.to_owned(), unit, started: now, last: now })
        }
    }

    /// `done` of `total` are done; zero of zero for an operation of one step.
    pub(crate) fn update(&mut self, done: u64, total: u64) {
        match self {
            Self::Nothing => {}
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done.min(total));
            }
            Self::Lines(lines) => lines.update(done, total, Instant::now()),
        }
    }

    /// Says something while the operation goes on.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| warn(text)),
            Self::Nothing | Self::Lines(_) => warn(text),
        }
    }

    /// The operation has ended: the bar goes away.
    pub(crate) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    /// Rare enough for a log, often enough to see that it goes on.
    const PAUSE: Duration = Duration::from_secs(5);

    fn update(&mut self, done: u64, total: u64, now: Instant) {
        if now.duration_since(self.last) >= Self::PAUSE {
            self.last = now;
            warn(&self.line(done, total, now.duration_since(self.started)));
        }
    }

    fn line(&self, done: u64, total: u64, elapsed: Duration) -> String {
        if total == 0 {
            return format!("{}: {} s", self.label, elapsed.as_secs());
        }
        let per_second = u128::from(done) * 1000 / elapsed.as_millis().max(1);
        let rate = u64::try_from(per_second).unwrap_or(u64::MAX);
        let left = total.saturating_sub(done).checked_div(rate).map(|seconds| format!(", {seconds} s left"));
        let shown = |count| shown(count, self.unit);
        format!(
            "{}: {} of {} ({} %), {}/s{}",
            self.label,
            shown(done),
            shown(total),
            percent(done, total),
            shown(rate),
            left.unwrap_or_default()
        )
    }
}

/// So many bytes or VMs.
pub(crate) fn shown(count: u64, unit: ProgressUnit) -> String {
    match unit {
        ProgressUnit::Bytes => size(count),
        ProgressUnit::Vms if count == 1 => "1 VM".to_owned(),
        ProgressUnit::Vms => format!("{count} VMs"),
    }
}

fn bar(label: &str, unit: ProgressUnit) -> ProgressBar {
    const BYTES: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
    const VMS: &str = "{msg} [{bar:30}] {pos} of {len} VMs  {rate}/s  {eta} left";
    let template = match unit {
        ProgressUnit::Bytes => BYTES,
        ProgressUnit::Vms => VMS,
    };
    let style = ProgressStyle::with_template(template).expect("the template is correct").progress_chars("=> ");
    let style = style.with_key("rate", |state: &ProgressState, text: &mut dyn fmt::Write| {
        // A bar that cannot be drawn is no reason to stop.
        let _ = write!(text, "{:.0}", state.per_sec());
    });
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar.set_message(label.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_still() {
        let now = Instant::now();
        let lines = |label: &str, unit| Lines { label: label.to_owned(), unit, started: now, last: now };
        let many = lines("recrypt all VMs", ProgressUnit::Vms);
        let line = many.line(5000, 10_000, Duration::from_secs(2));
        assert_eq!(line, "recrypt all VMs: 5000 VMs of 10000 VMs (50 %), 2500 VMs/s, 2 s left");
        let lines = lines("encrypting web01", ProgressUnit::Bytes);
        let half = lines.line(512 << 20, 1 << 30, Duration::from_secs(4));
        assert_eq!(half, "encrypting web01: 512 MiB of 1 GiB (50 %), 128 MiB/s, 4 s left");
        assert_eq!(lines.line(0, 0, Duration::from_secs(7)), "encrypting web01: 7 s");
        assert_eq!(lines.line(0, 1024, Duration::ZERO), "encrypting web01: 0 B of 1 KiB (0 %), 0 B/s");
    }
}
