//! The server over its real socket, with a host in memory.

mod backups;
mod bulk;
mod console;
mod coverage;
mod events;
mod forms;
mod host;
mod kms;
mod life;
mod logs;
mod openapi;
mod providers;
mod repairs;
mod rig;
mod tasks;
mod vms;
