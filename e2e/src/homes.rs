//! Many VM homes without disks, for what is done to all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use cadenas_api::{Client, RegisterVm};
use cadenas_image::{NoProgress, Tuning};
use cadenas_keys::{Backup, KeyId, KeyRing, ProviderId, VmId};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{
    Context, Definition, DefinitionError, EncryptPlan, Journal, Method, NoSteps, VmHome, Wipe, encrypt,
};

use crate::{BACKUP_PASSWORD, World};

/// As long as what libvirt gives for a VM with four disks.
const DOMAIN_XML_BYTES: usize = 6_000;

/// Homes of VMs that only have a configuration, wrapped under a provider's key and registered with a server.
pub struct ManyHomes {
    homes: Vec<PathBuf>,
}

impl ManyHomes {
    /// Makes `count` of them in a new folder of the datastore, under the provider whose backup this is.
    #[must_use]
    pub fn make(world: &World, backup: &Path, count: usize) -> Self {
        let (ring, provider, key) = ring_of(backup);
        let folder = world.libvirt.datastore().join("many");
        fs::create_dir(&folder).expect("a folder in our own");
        let cores = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            for first in 0..cores {
                let (ring, folder) = (&ring, &folder);
                scope.spawn(move || {
                    for at in (first..count).step_by(cores) {
                        make_one(folder, at, ring, provider, key);
                    }
                });
            }
        });
        let homes = (0..count).map(|at| home(&folder, at)).collect();
        let homes = Self { homes };
        homes.register(world);
        homes
    }

    /// The folder that they all lie in.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.homes[0].parent().expect("homes lie in a folder").to_owned()
    }

    /// How many VMs do not open with the keys of these backups, by an eye that shares nothing with the server.
    #[must_use]
    pub fn closed(&self, backups: &[&Path]) -> usize {
        let rings: Vec<KeyRing> = backups.iter().map(|backup| ring_of(backup).0).collect();
        let opens = |home: &&PathBuf| {
            let home = VmHome::open(home).expect("a descriptor that is whole");
            rings.iter().any(|ring| home.unlock(ring).is_ok())
        };
        self.homes.len() - self.homes.iter().filter(opens).count()
    }

    /// One of the descriptors, to see how large they are.
    #[must_use]
    pub fn a_descriptor(&self) -> Vec<u8> {
        let home = VmHome::open(&self.homes[0]).expect("a home");
        fs::read(home.descriptor_path()).expect("readable")
    }

    fn register(&self, world: &World) {
        let client = Client::new(world.cadenas.socket());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for path in &self.homes {
                client.register_vm(&RegisterVm { path: path.clone() }).await.expect("registered");
            }
        });
    }
}

fn home(folder: &Path, at: usize) -> PathBuf {
    folder.join(format!("vm{at:05}"))
}

fn make_one(folder: &Path, at: usize, ring: &KeyRing, provider: ProviderId, key: KeyId) {
    let name = format!("vm{at:05}");
    let plan = EncryptPlan {
        vm: VmId::random(),
        name: name.parse().expect("a name"),
        policy: "VM Encryption Policy".to_owned(),
        created: "2026-11-24T00:00:00Z".to_owned(),
        home: home(folder, at),
        domain_xml: format!("<domain>{}</domain>", " ".repeat(DOMAIN_XML_BYTES)),
        autostart: false,
        disks: vec![],
        provider,
        key,
        method: Method::Copy,
        wipe: Wipe::None,
    };
    let journal = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(journal.path()).expect("a journal");
    let context = Context {
        keyring: ring,
        journal: &journal,
        definition: &NoHypervisor,
        steps: &NoSteps,
        progress: &NoProgress,
        tuning: Tuning::default(),
    };
    encrypt(&plan, context).expect("encrypted");
}

/// A provider's keys out of its backup, and the one that encrypts.
fn ring_of(backup: &Path) -> (KeyRing, ProviderId, KeyId) {
    let password = SecretBytes::take_from(BACKUP_PASSWORD.as_bytes().to_vec());
    let backup = Backup::from_p12(&fs::read(backup).expect("a backup"), Some(&password)).expect("it opens");
    let ring = KeyRing::new();
    for key in backup.keys {
        ring.insert(backup.provider, key.id, key.kdk).expect("each key once");
    }
    (ring, backup.provider, backup.current)
}

struct NoHypervisor;

impl Definition for NoHypervisor {
    fn define(&self, _: VmId, _: &str, _: bool) -> Result<(), DefinitionError> {
        Ok(())
    }

    fn undefine(&self, _: VmId) -> Result<(), DefinitionError> {
        Ok(())
    }
}
