//! Key providers: their life from creation to removal.
//!
//! `model` says what a provider is; the other modules each have one part of its life: first the operation with its I/O, then
//! the rule as a function of the [`Catalog`] alone.

mod backup;
mod create;
#[cfg(test)]
pub(crate) mod fixtures;
mod model;
mod open_backup;
mod push;
mod remove;
mod restore;
#[cfg(test)]
mod state_machine;
mod verify;
mod view;

pub(crate) use backup::{backup, confirm_backup};
pub(crate) use create::{add_version, create, rename, set_default};
pub(crate) use model::{Catalog, KindRecord, ProviderRecord, seal_failed};
pub(crate) use push::{Pushes, give_all, retry_failed};
pub(crate) use remove::remove;
pub(crate) use restore::restore;
pub(crate) use verify::verify_backup;
pub(crate) use view::{list, list_with, show, state_now};
