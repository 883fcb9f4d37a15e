//! `cadenasd`
fn main() {}
