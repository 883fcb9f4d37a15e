//! libvirt, QEMU, its LUKS driver, and AES in the processor.

use std::{
    io::Write,
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
};

use cadenas_api::{Check, chain};
use cadenas_hypervisor::Hypervisor;
use cadenas_image::{File, NewKey, NoProgress, Target, Tuning, convert, open_source};
use cadenas_luks::MIN_ROUNDS;
use cadenas_secret::SecretBytes;
use uuid::Uuid;

use super::{System, failure, fine, on_path, warning};

/// Oldest libvirt whose domains take `<encryption>` inside a qcow2 disk's `<source>`.
const OLDEST_LIBVIRT: (u32, u32) = (6, 10);

pub(super) fn libvirt(hypervisor: &dyn Hypervisor) -> Check {
    match hypervisor.versions() {
        Ok(versions) if older(&versions.libvirt, OLDEST_LIBVIRT) => failure(
            "libvirt",
            format!("libvirt {}", versions.libvirt),
            "install libvirt 6.10 or newer: older ones do not open qcow2 with LUKS",
        ),
        Ok(versions) => fine("libvirt", format!("libvirt {} answers", versions.libvirt)),
        Err(error) => failure(
            "libvirt",
            chain(&error),
            "start it (`systemctl start libvirtd`), or name its socket with `cadenas serve --libvirt URI`",
        ),
    }
}

pub(super) fn qemu(hypervisor: &dyn Hypervisor) -> Check {
    match hypervisor.versions() {
        Ok(versions) => fine("qemu", format!("QEMU {}", versions.qemu)),
        Err(_) if on_path("qemu-system-x86_64").is_some() => {
            warning("qemu", "QEMU is installed; libvirt does not answer for its version", "start libvirt")
        }
        Err(_) => failure("qemu", "no QEMU was found", "install it: `apt-get install qemu-system-x86`"),
    }
}

/// Makes a small encrypted image and lets this host's QEMU open it, which proves more than a version number.
pub(super) fn luks_driver() -> Check {
    const NAME: &str = "luks-driver";
    if on_path("qemu-img").is_none() {
        let mend = "install qemu-img to have this checked: `apt-get install qemu-utils`";
        return warning(NAME, "not checked: qemu-img is not installed", mend);
    }
    match qemu_opens_our_image() {
        Ok(()) => fine(NAME, "QEMU opens a disk that Cadenas encrypted"),
        Err(reason) => {
            failure(NAME, reason, "install a QEMU whose block layer has the luks driver (any Debian QEMU does)")
        }
    }
}

fn qemu_opens_our_image() -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("cadenas-doctor-{}", Uuid::new_v4()));
    std::fs::create_dir(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let opened = make_image(&folder).and_then(|()| open_with_qemu(&folder));
    // A leftover of one probe in the temporary folder is harmless.
    let _ = std::fs::remove_dir_all(&folder);
    opened
}

fn make_image(folder: &Path) -> Result<(), String> {
    let passphrase = SecretBytes::take_from(Uuid::new_v4().to_string().into_bytes());
    let mut secret = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("secret"))
        .map_err(|error| error.to_string())?;
    secret.write_all(passphrase.expose()).map_err(|error| error.to_string())?;
    let text = |error: &dyn std::error::Error| error.to_string();
    let plain = File::create_new(&folder.join("plain")).map_err(|error| text(&error))?;
    cadenas_image::Storage::set_len(&plain, 1 << 20).map_err(|error| text(&error))?;
    let image = File::create_new(&folder.join("image")).map_err(|error| text(&error))?;
    let source = open_source(&plain, None).map_err(|error| text(&error))?;
    let rounds: NonZeroU32 = MIN_ROUNDS;
    let key = NewKey { passphrase: &passphrase, rounds, uuid: Uuid::new_v4() };
    let target = Target::Qcow2Luks { cluster_size: 65536 };
    convert(&source, &image, &target, Some(key), &Tuning::default(), &NoProgress)
        .map(drop)
        .map_err(|error| text(&error))
}

fn open_with_qemu(folder: &Path) -> Result<(), String> {
    let output = Command::new("qemu-img")
        // `info` would not unlock the image; to check it, QEMU must.
        .args(["check", "--object"])
        .arg(format!("secret,id=s0,file={}", folder.join("secret").display()))
        .arg("--image-opts")
        .arg(format!("driver=qcow2,encrypt.key-secret=s0,file.filename={}", folder.join("image").display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("qemu-img does not run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("qemu-img refused it: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

pub(super) fn aes(system: &System) -> Check {
    let has = |flag| system.text("/proc/cpuinfo").split_whitespace().any(|word| word == flag);
    match (has("aes"), has("vaes")) {
        (true, true) => fine("aes", "the processor has AES and VAES instructions"),
        (true, false) => fine("aes", "the processor has AES instructions"),
        (false, _) => warning(
            "aes",
            "the processor shows no AES instructions: encrypted disks will be many times slower",
            "enable AES-NI in the firmware, or pass the host's CPU model through if this is a virtual machine",
        ),
    }
}

/// Whether `version`, as `major.minor.release`, is older than `oldest`.
fn older(version: &str, oldest: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < oldest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::system;
    use cadenas_api::Verdict;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        assert!(older("6.9.0", (6, 10)));
        assert!(!older("6.10.0", (6, 10)));
        assert!(!older("12.1.0", (6, 10)));
    }

    #[test]
    fn a_processor_without_aes_is_warned_of() {
        let (_folder, with) = system(&[("/proc/cpuinfo", "flags : fpu aes sse")]);
        let (_folder2, without) = system(&[("/proc/cpuinfo", "flags : fpu vaesx sse")]);
        assert_eq!(aes(&with).verdict, Verdict::Ok);
        assert_eq!(aes(&without).verdict, Verdict::Warning);
    }

    #[test]
    fn this_hosts_qemu_opens_our_image() {
        let check = luks_driver();
        assert_ne!(check.verdict, Verdict::Failure, "{check:?}");
    }
}
