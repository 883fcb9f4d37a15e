#![doc = include_str!("../README.md")]

mod edit;
mod watch;

pub use edit::{Edit, edited, edits};
pub use watch::{in_bounds, in_time};
