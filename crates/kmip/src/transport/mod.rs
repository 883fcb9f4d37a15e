//! The way to a server: TCP, TLS and whole messages, each with a deadline.

mod connect;
mod connection;
mod deadline;
mod failure;
mod fetch;
mod tls;
mod trust;

pub(crate) use connect::connect;
pub(crate) use connection::Connection;
pub(crate) use deadline::Deadline;
pub use fetch::fetch_certificate;
pub(crate) use tls::TlsSettings;
