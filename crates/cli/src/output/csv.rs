//! Comma-separated values (RFC 4180): a line of headings, then one line for each record.

use super::human::harmless;

/// Records under their headings.
#[derive(Debug)]
pub(crate) struct Csv<const N: usize> {
    text: String,
}

impl<const N: usize> Csv<N> {
    /// Only headings.
    pub(crate) fn new(headings: [&str; N]) -> Self {
        let mut csv = Self { text: String::new() };
        csv.record(headings.map(str::to_owned));
        csv
    }

    /// Adds a record.
    pub(crate) fn record(&mut self, fields: [String; N]) {
        let line = fields.map(|text| field(&text)).join(",");
        self.text.push_str(&line);
        self.text.push_str("\r\n");
    }

    /// All lines.
    pub(crate) fn text(self) -> String {
        self.text
    }
}

/// A field, in quotes where it needs them (section 2, rules 6 and 7). Line breaks are control characters, which names do not keep
/// anywhere.
fn field(text: &str) -> String {
    let text = harmless(text);
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_quotes_are_quoted_and_lines_end_as_the_rfc_says() {
        let mut csv = Csv::new(["vm", "note"]);
        csv.record(["web,01".to_owned(), "the \"good\" one".to_owned()]);
        csv.record([String::new(), " two words ".to_owned()]);
        assert_eq!(csv.text(), "vm,note\r\n\"web,01\",\"the \"\"good\"\" one\"\r\n, two words \r\n");
    }

    #[test]
    fn no_field_begins_a_line_of_its_own() {
        let mut csv = Csv::new(["vm"]);
        csv.record(["a\r\nb\u{1b}[2J".to_owned()]);
        let text = csv.text();
        assert!(text.lines().count() == 2 && !text.contains('\u{1b}'), "{text:?}");
    }
}
