//! The values that cross the trait.

use std::fmt;

use cadenas_secret::SecretBytes;
use uuid::Uuid;

/// A domain at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSummary {
    /// The domain's UUID, which is the VM's ID.
    pub uuid: Uuid,
    /// Its name: unique on the host at any instant, but it may change.
    pub name: String,
    /// Whether it runs.
    pub state: PowerState,
    /// Whether a definition stays when it stops.
    pub persistent: bool,
    /// Whether it starts with the host.
    pub autostart: bool,
    /// Whether the guest's memory was saved to a file, from which the next start goes on.
    pub has_managed_save: bool,
}

/// A domain's power state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    /// No QEMU process.
    Off,
    /// The guest executes.
    Running,
    /// QEMU has the disks open, the guest does not execute.
    Paused,
    /// Neither of these; in plain words.
    Other(&'static str),
}

impl PowerState {
    /// Whether no process has the domain's disks open.
    #[must_use]
    pub fn is_off(self) -> bool {
        self == Self::Off
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Other(words) => words,
        })
    }
}

/// Whether an operation that can be repeated changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was as asked for before the call.
    AlreadySo,
    /// The call made it so.
    Changed,
}

/// The passphrase of one disk, for one start.
#[derive(Debug)]
pub struct DiskSecret {
    /// The UUID by which the domain's XML names the secret; take a fresh one for each start.
    pub uuid: Uuid,
    /// The disk's file; it appears in the secret's usage, for people who look.
    pub path: String,
    /// The passphrase: text in UTF-8, as QEMU demands.
    pub value: SecretBytes,
}

/// Versions as `major.minor.release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Of the libvirt daemon.
    pub libvirt: String,
    /// Of QEMU.
    pub qemu: String,
}
