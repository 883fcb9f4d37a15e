//! A key server in memory, on our own encoding, that misbehaves when it is told to. For tests only.
//!
//! [`TestServer`] listens on a loopback port and keeps its keys in [`TestKeys`], which several servers may share as those of a
//! cluster do. [`ServerOptions`] say what it is able to; a [`Fault`] is how it answers one operation wrongly. [`Authority`]
//! makes certificates, good and bad. What the server and the client agree on may still be wrong together: `e2e/tests/kmip.rs`
//! tries the client on a server that others wrote.

mod answers;
mod authority;
mod fault;
mod keys;
mod server;
mod service;
mod wire;

pub use answers::{SAMPLE_ID, SAMPLE_KEY, SAMPLE_NAME, SAMPLE_VM, read_answer, sample_answer, sample_request};
pub use authority::{Authority, Certified, Dates};
pub use fault::{Fault, When};
pub use keys::TestKeys;
pub use server::{Clients, ServerOptions, TestServer, Tls};
