//! The header of the new image: the old one with what differs.

use std::ops::Range;

use crate::format::qcow2::{
    Refusal, be32, be64,
    extensions::{self, BITMAPS, FEATURE_NAMES, LUKS_AREA},
    header::{BITMAPS_HOLD, Header, V2_BYTES},
};

/// Where the new image's tables are, in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) luks_area: Option<Range<u64>>,
    pub(super) l1_offset: u64,
    pub(super) snapshots_offset: u64,
    pub(super) refcount_table: Range<u64>,
}

/// The first cluster of the new image, made from the old one's, which `header` was parsed from and which names no other file.
pub(super) fn new_front(old: &[u8], header: &Header, tables: &Tables) -> Result<Vec<u8>, Refusal> {
    let kept = kept_extensions(old, header)?;
    let luks = tables.luks_area.as_ref().map(extensions::luks_area_bytes).unwrap_or_default();
    let mut front = fixed_part(old, header, tables);
    let room = header.cluster.len();
    for (kind, body) in &kept {
        let bytes = extensions::to_bytes(*kind, body);
        // It only helps people to read refusals: without it there may be room for what is needed.
        if *kind == FEATURE_NAMES && front.len() + bytes.len() + luks.len() + rest(&kept) > room {
            continue;
        }
        front.extend_from_slice(&bytes);
    }
    front.extend_from_slice(&luks);
    front.extend_from_slice(&END);
    if front.len() > room {
        return Err(Refusal::Unsupported(format!(
            "so many header extensions that {room} bytes have no room for LUKS'"
        )));
    }
    front.resize(room, 0);
    Ok(front)
}

const END: [u8; 8] = [0; 8];

/// Bytes of all extensions but the feature names, the end included.
fn rest(kept: &[(u32, &[u8])]) -> usize {
    let others = kept.iter().filter(|(kind, _)| *kind != FEATURE_NAMES);
    others.map(|(_, body)| 8 + body.len().next_multiple_of(8)).sum::<usize>() + END.len()
}

/// All but what is replaced, and bitmaps that the header does not vouch for: nobody uses them any more.
fn kept_extensions<'b>(old: &'b [u8], header: &Header) -> Result<Vec<(u32, &'b [u8])>, Refusal> {
    let all = extensions::list(&old[fixed_len(old, header)..])?;
    let keep = |kind: u32| kind != LUKS_AREA && (kind != BITMAPS || header.bitmaps.is_some());
    Ok(all.into_iter().filter(|(kind, _)| keep(*kind)).collect())
}

/// Bytes before the extensions.
fn fixed_len(old: &[u8], header: &Header) -> usize {
    if header.version < 3 { V2_BYTES } else { usize::try_from(be32(old, 100)).expect("checked when it was parsed") }
}

fn fixed_part(old: &[u8], header: &Header, tables: &Tables) -> Vec<u8> {
    const LUKS: u32 = 2;
    let mut front = old[..fixed_len(old, header)].to_vec();
    let table = header.cluster.count(tables.refcount_table.end - tables.refcount_table.start);
    put(&mut front, 32, &(if tables.luks_area.is_some() { LUKS } else { 0 }).to_be_bytes());
    put(&mut front, 40, &tables.l1_offset.to_be_bytes());
    put(&mut front, 48, &tables.refcount_table.start.to_be_bytes());
    put(&mut front, 56, &u32::try_from(table).expect("bounded by the format").to_be_bytes());
    put(&mut front, 64, &tables.snapshots_offset.to_be_bytes());
    if header.version >= 3 {
        // What we do not know we must clear: it may not hold any more.
        let autoclear = be64(&front, 88) & BITMAPS_HOLD;
        put(&mut front, 88, &autoclear.to_be_bytes());
    }
    front
}

fn put(front: &mut [u8], at: usize, bytes: &[u8]) {
    front[at..at + bytes.len()].copy_from_slice(bytes);
}
