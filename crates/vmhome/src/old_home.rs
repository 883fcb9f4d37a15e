//! What decrypt and deep recrypt begin with: an unlocked home that nobody else uses or changes.

use cadenas_image::{Access, File};
use cadenas_keys::{KeyId, ProviderId};

use crate::{
    descriptor,
    error::Refusal,
    home::VmHome,
    journal::{Record, Transition},
    locks::{ClaimError, Claims},
    prepare::rewrite,
    transition::Context,
    unlocked::Unlocked,
};

/// A home and its disks, kept for oneself.
pub(crate) struct OldHome {
    pub(crate) claims: Claims,
    /// The encrypted disks, in their order.
    pub(crate) files: Vec<File>,
}

/// Locks the home and every disk, and makes sure that the home is still the one that was unlocked.
pub(crate) fn claim(unlocked: &Unlocked, context: Context<'_>, access: Access) -> Result<OldHome, Refusal> {
    let home = &unlocked.home;
    context.journal.must_be_settled(home.vm())?;
    let mut claims = Claims::default();
    claims.home(home.path())?;
    let now = descriptor::read(&home.descriptor_path())?;
    if now.is_none_or(|now| now.identity() != home.descriptor().identity()) {
        return Err(Refusal::Replaced(home.descriptor_path()));
    }
    let mut files = Vec::with_capacity(unlocked.disks.len());
    for disk in &unlocked.disks {
        let file = disk.file(access)?;
        claims.image(&file).map_err(ClaimError::from)?;
        files.push(file);
    }
    Ok(OldHome { claims, files })
}

/// The record of a home whose disks are rewritten where they are; `keys` wrap what opens their journals.
pub(crate) fn in_place_record(
    unlocked: &Unlocked,
    transition: Transition,
    keys: Vec<(ProviderId, KeyId)>,
) -> Result<Record, Refusal> {
    let mut record = Record::of_home(&unlocked.home, transition);
    let stay = unlocked.disks.iter().map(|disk| (disk.entry.target.clone(), disk.path.clone(), disk.path.clone()));
    let rewrite = rewrite(stay, keys)?;
    record.staged = rewrite.disks.iter().map(|disk| disk.journal.clone()).collect();
    record.rewrite = Some(rewrite);
    Ok(record)
}

impl Record {
    /// A transition of a home that is there.
    pub(crate) fn of_home(home: &VmHome, transition: Transition) -> Self {
        let (vm, name, folder) = (home.vm(), home.name().clone(), home.path().to_owned());
        let mut record = Self::new(vm, name, transition, folder, home.file().clone());
        record.before = Some(home.descriptor().identity());
        record
    }
}
