//! What stands in an image's first sector while it is neither the old image nor the new one.

use uuid::Uuid;

use crate::{ImageError, Storage};

/// Length of the marker in bytes: a sector, which a medium writes whole or not at all.
pub(super) const BYTES: usize = 512;

/// No format's magic bytes, and text for whoever looks at the disk.
const BEGINNING: &[u8] = b"CADENAS: between old and new, journal ";

/// The marker of the rewrite with this journal.
pub(super) fn sector(journal: Uuid) -> [u8; BYTES] {
    let beginning = String::from_utf8_lossy(BEGINNING);
    let text = format!(
        "{beginning}{journal}\nThis disk image is being rewritten in place by Cadenas, and is not usable until that has ended.\n\
         Finish with `cadenas disk resume FILE`, undo with `cadenas disk cancel FILE`.\n"
    );
    let mut sector = [0; BYTES];
    sector[..text.len()].copy_from_slice(text.as_bytes());
    sector
}

/// The journal that an image's first sector names, if it is a marker.
pub(crate) fn journal_of(disk: &dyn Storage) -> Result<Option<Uuid>, ImageError> {
    if disk.size()? < u64::try_from(BYTES).expect("a sector") {
        return Ok(None);
    }
    let mut sector = [0; BYTES];
    disk.read(0, &mut sector)?;
    Ok(parse(&sector))
}

/// The journal that these bytes name, if they begin as a marker does.
pub(super) fn parse(bytes: &[u8]) -> Option<Uuid> {
    let uuid = bytes.strip_prefix(BEGINNING)?.get(..36)?;
    Uuid::try_parse_ascii(uuid).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_journal_and_nothing_else_is_one() {
        let uuid = Uuid::new_v4();
        let marker = sector(uuid);
        assert_eq!(parse(&marker), Some(uuid));
        assert!(marker.ends_with(&[0]));
        assert_eq!(parse(&marker[1..]), None);
        assert_eq!(parse(&marker[..60]), None);
        assert_eq!(parse(&[0; 512]), None);
    }
}
