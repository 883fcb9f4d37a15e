//! Rotation: when a provider's keys are due for new ones, and moving its VMs to them in the background.
//!
//! A rotation sets a moment; every VM whose key is older than it is re-encrypted, at a bounded rate, until none is left. Of a
//! native provider nothing happens before its new version is in a backup.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use cadenas_api::{Actor, Problem, ProblemCode, Provider, RecryptAll, Rotation};
use cadenas_keys::ProviderId;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    bulk,
    core::Core,
    events::Draft,
    providers::{self, Catalog, KindRecord, ProviderRecord},
};

/// How often schedules and what they left to do are looked at.
const PERIOD: Duration = Duration::from_mins(1);
/// How long a provider is left alone of which no VM could be moved.
const PAUSE: Duration = Duration::from_mins(30);
/// VMs per second in the background: little enough that nobody notices.
const BACKGROUND_RATE: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
const LONGEST_DAYS: u32 = 3650;

/// When a provider's keys are rotated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationRecord {
    /// So many days after the last time; absent: only when asked.
    pub(crate) every_days: Option<u32>,
    /// The last time, if there was one.
    pub(crate) last: Option<Timestamp>,
    /// VMs whose key is older than this are to be moved, until none is left.
    pub(crate) moves_older_than: Option<Timestamp>,
}

impl RotationRecord {
    /// Whether a key of this age is to be replaced.
    pub(crate) fn replaces(&self, created: Timestamp) -> bool {
        self.moves_older_than.is_some_and(|moment| created < moment)
    }

    /// Whether a key is older than the schedule wants it.
    pub(crate) fn is_overdue(&self, created: Timestamp, now: Timestamp) -> bool {
        self.every_days.is_some_and(|days| after_days(created, days) <= now)
    }

    fn begin(&mut self, now: Timestamp) {
        self.last = Some(now);
        self.moves_older_than = Some(now);
    }
}

impl ProviderRecord {
    /// The schedule, as the API shows it.
    pub(crate) fn rotation_view(&self) -> Option<Rotation> {
        self.rotation.every_days.map(|every_days| Rotation { every_days, next: self.next_rotation(every_days) })
    }

    fn next_rotation(&self, every_days: u32) -> Timestamp {
        after_days(self.rotation.last.unwrap_or(self.created), every_days)
    }

    fn rotation_is_due(&self, now: Timestamp) -> bool {
        self.rotation.every_days.is_some_and(|days| self.next_rotation(days) <= now)
    }
}

fn after_days(moment: Timestamp, days: u32) -> Timestamp {
    moment.checked_add((i64::from(days) * 24).hours()).unwrap_or(Timestamp::MAX)
}

/// Sets or ends a provider's schedule.
pub(crate) async fn set(
    core: &Arc<Core>,
    provider: &str,
    every_days: Option<u32>,
    by: &Actor,
) -> Result<Provider, Problem> {
    if every_days.is_some_and(|days| !(1..=LONGEST_DAYS).contains(&days)) {
        let detail = format!("a rotation is every 1 to {LONGEST_DAYS} days");
        return Err(Problem::new(ProblemCode::BadRequest, detail).next("Give another number of days."));
    }
    let plan = |catalog: &mut Catalog| {
        let id = catalog.find(provider)?.id;
        let record = catalog.provider_mut(id)?;
        let before = std::mem::replace(&mut record.rotation.every_days, every_days);
        let drafts = if before == every_days { vec![] } else { vec![scheduled(record, every_days).by(by)] };
        Ok((id, drafts))
    };
    let id = core.change_catalog(plan).await?;
    providers::show(core, &id.to_string()).await
}

fn scheduled(record: &ProviderRecord, every_days: Option<u32>) -> Draft {
    let message = match every_days {
        Some(days) => format!("The keys of key provider {} are rotated every {days} days from now on.", record.name),
        None => format!("The keys of key provider {} are rotated only when asked from now on.", record.name),
    };
    Draft::new("provider.rotation-set", message).provider(record.id)
}

/// Makes new keys: a new version of a native provider's key, or new KEKs of a standard provider's VMs, as they come.
pub(crate) async fn rotate(core: &Arc<Core>, provider: &str, by: Option<&Actor>) -> Result<Provider, Problem> {
    let id = core.catalog().await?.find(provider)?.id;
    match core.catalog().await?.find(provider)?.kind {
        KindRecord::Native(_) => providers::add_version(core, id, by).await?,
        KindRecord::Standard(_) => core.change_catalog(|catalog| Ok(((), catalog.begin_rotation(id, by)?))).await?,
    }
    core.rotate_now.notify_one();
    providers::show(core, &id.to_string()).await
}

impl Catalog {
    /// From now on every VM of a standard provider is to have a newer key.
    fn begin_rotation(&mut self, id: ProviderId, by: Option<&Actor>) -> Result<Vec<Draft>, Problem> {
        let record = self.provider_mut(id)?;
        record.rotation.begin(Timestamp::now());
        let message = format!("Key provider {} is rotated: each of its VMs gets a new key.", record.name);
        Ok(vec![Draft::new("provider.rotated", message).provider(id).by_if(by)])
    }

