//! What bad input gets, through the real program, a real libvirt and a real QEMU: an error that names the thing and what
//! to do, and nothing changed and nothing lost.

mod state;
mod vm;
