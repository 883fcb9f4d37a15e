//! The disks that are measured.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_image::{File, Storage, storage::aligned::AlignedBuf};
use cadenas_secret::random;

pub(crate) const GIB: u64 = 1 << 30;

/// A raw disk of random bytes and holes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    /// Bytes that are no hole, spread over the disk in even runs.
    pub(crate) data: u64,
}

impl Disk {
    /// A disk without holes.
    pub(crate) const fn full(name: &'static str, size: u64) -> Self {
        Self { name, size, data: size }
    }

    /// Makes it anew in a folder; it is on the medium afterwards.
    pub(crate) fn make(&self, folder: &Path) -> PathBuf {
        const RUN: u64 = 16 << 20;
        let path = folder.join("disk.raw");
        remove(&path);
        let file = File::create_new(&path).expect("created");
        file.set_len(self.size).expect("grown");
        let runs = self.data / RUN;
        for run in 0..runs {
            fill(&file, self.size / runs * run, RUN);
        }
        file.sync().expect("flushed");
        path
    }
}

/// What is not there need not be removed. The room is free before this returns, so that nobody's run pays for it.
pub(crate) fn remove(path: &Path) {
    if fs::remove_file(path).is_ok() {
        let folder = path.parent().expect("it lies in a folder");
        fs::File::open(folder).and_then(|folder| folder.sync_all()).expect("flushed");
    }
}

fn fill(file: &File, start: u64, len: u64) {
    let mut buffer = AlignedBuf::zeroed(2 << 20);
    for at in (start..start + len).step_by(buffer.len()) {
        random::fill(&mut buffer);
        file.write_at(at, &buffer).expect("written");
    }
}
