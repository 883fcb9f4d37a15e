//! VMs as the API shows them.

use std::{collections::BTreeSet, path::Path};

use cadenas_api::{DATASTORE_DEFAULT, Disk, MissingKey, Padlock, PowerState as ApiPower, Problem, ProviderRef, Vm};
use cadenas_hypervisor::{DeviceKind, DiskDevice, DiskSource, DomainSummary, DomainXml, PowerState};
use cadenas_image::{Access, File, ImageInfo, inspect};
use cadenas_keys::{Fingerprint, KeyId, KeySafe, NeededKey, ProviderId, VmId};
use cadenas_vmhome::{DiskEntry, VmHome};

use crate::{
    inventory::Entry,
    local::Inner,
    locate::{Located, unreadable},
    problem::{from_unlock, interrupted},
    seen::Sources,
};

impl Inner {
    /// One VM.
    pub(crate) fn vm(&self, id: VmId) -> Result<Vm, Problem> {
        let located = self.locate(id)?;
        let domain = self.domain(id)?;
        let mut vm = self.show(located, domain.as_ref(), &mut Sources::none());
        self.show_interruption(&mut vm);
        Ok(vm)
    }

    /// A VM but for what was interrupted. `sources` has what was read before, and gets what is read here.
    pub(crate) fn show(&self, located: Located, domain: Option<&DomainSummary>, sources: &mut Sources) -> Vm {
        match located {
            Located::Home(home) => self.show_home(&home, domain, sources),
            Located::Unreadable(entry, error) => {
                sources.doubt();
                show_unreadable(&entry, domain, unreadable(&entry, &error))
            }
            Located::Domain(domain) => {
                sources.doubt();
                self.show_domain(&domain)
            }
        }
    }

    /// Adds that a transition of the VM was interrupted, if that is so.
    pub(crate) fn show_interruption(&self, vm: &mut Vm) {
        if let Ok(Some(record)) = self.journal.find(vm.id)
            && self.claims.claim(vm.id).is_some()
        {
            vm.problem = Some(interrupted(&record, &self.keys));
            let lacks = |(provider, key): &&(ProviderId, KeyId)| !self.keys.has(*provider, *key);
            let missing =
                |(provider, key): &(ProviderId, KeyId)| MissingKey { provider: *provider, key: *key, kms_key: None };
            vm.missing_keys.extend(record.keys().iter().filter(lacks).map(missing));
            // Half rewritten: it is neither plain nor anybody's to open without that key.
            if !vm.missing_keys.is_empty() {
                vm.padlock = Padlock::Locked;
            }
        }
    }

    fn show_home(&self, home: &VmHome, domain: Option<&DomainSummary>, sources: &mut Sources) -> Vm {
        sources.add(&home.descriptor_path());
        let missing = home.missing_keys(&self.keys);
        let mut disks: Vec<Disk> = home.disks().iter().map(|disk| show_encrypted_disk(home, disk, sources)).collect();
        let mut problem = None;
        if missing.is_empty() {
            match home.unlock(&self.keys) {
                Ok(unlocked) => disks.extend(plain_disks_beside(unlocked.domain_xml(), &disks, sources)),
                Err(error) => problem = Some(from_unlock(&error)),
            }
        }
        Vm {
            id: home.vm(),
            name: home.name().as_str().to_owned(),
            power: power(domain),
            padlock: if missing.is_empty() { Padlock::Encrypted } else { Padlock::Locked },
            policy: home.header().policy.clone(),
            providers: providers(home.key_safe()),
            home: Some(home.path().to_owned()),
            disks,
            missing_keys: missing.into_iter().map(MissingKey::from).collect(),
            task: None,
            template: false,
            due: None,
            problem,
        }
    }

    /// A plain VM.
    pub(crate) fn show_domain(&self, domain: &DomainSummary) -> Vm {
        let xml = self.hypervisor.definition(domain.uuid).ok().and_then(|xml| DomainXml::parse(&xml).ok());
        let disks = xml.iter().flat_map(DomainXml::disks).filter(|disk| is_hard_disk(disk));
        let disks = disks.map(|disk| show_plain_disk(disk, &mut Sources::none()));
        Vm {
            id: domain.uuid.into(),
            name: domain.name.clone(),
            power: power(Some(domain)),
            padlock: Padlock::None,
            policy: DATASTORE_DEFAULT.to_owned(),
            providers: Vec::new(),
            home: None,
            disks: disks.collect(),
            missing_keys: Vec::new(),
            task: None,
            template: false,
            due: None,
            problem: None,
        }
    }
}

