//! Which rewrites there are.

use super::{
    Change, ExtraSpace, flat,
    layout::{Fronts, Layout},
    qcow2,
    volume::VolumeKeys,
};
use crate::{Format, ImageError, ImageInfo, Storage};

/// What is done to the disk's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Encrypt,
    Decrypt,
    Recrypt,
}

/// What a rewrite is made from. It stays the same from [`plan`] to the end; the journal keeps it, but for the keys authenticated
/// only, the fronts also encrypted.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    pub(crate) old_format: Format,
    pub(crate) new_format: Format,
    /// Length of the file before, in bytes.
    pub(crate) old_len: u64,
    pub(crate) fronts: Fronts,
    /// LUKS header and key material before and after, at most 2 MiB each; empty where the disk is plain.
    pub(crate) old_luks: Vec<u8>,
    pub(crate) new_luks: Vec<u8>,
    /// Whatever else the layout must know when the rewrite is taken up again.
    pub(crate) extra: Vec<u8>,
}

/// What is made of a plan, now or when a journal is opened.
pub(crate) struct Rewrite<'a> {
    pub(crate) layout: Box<dyn Layout + 'a>,
    /// The image when it is finished.
    pub(crate) new_info: ImageInfo,
}

/// Looks at an image and decides how it will be rewritten; refuses what cannot be. Nothing is written. `payload` is where the
/// data of a raw disk that gets encrypted goes, in bytes.
pub(crate) fn plan(
    disk: &dyn Storage,
    format: Format,
    change: &Change<'_>,
    payload: u64,
) -> Result<(Plan, VolumeKeys), ImageError> {
    match (format, change) {
        (Format::Raw, Change::Encrypt { into: Format::Luks, key }) => flat::plan_encrypt(disk, key, payload),
        (Format::Luks, Change::Decrypt { passphrase, len }) => flat::plan_decrypt(disk, passphrase, *len),
        (Format::Luks, Change::Recrypt { passphrase, key }) => flat::plan_recrypt(disk, passphrase, key),
        (Format::Raw, Change::Encrypt { into: Format::Qcow2, key }) => qcow2::plan_raw(disk, key),
        (Format::Qcow2, Change::Encrypt { into: Format::Qcow2, key }) => qcow2::plan_encrypt(disk, key),
        (Format::Qcow2, Change::Decrypt { passphrase, .. }) => qcow2::plan_decrypt(disk, passphrase),
        (Format::Qcow2, Change::Recrypt { passphrase, key }) => qcow2::plan_recrypt(disk, passphrase, key),
        _ => Err(refused(disk, format, change)),
    }
}

/// The layout of a plan; `keys` are those that came with it or from the journal.
pub(crate) fn layout_for<'a>(disk: &'a dyn Storage, plan: &Plan, keys: &VolumeKeys) -> Result<Rewrite<'a>, ImageError> {
    match (plan.old_format, plan.new_format) {
        (Format::Raw | Format::Luks, Format::Raw | Format::Luks) => flat::layout(disk, plan),
        (Format::Raw, Format::Qcow2) => qcow2::layout_of_raw(disk, plan, keys),
        (Format::Qcow2, Format::Qcow2) => qcow2::layout(disk, plan, keys),
        _ => {
            let feature = "a journal for a rewrite that this version does not know".to_owned();
            Err(ImageError::Unsupported { image: disk.name(), feature })
        }
    }
}

/// What [`plan`] and the rewrite would need.
pub(crate) fn space(
    disk: &dyn Storage,
    format: Format,
    change: &Change<'_>,
    payload: u64,
) -> Result<ExtraSpace, ImageError> {
    match (format, change) {
        (Format::Raw, Change::Encrypt { into: Format::Luks, .. }) => flat::space_to_encrypt(disk, payload),
        (Format::Luks, Change::Decrypt { passphrase, .. }) => flat::space_to_decrypt(disk, passphrase),
        (Format::Luks, Change::Recrypt { passphrase, .. }) => flat::space_to_recrypt(disk, passphrase),
        (Format::Raw, Change::Encrypt { into: Format::Qcow2, .. }) => qcow2::space_of_raw(disk),
        (Format::Qcow2, Change::Encrypt { into: Format::Qcow2, .. }) => qcow2::space(disk, Operation::Encrypt, None),
        (Format::Qcow2, Change::Decrypt { passphrase, .. }) => qcow2::space(disk, Operation::Decrypt, Some(passphrase)),
        (Format::Qcow2, Change::Recrypt { passphrase, .. }) => qcow2::space(disk, Operation::Recrypt, Some(passphrase)),
        _ => Err(refused(disk, format, change)),
    }
}

fn refused(disk: &dyn Storage, format: Format, change: &Change<'_>) -> ImageError {
    let image = disk.name();
    if format == Format::Raw && !matches!(change, Change::Encrypt { .. }) {
        return ImageError::NotEncrypted { image };
    }
    let feature = format!("the format {format}, which cannot be rewritten in place that way; make a copy");
    ImageError::Unsupported { image, feature }
}

impl Operation {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Encrypt => 1,
            Self::Decrypt => 2,
            Self::Recrypt => 3,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Encrypt, Self::Decrypt, Self::Recrypt].into_iter().find(|operation| operation.number() == number)
    }
}
