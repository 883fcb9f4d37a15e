//! Where keys could leak from memory to disk, and what holds them better.

use cadenas_api::Check;
use rustix::process::{Resource, geteuid, getrlimit};

use super::{System, fine, warning};

/// Locked memory for some hundred keys, each with its guard pages.
const ENOUGH_LOCKED: u64 = 4 << 20;

pub(super) fn tpm(system: &System) -> Check {
    let has_tpm2 = has_tpm2(system);
    if has_tpm2 {
        fine("tpm", "a TPM 2.0 is present; `cadenas serve --seal tpm` binds the keys to it")
    } else {
        warning(
            "tpm",
            "no TPM 2.0: whoever takes this host's disks takes its keys with them",
            "enable the TPM in the firmware and start the server with `--seal tpm`; without one, keep the data folder on another \
             disk than the VMs",
        )
    }
}

/// Whether the kernel shows a TPM of version 2.
fn has_tpm2(system: &System) -> bool {
    let version = |tpm: &String| system.text(&format!("/sys/class/tpm/{tpm}/tpm_version_major"));
    system.names("/sys/class/tpm").iter().any(|tpm| version(tpm).trim() == "2")
}

pub(super) fn locked_memory(system: &System) -> Check {
    const NAME: &str = "locked-memory";
    let privileged = geteuid().is_root() && has_ipc_lock(&system.text("/proc/self/status"));
    match getrlimit(Resource::Memlock).current {
        _ if privileged => fine(NAME, "memory can be locked without limit"),
        None => fine(NAME, "memory can be locked without limit"),
        Some(limit) if limit >= ENOUGH_LOCKED => fine(NAME, format!("{} KiB may be locked", limit / 1024)),
        Some(limit) => warning(
            NAME,
            format!("only {} KiB may be locked: keys could be swapped out", limit / 1024),
            "set LimitMEMLOCK=infinity in the systemd unit, or raise `ulimit -l`",
        ),
    }
}

/// Whether `CAP_IPC_LOCK` (bit 14, capabilities(7)) is effective.
fn has_ipc_lock(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << 14) != 0)
}

/// Ours are forbidden from the start; QEMU's would hold the guest's memory and its disk keys.
pub(super) fn core_dumps(system: &System) -> Check {
    const NAME: &str = "core-dumps";
    let dumping: Vec<String> =
        system.names("/proc").into_iter().filter(|process| is_libvirt_that_dumps(system, process)).collect();
    if dumping.is_empty() {
        return fine(NAME, "no libvirt daemon passes a core limit on to QEMU");
    }
    warning(
        NAME,
        format!("libvirt (process {}) lets QEMU write core files, which hold disk keys", dumping.join(", ")),
        "set max_core = 0 in /etc/libvirt/qemu.conf, or LimitCORE=0 in libvirt's unit, and restart libvirt",
    )
}

fn is_libvirt_that_dumps(system: &System, process: &str) -> bool {
    let name = system.text(&format!("/proc/{process}/comm"));
    matches!(name.trim(), "libvirtd" | "virtqemud") && allows_core(&system.text(&format!("/proc/{process}/limits")))
}

/// The soft limit, the first value of the line, is what QEMU inherits (`proc_pid_limits(5)`).
fn allows_core(limits: &str) -> bool {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    line.and_then(|values| values.split_whitespace().next()).is_some_and(|soft| soft != "0")
}

pub(super) fn swap(system: &System) -> Check {
    let text = system.text("/proc/swaps");
    let plain: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !swaps_safely(system, device))
        .collect();
    if plain.is_empty() {
        return fine("swap", "no unencrypted swap");
    }
    warning(
        "swap",
        format!("unencrypted swap on {}: guests' memory can end up there", plain.join(", ")),
        "turn it off (`swapoff -a` and /etc/fstab) or encrypt it (crypttab(5), option `swap`)",
    )
}

/// Swap in memory, or on a device-mapper volume that dm-crypt made.
fn swaps_safely(system: &System, device: &str) -> bool {
    let name = device.rsplit('/').next().unwrap_or_default();
    name.starts_with("zram") || system.text(&format!("/sys/block/{name}/dm/uuid")).starts_with("CRYPT-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::system;
    use cadenas_api::Verdict;

    const SWAPS: &str = "Filename\tType\tSize\tUsed\tPriority\n";

    #[test]
    fn only_a_tpm_of_version_2_counts() {
        let (_folder, two) = system(&[("/sys/class/tpm/tpm0/tpm_version_major", "2\n")]);
        let (_folder2, one) = system(&[("/sys/class/tpm/tpm0/tpm_version_major", "1\n")]);
        assert_eq!(tpm(&two).verdict, Verdict::Ok);
        assert_eq!(tpm(&one).verdict, Verdict::Warning);
    }

    #[test]
    fn plain_swap_is_named_and_encrypted_or_compressed_swap_is_not() {
        let swaps =
            format!("{SWAPS}/dev/sda2 partition 1 0 -2\n/dev/zram0 partition 1 0 5\n/dev/dm-1 partition 1 0 5\n");
        let (_folder, mixed) = system(&[("/proc/swaps", &swaps), ("/sys/block/dm-1/dm/uuid", "CRYPT-PLAIN-swap")]);
        let check = swap(&mixed);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.found.contains("/dev/sda2") && !check.found.contains("zram") && !check.found.contains("dm-1"));
        let (_folder2, none) = system(&[("/proc/swaps", SWAPS)]);
        assert_eq!(swap(&none).verdict, Verdict::Ok);
    }

    #[test]
    fn a_libvirt_that_lets_qemu_dump_core_is_warned_of() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax core file size        unlimited            unlimited  bytes\n";
        let (_folder, dumping) = system(&[("/proc/71/comm", "libvirtd\n"), ("/proc/71/limits", limits)]);
        assert!(core_dumps(&dumping).found.contains("71"));
        let limits = "Max core file size        0                    unlimited  bytes\n";
        let (_folder2, quiet) = system(&[("/proc/71/comm", "libvirtd\n"), ("/proc/71/limits", limits)]);
        assert_eq!(core_dumps(&quiet).verdict, Verdict::Ok);
    }

    #[test]
    fn the_capability_to_lock_memory_is_bit_14() {
        assert!(has_ipc_lock("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!has_ipc_lock("CapEff:\t0000000000000000\n"));
    }
}
