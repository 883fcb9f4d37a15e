//! The host's role (ESXi's): it keeps the keys, the VM homes and libvirt's domains, and does what the server asks.
//!
//! [`LocalHost`] implements [`cadenas_api::Host`] on this machine. One module per thing that can be asked:
//! `encrypt`, `recrypt`, `power`, `verify`, `register`; `view` shows VMs; `repair` settles what a crash interrupted.

mod claims;
mod cores;
#[cfg(feature = "crash-points")]
mod crash;
pub mod doctor;
mod domain;
mod encrypt;
mod events;
mod inventory;
mod key_users;
mod list;
mod local;
mod locate;
mod power;
mod problem;
mod recrypt;
mod register;
mod repair;
mod rewrite;
mod seen;
mod stamp;
mod verify;
mod view;

pub use inventory::InventoryError;
pub use local::{LocalHost, OpenHostError};
