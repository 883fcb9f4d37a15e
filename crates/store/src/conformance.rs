//! What every store promises, as tests that take any of them.
