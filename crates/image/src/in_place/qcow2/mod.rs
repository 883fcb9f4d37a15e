//! qcow2 images: their clusters are enciphered where they lie, since the tweak counts sectors of the file. And raw disks that
//! become qcow2.
//!
//! The disk's clusters and those of its snapshots are rewritten once each, however many tables lead to them. All else is new,
//! behind the old image's end (`staging`), so that the old image's tables stay whole until the new first sector is written.
//! Bitmaps stay as they are: QEMU does not encrypt them.

mod clusters;
mod front;
mod raw;
mod stage;
mod staging;
mod tidy;

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use cadenas_luks::VolumeKey;
use cadenas_secret::SecretBytes;

use super::{
    ExtraSpace, flat,
    kinds::{Operation, Plan, Rewrite},
    layout::{Fronts, Layout, Run},
    records::Direction,
    volume::{self, VolumeKeys},
};
use crate::{
    Format, ImageError, ImageInfo, NewKey, Progress, Storage, Tuning,
    format::{
        luks::{LuksArea, describe},
        qcow2::{
            Entry, Refusal, be64, bitmaps,
            census::{self, Census},
            header::Header,
            image::read_header,
            refcounts,
            survey::Survey,
        },
    },
};
use {
    clusters::{ClusterMap, MOST_CLUSTERS},
    stage::Stage,
    staging::Staging,
};

pub(super) use raw::{layout as layout_of_raw, plan as plan_raw, space as space_of_raw};

/// The journal has room for so much of a volume's header and key slots.
const MOST_LUKS_BYTES: u64 = 2 << 20;
/// What a new volume's header and key slots take at most.
const LUKS_BYTES: u64 = 0x1f_9000;

/// Encrypts a plain image.
pub(super) fn plan_encrypt(disk: &dyn Storage, key: &NewKey<'_>) -> Result<(Plan, VolumeKeys), ImageError> {
    refuse_encrypted(disk)?;
    let (key, area) = volume::fresh(key, cadenas_luks::Layout::InQcow2);
    let plan = plan(disk, Operation::Encrypt, Vec::new(), area)?;
    Ok((plan, VolumeKeys { old: None, new: Some(key) }))
}

/// Decrypts an image; it stays qcow2.
pub(super) fn plan_decrypt(disk: &dyn Storage, passphrase: &SecretBytes) -> Result<(Plan, VolumeKeys), ImageError> {
    let (old, area) = open_volume(disk, passphrase)?;
    let plan = plan(disk, Operation::Decrypt, area, Vec::new())?;
    Ok((plan, VolumeKeys { old: Some(old.into()), new: None }))
}

/// Gives an encrypted image another volume key.
pub(super) fn plan_recrypt(
    disk: &dyn Storage,
    passphrase: &SecretBytes,
    key: &NewKey<'_>,
) -> Result<(Plan, VolumeKeys), ImageError> {
    let (old, old_area) = open_volume(disk, passphrase)?;
    let (new, new_area) = volume::fresh(key, cadenas_luks::Layout::InQcow2);
    let plan = plan(disk, Operation::Recrypt, old_area, new_area)?;
    Ok((plan, VolumeKeys { old: Some(old.into()), new: Some(new) }))
}

/// What such a rewrite needs: `operation` on an image that `passphrase` opens, if it is encrypted.
pub(super) fn space(
    disk: &dyn Storage,
    operation: Operation,
    passphrase: Option<&SecretBytes>,
) -> Result<ExtraSpace, ImageError> {
    match passphrase {
        None => refuse_encrypted(disk)?,
        Some(passphrase) => open_volume(disk, passphrase).map(drop)?,
    }
    let survey = Survey::of(disk, own_header(disk)?)?;
    let first = examine(&survey)?;
    let luks_len = (operation != Operation::Decrypt).then_some(LUKS_BYTES);
    let staging = Staging::plan(&survey, first, survey.refcount_blocks(), luks_len)?;
    let map = map_data(&survey, first)?;
    let mut grown = (staging.clusters.end - first) * survey.cluster().bytes();
    for run in map.runs(0..map.end()) {
        grown = grown.saturating_add(flat::holes(disk, run.old_at, run.old_at + run.len)?);
    }
    Ok(ExtraSpace { during: grown, after: grown })
}

