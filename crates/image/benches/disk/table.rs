//! Measured ratios beside their bars.

use std::fmt;

/// A bound on a ratio or a size.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound:.2}"),
            Self::AtMost(bound) => write!(f, "<= {bound:.2}"),
        }
    }
}

/// The table; printed row by row, as the rows come.
pub(crate) struct Table;

impl Table {
    pub(crate) fn begin() -> Self {
        println!("{:<34} {:<32} {:>10} {:>10} {:>8} {:>9}", "disk", "measure", "ours", "peer", "ratio", "bar");
        Self
    }

    /// A row whose ratio is `value`.
    pub(crate) fn row(&self, disk: &str, measure: &str, (ours, peer): (f64, f64), value: f64, bar: Bar) {
        let verdict = if bar.holds(value) { "" } else { "  MISSED" };
        let bar = bar.to_string();
        println!("{disk:<34} {measure:<32} {ours:>10.3} {peer:>10.3} {value:>8.2} {bar:>9}{verdict}");
    }

    /// A row that stands for itself.
    pub(crate) fn size(&self, disk: &str, measure: &str, value: f64, bar: Bar) {
        let verdict = if bar.holds(value) { "" } else { "  MISSED" };
        let bar = bar.to_string();
        println!("{disk:<34} {measure:<32} {value:>10.1} {:>10} {:>8} {bar:>9}{verdict}", "", "");
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{text}");
    }
}
