//! Sizes, rates and ages for people.

use jiff::Timestamp;

/// A size in binary units, with one decimal where it says something: `512 B`, `1.5 GiB`, `10 GiB`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = bytes.checked_ilog2().unwrap_or(0) / 10;
    let Some(unit) = exponent.checked_sub(1).and_then(|index| UNITS.get(usize::try_from(index).ok()?)) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * exponent);
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// How long ago, in the one unit that says most: `12s`, `5m`, `3h`, `3d`, `2y`.
#[must_use]
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        ..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h", seconds / HOUR),
        DAY..YEAR => format!("{}d", seconds / DAY),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// An age in whole days, which compare at a glance: `<1d`, `9d`, `800d`.
#[must_use]
pub(crate) fn days(seconds: i64) -> String {
    const DAY: i64 = 24 * 60 * 60;
    match seconds / DAY {
        ..1 => "<1d".to_owned(),
        days => format!("{days}d"),
    }
}

/// A short time, given in microseconds: `0.74 ms`.
#[must_use]
pub(crate) fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:02} ms", microseconds / 1000, microseconds % 1000 / 10)
}

/// A moment in RFC 3339, without fractions of a second.
#[must_use]
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment, and how long ago it was.
#[must_use]
pub(crate) fn time_and_age(then: Timestamp, now: Timestamp) -> String {
    format!("{} ({} ago)", time(then), age(then, now))
}

/// A part of a whole, rounded down; nothing of nothing is all of it.
#[must_use]
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    let share = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(100);
    u64::try_from(share.min(100)).expect("at most 100")
}

/// So many of something: `1 VM`, `3 VMs`.
#[must_use]
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The first `most` of some names, and how many more there are: `web01, web02 and 3 more`.
#[must_use]
pub(crate) fn listed(names: &[String], most: usize) -> String {
    let first = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(most) {
        Some(more @ 1..) => format!("{first} and {more} more"),
        _ => first,
    }
}

/// A word that a shell reads back as it is: names in commands that people paste.
#[must_use]
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Text without control characters: names and messages come from outside and must not steer the terminal.
#[must_use]
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// [`harmless`], line by line.
pub(crate) fn harmless_lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_where_it_says_something() {
        let shown = [0, 1, 1023, 1024, 1536, 10 << 30, (10 << 30) + 1, 5 << 29, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "1 B", "1023 B", "1 KiB", "1.5 KiB", "10 GiB", "10 GiB", "2.5 GiB", "15.9 EiB"]);
    }

    #[test]
    fn ages_have_the_unit_that_says_most() {
        let now = Timestamp::from_second(2_000_000_000).expect("a time");
        let aged = |seconds: i64| age(Timestamp::from_second(2_000_000_000 - seconds).expect("a time"), now);
        let shown = [-5, 0, 59, 60, 3599, 7200, 86_400 * 3, 86_400 * 800].map(aged);
        assert_eq!(shown, ["0s", "0s", "59s", "1m", "59m", "2h", "3d", "2y"]);
    }

    #[test]
    fn days_are_whole_and_never_nothing() {
        assert_eq!([-5, 0, 86_399, 86_400, 86_400 * 800].map(days), ["<1d", "<1d", "<1d", "1d", "800d"]);
    }

    #[test]
    fn long_lists_end_with_how_many_more_there_are() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [1, 2, 3, 4].map(|most| listed(&names, most)),
            ["a and 2 more", "a, b and 1 more", "a, b, c", "a, b, c"]
        );
        assert_eq!([0, 1, 2].map(|number| count(number, "VM")), ["0 VMs", "1 VM", "2 VMs"]);
    }

    #[test]
    fn a_shell_reads_names_back_as_they_are() {
        assert_eq!(
            ["web01", "", "my vm", "it's", "$(x)", "clé"].map(shell_word),
            ["web01", "''", "'my vm'", r"'it'\''s'", "'$(x)'", "'clé'"]
        );
    }

    #[test]
    fn percentages_stay_within_bounds() {
        assert_eq!([percent(0, 0), percent(1, 3), percent(u64::MAX, 1)], [100, 33, 100]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
