//! Measured ratios beside their bars.

use std::fmt;

/// A bound on a ratio or a size.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn verdict(self, value: f64) -> &'static str {
        let holds = match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        };
        if holds { "" } else { "  missed" }
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

/// The head of the table, whose rows are printed as they come.
pub(crate) fn begin() {
    println!("{:<26} {:<30} {:>10} {:>10} {:>8} {:>10}", "disk", "measure; peer", "ours", "peer", "ratio", "bar");
}

/// A row with a ratio.
pub(crate) fn row(disk: &str, measure: &str, (ours, peer): (f64, f64), ratio: f64, bar: Bar) {
    let (bar, verdict) = (bar.to_string(), bar.verdict(ratio));
    println!("{disk:<26} {measure:<30} {ours:>10.3} {peer:>10.3} {ratio:>8.2} {bar:>10}{verdict}");
}

/// A row that stands for itself.
pub(crate) fn size(disk: &str, measure: &str, value: f64, bar: Bar) {
    let (bar, verdict) = (bar.to_string(), bar.verdict(value));
    println!("{disk:<26} {measure:<30} {value:>10.1} {:>10} {:>8} {bar:>10}{verdict}", "", "");
}
