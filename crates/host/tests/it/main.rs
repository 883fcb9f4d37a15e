//! The host on libvirt's twin in memory, with real files.

mod flow;
mod refusals;
mod scene;
