//! The client against a server in memory.

mod answers;
mod certificates;
mod cluster;
mod identity;
mod operations;
mod other_implementation;
mod probe;
mod scene;
mod timeouts;
