//! Images of formats that are not ours, read through QEMU's tools and never copied as a whole.
//!
//! `qemu-img` tells what an image is and which parts of it hold data; `qemu-nbd` serves its disk, read-only, through a socket
//! in a folder that only we may enter. Both are told the format: QEMU never guesses it, because a guest could make it guess
//! wrong. Files that an image names stay closed, unless they are parts of it and the caller agrees.

mod format;
mod nbd;
mod tool;

pub use format::{ForeignFormat, UnknownForeignFormat};

use std::{fs, io, ops::Range, path::Path};

use serde::Deserialize;
use serde_json::json;

use crate::{Access, File, ImageError, Storage};
use tool::{Folder, Server};

/// What happens with the files that an image is made of besides itself, as flat and split VMDK disks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Such an image is refused.
    Refused,
    /// QEMU opens them by the names in the image.
    Opened,
}

/// The disk in an image of another format: a [`Storage`] whose bytes are the disk's, that is, raw. It cannot be written.
pub struct Foreign {
    name: String,
    parts: Vec<String>,
    /// Where it may hold other bytes than zero, ascending; `None` if that is not known.
    data: Option<Vec<Range<u64>>>,
    server: Server,
    /// Outlives the server, whose socket is in it.
    _folder: Folder,
}

impl Foreign {
    /// Starts QEMU's tools on the image at `path`, which must be of this format.
    ///
    /// An image that stands on another one is refused, and so is an encrypted one.
    pub fn open(path: &Path, format: ForeignFormat, parts: Parts) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        let file = File::open(path, Access::Read)?;
        if parts == Parts::Refused && format.names_parts(&file)? {
            return Err(ImageError::OtherFiles { image: name });
        }
        let opened = |source| ImageError::Open { image: name.clone(), source };
        let folder = Folder::new().map_err(opened)?;
        let node = node(&fs::canonicalize(path).map_err(opened)?, format)
            .ok_or_else(|| unsupported(&name, "a name that is not UTF-8"))?;
        let told = told(&folder, &name, &node)?;
        told.refuse(&name)?;
        let data = data(&folder, &name, &node)?;
        let server = Server::start(&folder, &name, &node)?;
        Ok(Self { name, parts: told.parts(path), data, server, _folder: folder })
    }

    /// The names of the other files that it is made of, as they stand in it.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.parts
    }
}

impl Storage for Foreign {
    fn len(&self) -> io::Result<u64> {
        Ok(self.server.client().size())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.server.client().read_at(offset, buf)
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let len = self.len()?;
        let Some(data) = &self.data else { return Ok((from < len).then_some(from..len)) };
        let next = data.get(data.partition_point(|range| range.end <= from));
        Ok(next.map(|range| range.start.max(from)..range.end.min(len)).filter(|range| range.start < range.end))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// QEMU's way to name a file without guessing anything, its parent file left closed.
fn node(path: &Path, format: ForeignFormat) -> Option<String> {
    let file = json!({ "driver": "file", "filename": path.to_str()? });
    let node = json!({ "driver": format.to_string(), "read-only": true, "backing": null, "file": file });
    Some(format!("json:{node}"))
}

/// What `qemu-img info` tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Told {
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    data: Option<SpecificData>,
}

#[derive(Debug, Deserialize)]
struct SpecificData {
    #[serde(default)]
    extents: Vec<VmdkExtent>,
}

#[derive(Debug, Deserialize)]
struct VmdkExtent {
    filename: String,
}

fn told(folder: &Folder, name: &str, node: &str) -> Result<Told, ImageError> {
    const LIMIT: u64 = 1 << 20;
    let arguments = ["info", "--output=json", node];
    let printed = tool::qemu_img(folder, name, &arguments, LIMIT)?;
    printed.and_then(|printed| serde_json::from_slice(&printed).ok()).ok_or_else(|| unsupported(name, UNCLEAR))
}

impl Told {
    fn refuse(&self, name: &str) -> Result<(), ImageError> {
        if let Some(backing_file) = self.backing_filename.clone() {
            return Err(ImageError::BackingFile { image: name.to_owned(), backing_file });
        }
        if self.encrypted { Err(unsupported(name, "an encryption of its format")) } else { Ok(()) }
    }

    /// The extents in files other than `path`.
    fn parts(&self, path: &Path) -> Vec<String> {
        let data = self.format_specific.as_ref().and_then(|specific| specific.data.as_ref());
        let names = data.into_iter().flat_map(|data| &data.extents).map(|extent| extent.filename.clone());
        names.filter(|part| Path::new(part).file_name() != path.file_name()).collect()
    }
}

/// A run of the disk, as `qemu-img map` tells it.
#[derive(Debug, Deserialize)]
struct Run {
    start: u64,
    length: u64,
    zero: bool,
}

/// Where the disk may hold other bytes than zero; not known for one in too many pieces to be listed.
fn data(folder: &Folder, name: &str, node: &str) -> Result<Option<Vec<Range<u64>>>, ImageError> {
    const LIMIT: u64 = 32 << 20;
    let Some(printed) = tool::qemu_img(folder, name, &["map", "--output=json", node], LIMIT)? else {
        return Ok(None);
    };
    let runs: Vec<Run> = serde_json::from_slice(&printed).map_err(|_| unsupported(name, UNCLEAR))?;
    let ranges = runs.iter().filter(|run| !run.zero).map(|run| run.start..run.start.saturating_add(run.length));
    let mut data: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match data.last_mut() {
            Some(last) if range.start < last.end => return Err(unsupported(name, UNCLEAR)),
            Some(last) if range.start == last.end => last.end = range.end,
            _ => data.push(range),
        }
    }
    Ok(Some(data))
}

const UNCLEAR: &str = "something that `qemu-img` does not describe";

fn unsupported(name: &str, feature: &str) -> ImageError {
    ImageError::Unsupported { image: name.to_owned(), feature: feature.to_owned() }
}