/// The layout of any of these plans.
pub(super) fn layout<'a>(disk: &'a dyn Storage, plan: &Plan, keys: &VolumeKeys) -> Result<Rewrite<'a>, ImageError> {
    let layout = InQcow2 {
        disk,
        fronts: plan.fronts.clone(),
        extra: Extra::parse(&plan.extra).ok_or_else(|| unfit(disk))?,
        old_luks: plan.old_luks.clone(),
        new_luks: plan.new_luks.clone(),
        new_key: keys.new.clone(),
        data: ClusterMap::new(header_of(disk, &plan.fronts.old)?.cluster, 0),
        expanded_bytes: 0,
    };
    let new_info = layout.new_info()?;
    Ok(Rewrite { layout: Box::new(layout.with_data()?), new_info })
}

/// A qcow2 image that becomes another.
struct InQcow2<'a> {
    disk: &'a dyn Storage,
    fronts: Fronts,
    extra: Extra,
    /// LUKS headers and key material; empty where the image is plain.
    old_luks: Vec<u8>,
    new_luks: Vec<u8>,
    new_key: Option<Arc<VolumeKey>>,
    /// What is rewritten where it lies.
    data: ClusterMap,
    /// What compressed clusters take when they are expanded.
    expanded_bytes: u64,
}

/// What the journal keeps for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extra {
    /// The first fresh cluster, and the first behind the last.
    first: u64,
    end: u64,
    /// Whether compressed clusters are expanded.
    expands: bool,
}

/// What stands in an image's first sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Old,
    New,
    /// The marker: the tables are still the old image's.
    Between,
    /// Somebody has used the image since.
    Other,
}

impl Layout for InQcow2<'_> {
    fn shift(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.data.end()
    }

    fn total_bytes(&self) -> u64 {
        self.data.total_bytes() + self.expanded_bytes
    }

    fn zone_from(&self, from: u64, most: u64) -> u64 {
        self.data.zone_from(from, most)
    }

    fn zone_to(&self, to: u64, most: u64) -> u64 {
        self.data.zone_to(to, most)
    }

    fn runs(&self, positions: Range<u64>) -> Vec<Run> {
        self.data.runs(positions)
    }

    /// What a guest writes into clusters that were there comes along; changed key slots do not.
    fn is_unused(&self, direction: Direction) -> Result<bool, ImageError> {
        match direction {
            Direction::Forward => {
                let survey = self.old_survey()?;
                Ok(self.has_luks(survey.header(), &self.old_luks)? && mapped_end(&survey)? <= self.extra.first)
            }
            Direction::Back => {
                let survey = self.new_survey()?;
                Ok(self.has_luks(survey.header(), &self.new_luks)? && self.spares_old(&survey)?)
            }
        }
    }

    fn staged_len(&self) -> RangeInclusive<u64> {
        let end = self.extra.end * self.data.cluster_bytes();
        end..=end
    }

    fn stage(&self, tuning: &Tuning, progress: &dyn Progress) -> Result<(), ImageError> {
        let blocks = self.old_blocks()?;
        let survey = self.old_survey()?;
        let luks_len = (!self.new_luks.is_empty()).then(|| bytes_len(&self.new_luks));
        let staging = Staging::plan(&survey, self.extra.first, &blocks, luks_len)?;
        if staging.clusters != (self.extra.first..self.extra.end) {
            return Err(ImageError::ChangedSince { image: self.disk.name() });
        }
        let (luks, key) = (&*self.new_luks, self.new_key.as_deref());
        Stage { survey: &survey, staging: &staging, blocks: &blocks, luks, key, tuning, progress }.write()
    }

    fn clean_new(&self) -> Result<(), ImageError> {
        self.clean(&self.new_survey()?)
    }

    /// Another snapshot, say, or a bitmap: the tables that there are now tell what is used.
    fn clean_used(&self) -> Result<(), ImageError> {
        let header = read_header(self.disk)?;
        if !self.is_new_volume(&header)? {
            return Err(ImageError::NotCleaned { image: self.disk.name() });
        }
        self.clean(&Survey::of(self.disk, header)?)
    }

    fn clean_old(&self) -> Result<(), ImageError> {
        self.restore_refcount_table()?;
        self.restore_luks()?;
        self.disk.flush()?;
        tidy::mend_refcounts(&self.old_survey()?, self.extra.end)
    }

    /// Compressed clusters are gone when the image is cleaned, and nobody compresses them again.
    fn way_back(&self) -> Result<(), ImageError> {
        if self.extra.expands && self.seen()? == Seen::New {
            let feature =
                "a rewrite that expanded compressed clusters and cannot be taken back when it is done".to_owned();
            return Err(ImageError::Unsupported { image: self.disk.name(), feature });
        }
        Ok(())
    }
}

