//! An unlocked VM: its definition, its disks and their keys, for as long as this value lives.

use std::path::{Path, PathBuf};

use cadenas_image::{Access, File, ImageError, LockError, SlotIndex, slots};
use cadenas_luks::MIN_ROUNDS;
use cadenas_secret::{SecretBytes, random};

use crate::{
    descriptor::DiskFormat,
    disk::{DiskError, OpenDisk},
    home::VmHome,
    locks::Claims,
    sealed::{Configuration, Original},
    steps::{Step, Steps},
};

/// A VM home whose keys were all here and whose descriptor is authentic. It holds the DEKs; drop it to forget them.
#[derive(Debug)]
pub struct Unlocked {
    pub(crate) home: VmHome,
    pub(crate) configuration: Configuration,
    pub(crate) disks: Vec<OpenDisk>,
}

/// A passphrase that opens one disk until it is erased: what libvirt is given instead of the DEK.
#[derive(Debug)]
pub struct OneTimeKey {
    /// libvirt's target: `vda`.
    pub target: String,
    /// The disk's file.
    pub path: PathBuf,
    /// What the file is.
    pub format: DiskFormat,
    /// 64 lower-case hex digits.
    pub passphrase: SecretBytes,
    /// The key slot that it opens.
    pub slot: SlotIndex,
}

/// Why a disk's key slots could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The disk is not there, or not a file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The disk is in use: the VM may be running elsewhere.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Writing the slot failed.
    #[error("the one-time key slot of disk {target} could not be {operation}")]
    Slot {
        /// The disk's target.
        target: String,
        /// "written" or "erased".
        operation: &'static str,
        /// Why.
        #[source]
        source: ImageError,
    },
}

impl Unlocked {
    /// The VM home.
    #[must_use]
    pub fn home(&self) -> &VmHome {
        &self.home
    }

    /// The domain's XML as libvirt had it, with the plain disks as sources. It may hold secrets, such as a VNC password.
    #[must_use]
    pub fn domain_xml(&self) -> &str {
        &self.configuration.domain_xml
    }

    /// Whether libvirt started the domain with the host.
    #[must_use]
    pub fn autostart(&self) -> bool {
        self.configuration.autostart
    }

    /// Where and what each encrypted disk was, by target.
    pub fn originals(&self) -> impl Iterator<Item = (&str, &Original)> {
        self.disks.iter().map(|disk| (disk.entry.target.as_str(), &disk.sealed.original))
    }

    /// Compares every disk's own headers with what was sealed, and opens it with its DEK. Called before every start.
    pub fn check_disks(&self) -> Result<(), DiskError> {
        self.disks.iter().try_for_each(|disk| disk.check(&disk.file(Access::Read)?))
    }

    /// Gives every disk a second key slot with a fresh random passphrase, each under an exclusive image lock that is let go
    /// before this returns. Slots that a crash left are erased first, as is any other slot but the DEK's.
    pub fn one_time_keys(&self, steps: &dyn Steps) -> Result<Vec<OneTimeKey>, SlotError> {
        let mut keys = Vec::with_capacity(self.disks.len());
        for disk in &self.disks {
            match write_one_time_key(disk) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    // The first error is the one to tell; what this cannot erase, the next start does.
                    drop(self.erase_one_time_keys(&keys, steps));
                    return Err(error);
                }
            }
            steps.reached(Step::StartOneTimeSlotWritten);
        }
        Ok(keys)
    }

    /// Overwrites the slots of `keys`. Done while QEMU has the disks open, as soon as it has.
    pub fn erase_one_time_keys(&self, keys: &[OneTimeKey], steps: &dyn Steps) -> Result<(), SlotError> {
        for disk in &self.disks {
            for key in keys.iter().filter(|key| key.target == disk.entry.target) {
                let file = disk.file(Access::Write)?;
                slots::erase(&file, key.slot).map_err(|source| erased(disk, source))?;
                steps.reached(Step::StartSlotErased);
            }
        }
        Ok(())
    }

    /// Overwrites every slot but the DEK's, whether the VM runs or not: for the repair at start-up. Tells how many there were.
    pub fn erase_leftover_slots(&self, steps: &dyn Steps) -> Result<usize, SlotError> {
        let mut count = 0;
        for disk in &self.disks {
            let file = disk.file(Access::Write)?;
            let erased = erase_all_but_dek(disk, &file)?;
            if erased > 0 {
                steps.reached(Step::StartSlotErased);
            }
            count += erased;
        }
        Ok(count)
    }

    /// The paths of the encrypted disks, for people who look for them.
    pub fn disk_paths(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.disks.iter().map(|disk| (disk.entry.target.as_str(), disk.path.as_path()))
    }
}

fn write_one_time_key(disk: &OpenDisk) -> Result<OneTimeKey, SlotError> {
    let file = disk.file(Access::Write)?;
    let mut claims = Claims::default();
    claims.image(&file)?;
    erase_all_but_dek(disk, &file)?;
    let passphrase = one_time_passphrase();
    let slot = slots::add_key(&file, &disk.dek.luks_passphrase(), &passphrase, MIN_ROUNDS)
        .map_err(|source| SlotError::Slot { target: disk.entry.target.clone(), operation: "written", source })?;
    Ok(OneTimeKey {
        target: disk.entry.target.clone(),
        path: disk.path.clone(),
        format: disk.entry.format,
        passphrase,
        slot,
    })
}

/// 256 random bits as hex, since QEMU takes only UTF-8.
fn one_time_passphrase() -> SecretBytes {
    let bytes = SecretBytes::new_with(32, random::fill);
    SecretBytes::new_with(64, |out| hex::encode_to_slice(bytes.expose(), out).expect("two digits a byte"))
}

fn erase_all_but_dek(disk: &OpenDisk, file: &File) -> Result<usize, SlotError> {
    let erase = slots::erase_all_but(file, &disk.dek.luks_passphrase());
    erase.map(|slots| slots.len()).map_err(|source| erased(disk, source))
}

fn erased(disk: &OpenDisk, source: ImageError) -> SlotError {
    SlotError::Slot { target: disk.entry.target.clone(), operation: "erased", source }
}