/// The keys that a key safe needs, each with its fingerprint.
pub(crate) fn providers(key_safe: &KeySafe) -> Vec<ProviderRef> {
    let keys: BTreeSet<_> = key_safe.entries().iter().map(|entry| (entry.needs(), entry.fingerprint)).collect();
    keys.into_iter().map(|(needed, fingerprint)| provider_ref(needed, fingerprint)).collect()
}

/// A key as the host knows it; the server knows its age and its provider's name.
pub(crate) fn provider_ref(needed: NeededKey, fingerprint: Fingerprint) -> ProviderRef {
    let NeededKey { provider: id, key, kms_key } = needed;
    ProviderRef { id, name: None, key, fingerprint, kms_key, created: None, state: None }
}

fn show_unreadable(entry: &Entry, domain: Option<&DomainSummary>, problem: Problem) -> Vm {
    Vm {
        id: entry.vm,
        name: entry.name.clone(),
        power: domain.map_or(ApiPower::Unknown, |domain| power(Some(domain))),
        padlock: Padlock::Locked,
        policy: String::new(),
        providers: Vec::new(),
        home: Some(entry.home.clone()),
        disks: Vec::new(),
        missing_keys: Vec::new(),
        task: None,
        template: false,
        due: None,
        problem: Some(problem),
    }
}

fn show_encrypted_disk(home: &VmHome, disk: &DiskEntry, sources: &mut Sources) -> Disk {
    let path = home.disk_path(disk);
    let info = look_at(&path, sources);
    Disk {
        target: disk.target.clone(),
        source: path.display().to_string(),
        format: disk.format.to_string(),
        size: info.as_ref().map(|info| info.virtual_size),
        encrypted: true,
        cipher: info.and_then(|info| info.encryption).map(|encryption| encryption.cipher),
        key_created: home.header().created.parse().ok(),
    }
}

/// The hard disks of an encrypted VM that stayed plain.
fn plain_disks_beside(xml: &str, encrypted: &[Disk], sources: &mut Sources) -> Vec<Disk> {
    let Ok(xml) = DomainXml::parse(xml) else { return Vec::new() };
    let stayed_plain = |disk: &&DiskDevice| is_hard_disk(disk) && encrypted.iter().all(|one| one.target != disk.target);
    xml.disks().iter().filter(stayed_plain).map(|disk| show_plain_disk(disk, sources)).collect()
}

fn show_plain_disk(disk: &DiskDevice, sources: &mut Sources) -> Disk {
    let (source, info) = match &disk.source {
        DiskSource::File(path) => (path.display().to_string(), look_at(path, sources)),
        DiskSource::Block(path) => (path.display().to_string(), None),
        DiskSource::Network { protocol } => (format!("network disk ({protocol})"), None),
        DiskSource::Volume { pool, volume } => (format!("{pool}/{volume}"), None),
        DiskSource::Other(kind) => (kind.clone(), None),
        DiskSource::None => (String::new(), None),
    };
    let format = disk.driver_format.clone().unwrap_or_else(|| "raw".to_owned());
    // A raw disk is what libvirt says it is, whatever its guest wrote in its first sectors.
    let size = info.filter(|info| info.format.to_string() == format).map(|info| info.virtual_size);
    Disk { target: disk.target.clone(), source, format, size, encrypted: false, cipher: None, key_created: None }
}

fn look_at(path: &Path, sources: &mut Sources) -> Option<ImageInfo> {
    sources.add(path);
    let info = File::open(path, Access::Read).and_then(|file| inspect(&file)).ok();
    if info.is_none() {
        sources.doubt();
    }
    info
}

fn is_hard_disk(disk: &DiskDevice) -> bool {
    matches!(disk.device, DeviceKind::Disk | DeviceKind::Lun)
}

/// The power of an encrypted VM, whose domain is there only while it runs.
pub(crate) fn power(domain: Option<&DomainSummary>) -> ApiPower {
    match domain.map_or(PowerState::Off, |domain| domain.state) {
        PowerState::Off => ApiPower::Off,
        PowerState::Running => ApiPower::Running,
        PowerState::Paused => ApiPower::Paused,
        PowerState::Other(_) => ApiPower::Other,
    }
}