impl<'a> InQcow2<'a> {
    fn with_data(self) -> Result<Self, ImageError> {
        let first = self.extra.first;
        if first > MOST_CLUSTERS {
            return Err(unfit(self.disk));
        }
        let mut expanded_bytes = 0;
        let data = match self.seen()? {
            Seen::Old | Seen::Between => {
                let survey = self.old_survey()?;
                if self.extra.expands {
                    expanded_bytes = staging::count_packed(&survey)? * survey.cluster().bytes();
                }
                map_data(&survey, first)?
            }
            Seen::New => map_data(&self.new_survey()?, first)?,
            // Nothing will be rewritten.
            Seen::Other => ClusterMap::new(self.old_header()?.cluster, first),
        };
        Ok(Self { data, expanded_bytes, ..self })
    }

    fn new_info(&self) -> Result<ImageInfo, ImageError> {
        let header = self.new_header()?;
        let encryption = match &*self.new_luks {
            [] => None,
            area => Some(describe(&volume::header(area, self.disk)?)),
        };
        let bitmaps = match self.seen()? {
            Seen::Other => Vec::new(),
            _ => bitmaps::read(self.disk, &header, self.disk.size()?)?,
        };
        Ok(ImageInfo {
            cluster_size: Some(header.cluster.bytes()),
            encryption,
            snapshots: header.snapshots,
            bitmaps: bitmaps.into_iter().map(|bitmap| bitmap.name).collect(),
            ..crate::inspect::flat(Format::Qcow2, header.virtual_size)
        })
    }

    fn seen(&self) -> Result<Seen, ImageError> {
        let sector = self.disk.read_vec(0, super::marker::BYTES)?;
        let is = |front: &[u8]| front[..super::marker::BYTES] == sector;
        Ok(match () {
            () if super::marker::parse(&sector).is_some() => Seen::Between,
            () if is(&self.fronts.old) => Seen::Old,
            () if is(&self.fronts.new) => Seen::New,
            () => Seen::Other,
        })
    }

    fn old_header(&self) -> Result<Header, ImageError> {
        header_of(self.disk, &self.fronts.old)
    }

    fn new_header(&self) -> Result<Header, ImageError> {
        header_of(self.disk, &self.fronts.new)
    }

    fn old_survey(&self) -> Result<Survey<'a>, ImageError> {
        Survey::of(self.disk, self.old_header()?)
    }

    fn new_survey(&self) -> Result<Survey<'a>, ImageError> {
        Survey::of(self.disk, self.new_header()?)
    }

    /// The old image's refcount blocks. Once a longer table has taken the old one's place, that may have been discarded; and
    /// the longer one is gone when the file was cut. One of the two is whole at any time, and the other lacks entries at most.
    fn old_blocks(&self) -> Result<Vec<u64>, ImageError> {
        let (old, new) = (self.old_header()?.refcount_table, self.new_header()?.refcount_table);
        let fresh = self.extra.first * self.old_header()?.cluster.bytes();
        let len = usize::try_from(old.end - old.start).expect("at most 8 MiB");
        let read = |start: u64| -> Result<Vec<u64>, ImageError> {
            let entries = self.disk.read_vec(start, len)?;
            let blocks = entries.chunks_exact(8).map(|entry| be64(entry, 0));
            Ok(blocks.map(|offset| if offset < fresh { offset } else { 0 }).collect())
        };
        let mut blocks = read(old.start)?;
        if new != old && self.seen()? != Seen::Old && self.disk.size()? >= new.end {
            blocks.iter_mut().zip(read(new.start)?).for_each(|(block, other)| *block = (*block).max(other));
        }
        Ok(blocks)
    }

    fn clean(&self, survey: &Survey<'_>) -> Result<(), ImageError> {
        tidy::mend_refcounts(survey, self.extra.end)?;
        tidy::discard_unread(survey)
    }

    /// Whether the LUKS area, if there is one, holds what the journal knows.
    fn has_luks(&self, header: &Header, known: &[u8]) -> Result<bool, ImageError> {
        let Some(area) = &header.luks_area else { return Ok(true) };
        Ok(self.disk.read_vec(area.start, known.len())? == known)
    }

    /// Whether an image is encrypted as the new one is, with its volume key, or plain if that is.
    fn is_new_volume(&self, header: &Header) -> Result<bool, ImageError> {
        if header.luks_area != self.new_header()?.luks_area {
            return Ok(false);
        }
        let Some(place) = &header.luks_area else { return Ok(true) };
        let found = LuksArea::read(self.disk, place.clone())?.describe();
        Ok(found.digest == volume::header(&self.new_luks, self.disk)?.digest())
    }

    /// Whether the finished image keeps away from what only the old one has, and from where going back cuts the file, and has
    /// compressed nothing: the old one may be encrypted.
    fn spares_old(&self, survey: &Survey<'_>) -> Result<bool, ImageError> {
        let old = self.old_header()?;
        let fresh = self.extra.first * old.cluster.bytes()..u64::MAX;
        let own: Vec<_> = old.luks_area.into_iter().chain([old.refcount_table]).collect();
        let is_on = |place: &Range<u64>, other: &Range<u64>| place.start < other.end && other.start < place.end;
        let is_on_own = |place: &Range<u64>| own.iter().any(|own| is_on(place, own));
        let blocks = survey.refcount_blocks().iter().filter(|block| **block != 0);
        let mut spares = !blocks.map(|block| *block..*block + old.cluster.bytes()).any(|block| is_on_own(&block));
        for_each_mapped(survey, |place, is_packed| {
            spares &= !is_packed && !is_on(&place, &fresh) && !is_on_own(&place);
        })?;
        Ok(spares)
    }

    fn restore_refcount_table(&self) -> Result<(), ImageError> {
        let bytes: Vec<u8> = self.old_blocks()?.iter().flat_map(|offset| offset.to_be_bytes()).collect();
        self.disk.write(self.old_header()?.refcount_table.start, &bytes)
    }

    fn restore_luks(&self) -> Result<(), ImageError> {
        match self.old_header()?.luks_area {
            Some(area) => self.disk.write(area.start, &self.old_luks),
            None => Ok(()),
        }
    }
}

