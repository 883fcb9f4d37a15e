//! Random lives of providers against a plain model of the rules.

use std::collections::BTreeMap;

use cadenas_api::{Actor, ProblemCode, ProviderName, Restored};
use cadenas_keys::{Kdk, KeyId, ProviderId};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    model::{BackupProof, Catalog, MOST_PROVIDERS, NativeRecord, ProviderRecord, VersionRecord},
    open_backup::Proved,
    restore::Incoming,
};
use crate::seal::RootKeySeal;

/// What a user may ask for; numbers pick among what is there.
#[derive(Debug, Clone)]
enum Step {
    Create { name: u8 },
    Rename { provider: usize, name: u8 },
    SetDefault { provider: usize },
    Rotate { provider: usize },
    Backup { provider: usize },
    Confirm { provider: usize, file: usize },
    Restore { file: usize, name: Option<u8> },
    Remove { provider: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (any, name) = (|| 0..1000_usize, || 0..5_u8);
    let step = prop_oneof![
        3 => name().prop_map(|name| Step::Create { name }),
        1 => (any(), name()).prop_map(|(provider, name)| Step::Rename { provider, name }),
        1 => any().prop_map(|provider| Step::SetDefault { provider }),
        2 => any().prop_map(|provider| Step::Rotate { provider }),
        3 => any().prop_map(|provider| Step::Backup { provider }),
        3 => (any(), any()).prop_map(|(provider, file)| Step::Confirm { provider, file }),
        2 => (any(), proptest::option::of(name())).prop_map(|(file, name)| Step::Restore { file, name }),
        2 => any().prop_map(|provider| Step::Remove { provider }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The rules once more, as plainly as they can be said.
#[derive(Debug, Default)]
struct Model {
    /// Name, and every key with whether it is backed up, oldest first.
    providers: BTreeMap<ProviderId, (String, Vec<(KeyId, bool)>)>,
    default: Option<ProviderId>,
}

impl Model {
    fn name_taken(&self, name: &str, except: Option<ProviderId>) -> bool {
        self.providers.iter().any(|(id, (other, _))| other == name && Some(*id) != except)
    }

    fn add(&mut self, id: ProviderId, name: String, keys: Vec<(KeyId, bool)>) {
        if self.providers.is_empty() {
            self.default = Some(id);
        }
        self.providers.insert(id, (name, keys));
    }
}

/// The catalog under test, the model, and the backup files that were made.
struct World {
    seal: RootKeySeal,
    catalog: Catalog,
    model: Model,
    files: Vec<Incoming>,
    clock: i64,
}

impl World {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Create { name } => self.create(&named(*name)),
            Step::Restore { file, name } => self.restore(*file, name.map(named).as_deref()),
            Step::Rename { provider, name } => self.with(*provider, |world, id| world.rename(id, &named(*name))),
            Step::SetDefault { provider } => self.with(*provider, Self::set_default),
            Step::Rotate { provider } => self.with(*provider, Self::rotate),
            Step::Backup { provider } => self.with(*provider, Self::backup),
            Step::Confirm { provider, file } => self.with(*provider, |world, id| world.confirm(id, *file)),
            Step::Remove { provider } => self.with(*provider, Self::remove),
        }
        self.check();
    }

    fn with(&mut self, pick: usize, act: impl FnOnce(&mut Self, ProviderId)) {
        let ids: Vec<_> = self.model.providers.keys().copied().collect();
        if !ids.is_empty() {
            act(self, ids[pick % ids.len()]);
        }
    }

    fn create(&mut self, name: &str) {
        let id = ProviderId::random();
        let version = self.version(id);
        let key = version.id;
        let created = version.created;
        let native = NativeRecord { tpm_required: false, versions: vec![version] };
        let record = ProviderRecord::native(id, parsed(name), created, native);
        let result = self.catalog.create(&record, &actor()).map_err(|problem| problem.code);
        if self.model.name_taken(name, None) {
            assert_eq!(result.err(), Some(ProblemCode::NameTaken));
        } else {
            assert_eq!(result.expect("a free name").len(), 1);
            self.model.add(id, name.to_owned(), vec![(key, false)]);
        }
    }

    fn rename(&mut self, id: ProviderId, name: &str) {
        let result = self.catalog.rename(id, &parsed(name), &actor()).map_err(|problem| problem.code);
        if self.model.name_taken(name, Some(id)) {
            assert_eq!(result.err(), Some(ProblemCode::NameTaken));
        } else {
            let known = self.model.providers.get_mut(&id).expect("picked");
            assert_eq!(result.expect("a free name").len(), usize::from(known.0 != name));
            known.0 = name.to_owned();
        }
    }

    fn set_default(&mut self, id: ProviderId) {
        let drafts = self.catalog.set_default(id, &actor()).expect("a known provider");
        assert_eq!(drafts.len(), usize::from(self.model.default != Some(id)));
        self.model.default = Some(id);
    }

    fn rotate(&mut self, id: ProviderId) {
        let version = self.version(id);
        let key = version.id;
        assert_eq!(self.catalog.rotate(id, version, Some(&actor())).expect("room").len(), 1);
        self.model.providers.get_mut(&id).expect("picked").1.push((key, false));
    }

    /// The file as a restore on any server would see it.
    fn backup(&mut self, id: ProviderId) {
        let record = &self.catalog.providers[&id];
        let proof = BackupProof { at: Timestamp::UNIX_EPOCH, has_password: true };
        let mut versions = record.as_native().expect("native").versions.clone();
        for version in &mut versions {
            version.backup = Some(proof);
        }
        let proved = Proved {
            provider: id,
            name: record.name.to_string(),
            tpm_required: false,
            exported_at: "2026-01-01T00:00:00Z".to_owned(),
            keys: versions.iter().map(|version| (version.id, version.fingerprint)).collect(),
            has_password: true,
        };
        self.files.push(Incoming { proved, versions });
    }

    fn confirm(&mut self, id: ProviderId, file: usize) {
        let Some(file) = pick(&self.files, file) else { return };
        let holds_all = file.proved.provider == id
            && self.model.providers[&id].1.iter().all(|(key, _)| file.proved.keys.contains_key(key));
        let result = self.catalog.confirm_backup(id, &file.proved, Timestamp::UNIX_EPOCH, &actor());
        if holds_all {
            assert_eq!(result.expect("a whole backup").len(), 1);
            for key in &mut self.model.providers.get_mut(&id).expect("picked").1 {
                key.1 = true;
            }
        } else {
            assert_eq!(result.map_err(|problem| problem.code).err(), Some(ProblemCode::BackupMismatch));
        }
    }

    fn restore(&mut self, file: usize, name: Option<&str>) {
        let Some(file) = pick(&self.files, file).cloned() else { return };
        let result = self.catalog.restore(&file, name.map(parsed).as_ref(), &actor());
        let result = result.map(|(outcome, _)| outcome).map_err(|problem| problem.code);
        if self.model.providers.contains_key(&file.proved.provider) {
            self.restore_known(&file, name, result);
        } else {
            let name = name.unwrap_or(&file.proved.name).to_owned();
            if self.model.name_taken(&name, None) {
                assert_eq!(result, Err(ProblemCode::NameTaken));
            } else {
                assert_eq!(result, Ok(Restored::Created));
                let keys = file.versions.iter().map(|version| (version.id, true)).collect();
                self.model.add(file.proved.provider, name, keys);
            }
        }
    }

    fn restore_known(&mut self, file: &Incoming, name: Option<&str>, result: Result<Restored, ProblemCode>) {
        let (known, keys) = self.model.providers.get_mut(&file.proved.provider).expect("known");
        if name.is_some_and(|name| name != known) {
            assert_eq!(result, Err(ProblemCode::BadRequest));
            return;
        }
        let missing: Vec<_> =
            file.versions.iter().filter(|version| keys.iter().all(|(key, _)| *key != version.id)).collect();
        let expected = if missing.is_empty() { Restored::AlreadySo } else { Restored::KeysAdded };
        assert_eq!(result, Ok(expected));
        keys.extend(missing.iter().map(|version| (version.id, true)));
        let created: BTreeMap<KeyId, Timestamp> = self.catalog.providers[&file.proved.provider]
            .as_native()
            .expect("native")
            .versions
            .iter()
            .map(|v| (v.id, v.created))
            .collect();
        keys.sort_by_key(|(key, _)| created[key]);
    }

    fn remove(&mut self, id: ProviderId) {
        assert_eq!(self.catalog.remove(id, &[], &actor()).expect("a known provider").len(), 1);
        self.model.providers.remove(&id);
        self.model.default.take_if(|default| *default == id);
    }

    fn version(&mut self, provider: ProviderId) -> VersionRecord {
        self.clock += 1;
        let created = Timestamp::from_second(self.clock).expect("in range");
        VersionRecord::seal(&self.seal, provider, KeyId::random(), &Kdk::generate(), created).expect("seals")
    }

    fn check(&self) {
        assert_eq!(self.catalog.default, self.model.default);
        let ours: Vec<_> = self.catalog.providers.keys().collect();
        assert_eq!(ours, self.model.providers.keys().collect::<Vec<_>>());
        assert!(ours.len() <= MOST_PROVIDERS);
        for (id, (name, keys)) in &self.model.providers {
            let record = &self.catalog.providers[id];
            assert_eq!(record.name.as_str(), name);
            let native = record.as_native().expect("native");
            let found: Vec<_> = native.versions.iter().map(|v| (v.id, v.backup.is_some())).collect();
            assert_eq!(&found, keys);
            let current = keys.iter().rev().find(|(_, backed_up)| *backed_up).map(|(key, _)| *key);
            assert_eq!(native.current().map(|version| version.id), current);
        }
    }
}

fn pick(files: &[Incoming], at: usize) -> Option<&Incoming> {
    files.get(at.checked_rem(files.len())?)
}

fn named(name: u8) -> String {
    format!("nkp-{name}")
}

fn parsed(name: &str) -> ProviderName {
    name.parse().expect("an allowed name")
}

fn actor() -> Actor {
    Actor { uid: 0, user: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn providers_live_by_the_rules(steps in steps()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let seal = RootKeySeal::create_key_file(&folder.path().join("root.key")).expect("a writable folder");
        let mut world =
            World { seal, catalog: Catalog::default(), model: Model::default(), files: vec![], clock: 0 };
        for step in &steps {
            world.take(step);
        }
    }
}

#[test]
fn a_different_key_under_a_known_id_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seal = RootKeySeal::create_key_file(&folder.path().join("root.key")).expect("a writable folder");
    let mut world = World { seal, catalog: Catalog::default(), model: Model::default(), files: vec![], clock: 0 };
    world.create("nkp");
    world.with(0, World::backup);
    let mut file = world.files.pop().expect("made");
    let id = file.proved.provider;
    let (key, added) = (file.versions[0].id, world.version(id));
    let now = Timestamp::UNIX_EPOCH;
    file.versions = vec![added, VersionRecord::seal(&world.seal, id, key, &Kdk::generate(), now).expect("seals")];
    let before = world.catalog.clone();
    let error = world.catalog.restore(&file, None, &actor()).expect_err("a different key");
    assert_eq!(error.code, ProblemCode::DifferentKey);
    assert_eq!(world.catalog, before);
}

#[test]
fn the_33rd_provider_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seal = RootKeySeal::create_key_file(&folder.path().join("root.key")).expect("a writable folder");
    let mut world = World { seal, catalog: Catalog::default(), model: Model::default(), files: vec![], clock: 0 };
    for at in 0..MOST_PROVIDERS {
        world.create(&format!("nkp-{at}"));
    }
    let (id, version) = (ProviderId::random(), world.version(ProviderId::random()));
    let name = parsed("one-more");
    let created = version.created;
    let record =
        ProviderRecord::native(id, name, created, NativeRecord { tpm_required: false, versions: vec![version] });
    let error = world.catalog.create(&record, &actor()).expect_err("full");
    assert_eq!(error.code, ProblemCode::TooManyProviders);
}
