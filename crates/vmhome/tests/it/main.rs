//! The VM home with real files, and with QEMU's own programs as witnesses.

mod common;
mod crash;
mod cycle;
mod recover;
mod recrypt;
mod recrypt_many;
mod refusals;
mod repair;
mod start;
mod tampering;
mod verify;
