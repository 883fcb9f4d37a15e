//! Tables as kubectl draws them: columns and spaces, no lines.

use comfy_table::{Cell, ContentArrangement, presets};

use super::human::harmless;

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// An empty one. Headings are upper case.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut table = Self::bare();
        table.inner.set_header(headings);
        table
    }

    /// Two columns without headings: fields and their values.
    pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut table = Self::bare();
        for (name, value) in fields {
            table.row([name.to_owned(), value]);
        }
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.inner.add_row(cells.into_iter().map(|cell| Cell::new(harmless(&cell))));
    }

    /// The table as text, without spaces at the ends of lines.
    pub(crate) fn text(mut self) -> String {
        for column in self.inner.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let text = self.inner.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn bare() -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        Self { inner }
    }
}

/// Spaces between columns.
const GAP: u16 = 3;
