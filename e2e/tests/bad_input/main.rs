//! What bad input gets, through the real program, a real libvirt and a real QEMU: an error that names the thing and what
//! to do, and nothing changed and nothing lost.

mod datastore;
mod descriptor;
mod disks;
mod libvirt_gone;
mod midway;
mod names;
mod provider;
mod server;
mod state;
mod vm;
