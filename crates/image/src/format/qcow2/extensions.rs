//! Header extensions: a list of (type, length, bytes) between the header and the end of its cluster.

use std::ops::Range;

use super::{Refusal, be32, be64, bitmaps::Directory};

const END: u32 = 0;
pub(crate) const FEATURE_NAMES: u32 = 0x6803_f857;
pub(crate) const LUKS_AREA: u32 = 0x0537_be77;
pub(crate) const BITMAPS: u32 = 0x2385_2875;
const DATA_FILE: u32 = 0x4441_5441;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const LONGEST_NAME: usize = 1023;

/// The extensions that matter to us; others are skipped, as the format demands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// Where the LUKS header and its key material lie, in bytes.
    pub(crate) luks_area: Option<Range<u64>>,
    /// Where the persistent bitmaps are listed.
    pub(crate) bitmaps: Option<Directory>,
    /// The backing file's format, as QEMU calls it.
    pub(crate) backing_format: Option<String>,
    /// The name of the external data file.
    pub(crate) data_file: Option<String>,
    /// The image's own names for incompatible features.
    pub(crate) feature_names: Vec<(u8, String)>,
}

impl Extensions {
    /// Parses `area`, the bytes from the header's end to the backing file's name or the first cluster's end.
    pub(crate) fn parse(area: &[u8]) -> Result<Self, Refusal> {
        let mut extensions = Self::default();
        for (kind, body) in list(area)? {
            extensions.take(kind, body)?;
        }
        Ok(extensions)
    }

    fn take(&mut self, kind: u32, body: &[u8]) -> Result<(), Refusal> {
        match kind {
            FEATURE_NAMES => self.feature_names = feature_names(body),
            LUKS_AREA => self.luks_area = Some(luks_area(body)?),
            BITMAPS => self.bitmaps = Some(Directory::parse(body)?),
            BACKING_FORMAT => self.backing_format = Some(text(&body[..body.len().min(LONGEST_NAME)])),
            DATA_FILE => self.data_file = Some(text(&body[..body.len().min(LONGEST_NAME)])),
            _ => {}
        }
        Ok(())
    }
}

/// All extensions in `area`, each with its type and bytes.
pub(crate) fn list(mut area: &[u8]) -> Result<Vec<(u32, &[u8])>, Refusal> {
    let mut found = Vec::new();
    while let Some((kind, body)) = first(area)? {
        found.push((kind, body));
        area = area.get(8 + body.len().next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(found)
}

/// An extension ready to be written, padding included.
pub(crate) fn to_bytes(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).expect("shorter than a cluster").to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// The extension that says where the LUKS area is, ready to be written, padding included.
pub(crate) fn luks_area_bytes(area: &Range<u64>) -> Vec<u8> {
    to_bytes(LUKS_AREA, &[area.start.to_be_bytes(), (area.end - area.start).to_be_bytes()].concat())
}

/// Text from a file for people: whatever is in it, it comes out as printable characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The first extension's type and bytes; `None` at the end.
fn first(area: &[u8]) -> Result<Option<(u32, &[u8])>, Refusal> {
    if area.len() < 8 {
        return Ok(None);
    }
    let kind = be32(area, 0);
    if kind == END {
        return Ok(None);
    }
    let too_long = || Refusal::damaged(format!("its header extension {kind:#010x} is longer than its place"));
    let len = usize::try_from(be32(area, 4)).map_err(|_| too_long())?;
    let body = area[8..].get(..len).ok_or_else(too_long)?;
    Ok(Some((kind, body)))
}

fn luks_area(body: &[u8]) -> Result<Range<u64>, Refusal> {
    if body.len() != 16 {
        return Err(Refusal::damaged(format!("its LUKS header extension has {} bytes instead of 16", body.len())));
    }
    let (start, len) = (be64(body, 0), be64(body, 8));
    let end = start.checked_add(len).ok_or_else(|| Refusal::damaged("its LUKS area ends beyond all offsets"))?;
    Ok(start..end)
}

fn feature_names(body: &[u8]) -> Vec<(u8, String)> {
    const INCOMPATIBLE: u8 = 0;
    body.chunks_exact(48)
        .filter(|entry| entry[0] == INCOMPATIBLE && entry[1] < 64)
        .map(|entry| (entry[1], text(&entry[2..])))
        .collect()
}