    /// A native provider got a new version: its VMs move to it once it is in a backup.
    pub(crate) fn note_rotation(&mut self, id: ProviderId, now: Timestamp) -> Result<(), Problem> {
        self.provider_mut(id)?.rotation.begin(now);
        Ok(())
    }
}

/// Until the server stops: rotates what is due, and moves what is left to move.
pub(crate) async fn keep_rotating(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pauses = Pauses::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = core.rotate_now.notified() => pauses.clear(),
        }
        if let Err(problem) = round(&core, &mut pauses).await {
            tracing::warn!(%problem, "rotations wait");
        }
    }
}

/// Providers of which no VM could be moved the last time, and until when they are left alone.
type Pauses = BTreeMap<ProviderId, Instant>;

async fn round(core: &Arc<Core>, pauses: &mut Pauses) -> Result<(), Problem> {
    let now = Timestamp::now();
    for record in core.catalog().await?.providers.into_values() {
        if record.rotation_is_due(now) && has_no_rotation_open(&record) {
            logged(&record, rotate(core, &record.id.to_string(), None).await);
        }
    }
    pauses.retain(|_, until| Instant::now() < *until);
    for record in core.catalog().await?.providers.into_values() {
        if !pauses.contains_key(&record.id) && logged(&record, move_vms(core, &record).await) == Some(Moved::None) {
            pauses.insert(record.id, Instant::now() + PAUSE);
        }
    }
    Ok(())
}

/// One provider's trouble is not the others'.
fn logged<T>(record: &ProviderRecord, result: Result<T, Problem>) -> Option<T> {
    result.inspect_err(|problem| tracing::warn!(provider = %record.name, %problem, "a rotation waits")).ok()
}

/// A version that waits for its backup is not followed by another one.
fn has_no_rotation_open(record: &ProviderRecord) -> bool {
    record.as_native().map_or(true, |native| native.newest().backup.is_some())
}

/// What became of the VMs that were to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// There are none, or some were moved.
    Some,
    /// There are some, and none could be moved.
    None,
}

/// Moves the VMs whose key is older than the last rotation, if the new key may be used.
async fn move_vms(core: &Arc<Core>, record: &ProviderRecord) -> Result<Moved, Problem> {
    let Some(moment) = record.rotation.moves_older_than else { return Ok(Moved::Some) };
    let waits_for_backup =
        record.as_native().is_ok_and(|native| native.current().is_none_or(|current| current.created < moment));
    if waits_for_backup || core.tasks.has_bulk() {
        return Ok(Moved::Some);
    }
    let id = Some(record.id.to_string());
    let request = RecryptAll { from: id.clone(), to: id, jobs: None };
    let plan = bulk::plan(core, &request).await?;
    if plan.has_work() {
        let live = bulk::start(core, &request, Some(BACKGROUND_RATE), None).await?;
        live.ended().await;
        let changed = live.now().outcome.is_some_and(|outcome| outcome.changed);
        return Ok(if changed { Moved::Some } else { Moved::None });
    }
    if !plan.is_done() {
        return Ok(Moved::None);
    }
    core.change_catalog(|catalog| {
        if let Ok(record) = catalog.provider_mut(record.id)
            && record.rotation.moves_older_than == Some(moment)
        {
            record.rotation.moves_older_than = None;
        }
        Ok((Moved::Some, vec![]))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_schedule_counts_from_the_last_rotation_or_from_the_beginning() {
        let mut record = providers::fixtures::native("nkp", at("2026-01-01T00:00:00Z"));
        assert_eq!(record.rotation_view(), None);
        record.rotation.every_days = Some(90);
        assert_eq!(record.rotation_view().map(|rotation| rotation.next), Some(at("2026-04-01T00:00:00Z")));
        assert!(!record.rotation_is_due(at("2026-03-31T23:59:59Z")));
        assert!(record.rotation_is_due(at("2026-04-01T00:00:00Z")));
        record.rotation.begin(at("2026-04-02T00:00:00Z"));
        assert!(!record.rotation_is_due(at("2026-06-30T00:00:00Z")));
    }

    #[test]
    fn only_keys_from_before_a_rotation_are_replaced() {
        let mut rotation = RotationRecord::default();
        assert!(!rotation.replaces(at("2020-01-01T00:00:00Z")));
        rotation.begin(at("2026-01-01T00:00:00Z"));
        assert!(rotation.replaces(at("2025-12-31T23:59:59Z")));
        assert!(!rotation.replaces(at("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn a_version_that_waits_for_its_backup_is_not_followed_by_another() {
        let record = providers::fixtures::native("nkp", at("2026-01-01T00:00:00Z"));
        assert!(!has_no_rotation_open(&record));
    }
}
