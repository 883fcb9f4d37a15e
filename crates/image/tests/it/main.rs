//! Disk images as a whole: against QEMU's tools and cryptsetup, against failing storage, and against forged images.

mod common;
mod failures;
mod hostile;
mod locks;
mod ours_read_by_them;
mod round_trips;
mod slots;
mod theirs_read_by_us;
mod tuning;