impl Extra {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (words, [expands]) = bytes.split_at_checked(16)? else { return None };
        Some(Self { first: be64(words, 0), end: be64(words, 8), expands: *expands != 0 })
    }

    fn to_bytes(self) -> Vec<u8> {
        [&self.first.to_be_bytes()[..], &self.end.to_be_bytes(), &[u8::from(self.expands)]].concat()
    }
}

fn plan(disk: &dyn Storage, operation: Operation, old_luks: Vec<u8>, new_luks: Vec<u8>) -> Result<Plan, ImageError> {
    let survey = Survey::of(disk, own_header(disk)?)?;
    let first = examine(&survey)?;
    let luks_len = (!new_luks.is_empty()).then(|| bytes_len(&new_luks));
    let staging = Staging::plan(&survey, first, survey.refcount_blocks(), luks_len)?;
    let old = disk.read_vec(0, survey.cluster().len())?;
    let new = front::new_front(&old, survey.header(), &staging.new_tables(&survey));
    let new = new.map_err(|refusal| refusal.of(disk.name()))?;
    // What nobody could read back must not become the image.
    header_of(disk, &new)?;
    let extra = Extra { first, end: staging.clusters.end, expands: !staging.packed.is_empty() };
    Ok(Plan {
        operation,
        old_format: Format::Qcow2,
        new_format: Format::Qcow2,
        old_len: disk.size()?,
        fronts: Fronts { old, new },
        old_luks,
        new_luks,
        extra: extra.to_bytes(),
    })
}

/// Refuses an image whose counts do not hold, and tells the first cluster behind all that it uses or may use.
fn examine(survey: &Survey<'_>) -> Result<u64, ImageError> {
    let first = used_end(survey)?.max(counted_end(survey)?).max(survey.cluster().count(survey.file_len()));
    if first > MOST_CLUSTERS {
        let feature = format!("more than {MOST_CLUSTERS} clusters; make a copy");
        return Err(Refusal::Unsupported(feature).of(survey.storage().name()));
    }
    let mut problem = None;
    for window in census::windows(first) {
        let census = Census::take(survey, window)?;
        census.for_each(|cluster, stored, used| {
            // What is counted and not used is lost room, which is given back in the end.
            if used > 0 && stored.min(u64::from(u16::MAX)) != used {
                problem =
                    Some(format!("cluster {cluster} is used {used} time(s), but its reference count is {stored}"));
            }
        })?;
        census.wrong_copied_flags(|cluster| {
            problem = Some(format!("the entry for cluster {cluster} is wrong about whether that is used once"));
        })?;
    }
    problem.map_or(Ok(first), |what| Err(survey.damaged(what)))
}

