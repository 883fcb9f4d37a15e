//! Disk images as a whole: against QEMU's tools and cryptsetup, against failing storage, and against forged images.

mod chains;
mod common;
mod differential;
mod failures;
mod foreign;
mod hostile;
mod in_place;
mod in_place_crash;
mod in_place_faults;
mod in_place_lost_writes;
mod in_place_qcow2;
mod in_place_used;
mod locks;
mod ours_read_by_them;
mod round_trips;
mod slots;
mod theirs_read_by_us;
mod tuning;
