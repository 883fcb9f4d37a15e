//! What the end-to-end tests stand on: a libvirt of their own, real guests, and the `cadenas` program.
//!
//! Everything here panics when it fails, with what was run and what it said: a test that cannot get its surroundings has
//! nothing to return an error to. The tests need root, and what `e2e/setup.sh` installs and makes.

mod cadenas;
mod command;
mod guest;
mod homes;
mod kms;
mod libvirt;
mod stolen;
mod tpm;
mod world;

pub use cadenas::{Cadenas, CadenasOptions};
pub use command::{Finished, eventually, run, try_run, try_run_with};
pub use guest::{Disk, DiskFormat, Guest, GuestBuilder};
pub use homes::ManyHomes;
pub use kms::{KmsClient, PyKmip};
pub use libvirt::PrivateLibvirt;
pub use stolen::{files_below, files_with, passphrases_in};
pub use tpm::SoftwareTpm;
pub use world::{BACKUP_PASSWORD, BOOT, World, text};

use std::path::{Path, PathBuf};

/// The repository.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the workspace").to_owned()
}

/// A file that `e2e/setup.sh` makes, as `vmlinuz`.
#[must_use]
pub fn testbed_file(name: &str) -> PathBuf {
    let path = workspace().join("target/testbed").join(name);
    assert!(path.exists(), "{} is missing: run e2e/setup.sh", path.display());
    path
}