/// One past the last cluster that a table names.
fn used_end(survey: &Survey<'_>) -> Result<u64, ImageError> {
    Ok(Census::take(survey, 0..0)?.end())
}

/// One past the last cluster that L1 and L2 tables name or take.
fn mapped_end(survey: &Survey<'_>) -> Result<u64, ImageError> {
    let mut end = 0;
    for_each_mapped(survey, |place, _| end = end.max(place.end))?;
    Ok(survey.cluster().count(end))
}

/// Gives all places that L1 and L2 tables name or take, and whether that is a compressed cluster's.
fn for_each_mapped(survey: &Survey<'_>, mut visit: impl FnMut(Range<u64>, bool)) -> Result<(), ImageError> {
    let cluster = survey.cluster();
    survey.l1_tables().iter().for_each(|table| visit(table.offset..table.offset + table.entries * 8, false));
    for table in survey.l2_tables() {
        visit(table.offset..table.offset + cluster.bytes(), false);
        for (_, entry) in survey.l2_entries(*table)? {
            if let Some(place) = entry.place(cluster) {
                visit(place, matches!(entry, Entry::Packed(_)));
            }
        }
    }
    Ok(())
}

/// One past the last cluster that has a refcount.
fn counted_end(survey: &Survey<'_>) -> Result<u64, ImageError> {
    let order = survey.header().refcount_order;
    let per_block = refcounts::per_block(survey.cluster(), order);
    let blocks = u64::try_from(survey.refcount_blocks().len()).expect("bounded by the format");
    for number in (0..blocks).rev() {
        let Some(block) = census::read_block(survey, number)? else { continue };
        let per_block_len = usize::try_from(per_block).expect("bounded by the format");
        if let Some(last) = (0..per_block_len).rfind(|at| refcounts::read(&block, order, *at) > 0) {
            return Ok(number * per_block + u64::try_from(last).expect("in a block") + 1);
        }
    }
    Ok(0)
}

/// The clusters before `first` that hold data of the disk or of a snapshot, uncompressed.
fn map_data(survey: &Survey<'_>, first: u64) -> Result<ClusterMap, ImageError> {
    let mut map = ClusterMap::new(survey.cluster(), first);
    for table in survey.l2_tables() {
        for (_, entry) in survey.l2_entries(*table)? {
            if let Some(offset) = entry.stored_at() {
                map.insert(offset / survey.cluster().bytes());
            }
        }
    }
    Ok(map)
}

fn own_header(disk: &dyn Storage) -> Result<Header, ImageError> {
    let header = read_header(disk)?;
    match &header.backing_file {
        Some(backing_file) => Err(ImageError::BackingFile { image: disk.name(), backing_file: backing_file.clone() }),
        None => Ok(header),
    }
}

fn refuse_encrypted(disk: &dyn Storage) -> Result<(), ImageError> {
    if own_header(disk)?.luks_area.is_some() {
        let feature = "encryption already; it can get another key instead".to_owned();
        return Err(ImageError::Unsupported { image: disk.name(), feature });
    }
    Ok(())
}

/// The volume key of an encrypted image, its header and its key material.
fn open_volume(disk: &dyn Storage, passphrase: &SecretBytes) -> Result<(VolumeKey, Vec<u8>), ImageError> {
    let place = own_header(disk)?.luks_area.ok_or_else(|| ImageError::NotEncrypted { image: disk.name() })?;
    let area = LuksArea::read(disk, place.clone())?;
    let len = area.header().area_len();
    if len > MOST_LUKS_BYTES {
        let feature = "LUKS key slots beyond the first 2 MiB".to_owned();
        return Err(ImageError::Unsupported { image: disk.name(), feature });
    }
    let (_, key) = area.unlock(passphrase)?;
    Ok((key, disk.read_vec(place.start, usize::try_from(len).expect("bounded above"))?))
}

fn header_of(disk: &dyn Storage, front: &[u8]) -> Result<Header, ImageError> {
    Header::parse(front).map_err(|refusal| refusal.of(disk.name()))
}

fn unfit(disk: &dyn Storage) -> ImageError {
    ImageError::Damaged { image: disk.name(), what: "it does not fit its journal".to_owned() }
}

fn bytes_len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory")
}
