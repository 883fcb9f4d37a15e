//! Files that the server's user alone may read: those of the root seal, the web console's private key.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

pub(crate) const OWNER_ONLY: u32 = 0o600;

/// Opens a file for reading, unless it is a link; `None` if there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("open(2) takes an int");
    match fs::OpenOptions::new().read(true).custom_flags(no_follow).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Writes a file that its owner alone may read. It appears whole and flushed, or not at all; one that is there is replaced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path);
    write_new(&draft, bytes)?;
    fs::rename(&draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_new(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    // A draft of an earlier, interrupted start was never used.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}
