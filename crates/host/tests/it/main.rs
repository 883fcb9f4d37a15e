//! The host on libvirt's twin in memory, with real files.

mod flow;
mod key_users;
mod listing;
mod refusals;
mod scene;
