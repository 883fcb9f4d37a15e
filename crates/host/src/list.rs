//! Every VM of this host.

use std::{collections::HashMap, sync::Arc};

use cadenas_api::{Problem, Vm};
use cadenas_hypervisor::DomainSummary;
use cadenas_keys::VmId;

use crate::{
    cores::on_all_cores,
    inventory::{self, InventoryError},
    local::Inner,
    locate::open,
    problem::{from_hypervisor, from_inventory},
    seen::{Known, Sources, View},
    view::power,
};

impl Inner {
    /// Every VM, by name.
    pub(crate) fn vms(&self) -> Result<Vec<Vm>, Problem> {
        let domains = self.hypervisor.domains().map_err(|error| from_hypervisor(&error))?;
        let domains: HashMap<VmId, _> = domains.into_iter().map(|domain| (domain.uuid.into(), domain)).collect();
        let views = self.views(&domains).map_err(|error| from_inventory(&error))?;
        let mut vms = merged(&views, self.plain(&views, &domains), &domains);
        let interrupted = self.journal.vms().unwrap_or_default();
        vms.iter_mut().filter(|vm| interrupted.contains(&vm.id)).for_each(|vm| self.show_interruption(vm));
        Ok(vms)
    }

    /// The inventory's, by name. A home that nothing changed since the last listing is not opened again.
    fn views(&self, domains: &HashMap<VmId, DomainSummary>) -> Result<Vec<Arc<View>>, InventoryError> {
        let (folder, known) = self.seen.entries(&self.inventory)?;
        let views = on_all_cores(&known, |known| self.look(known, domains).transpose());
        let mut views: Vec<Arc<View>> = views.into_iter().flatten().collect::<Result<_, _>>()?;
        views.sort_by(|one, other| by_name(one.vm()).cmp(&by_name(other.vm())));
        self.seen.replace(folder, views.clone());
        Ok(views)
    }

    /// Those that only libvirt has, by name.
    fn plain(&self, views: &[Arc<View>], domains: &HashMap<VmId, DomainSummary>) -> Vec<Vm> {
        let mut plain = domains.clone();
        for view in views {
            plain.remove(&view.vm().id);
        }
        let plain: Vec<DomainSummary> = plain.into_values().collect();
        let mut plain = on_all_cores(&plain, |domain| self.show_domain(domain));
        plain.sort_by(|one, other| by_name(one).cmp(&by_name(other)));
        plain
    }

    /// What one of the inventory's files shows; `None` if it has left the inventory meanwhile.
    fn look(&self, known: &Known, domains: &HashMap<VmId, DomainSummary>) -> Result<Option<Arc<View>>, InventoryError> {
        if let Some(view) = known.view(&self.keys) {
            return Ok(Some(Arc::clone(view)));
        }
        let mut sources = Sources::none();
        sources.add(known.file());
        let Some(entry) = inventory::read(known.file())? else { return Ok(None) };
        sources.add(&entry.home);
        let domain = domains.get(&entry.vm);
        let vm = self.show(open(entry.vm, entry).or_plain(domain), domain, &mut sources);
        Ok(Some(Arc::new(sources.view(known.file(), vm))))
    }
}

/// Both by name. Each VM is large: it is put in its place at once.
fn merged(views: &[Arc<View>], plain: Vec<Vm>, domains: &HashMap<VmId, DomainSummary>) -> Vec<Vm> {
    let mut vms = Vec::with_capacity(views.len() + plain.len());
    let mut plain = plain.into_iter().peekable();
    for view in views {
        while let Some(vm) = plain.next_if(|vm| by_name(vm) < by_name(view.vm())) {
            vms.push(vm);
        }
        vms.push(as_of_now(view, domains));
    }
    vms.extend(plain);
    vms
}

/// A view knows no power but that of the listing that looked.
fn as_of_now(view: &View, domains: &HashMap<VmId, DomainSummary>) -> Vm {
    let mut vm = view.vm().clone();
    if view.may_be_shown_again() {
        vm.power = power(domains.get(&vm.id));
    }
    vm
}

fn by_name(vm: &Vm) -> (&str, VmId) {
    (&vm.name, vm.id)
}

#[cfg(test)]
mod tests {
    use cadenas_api::{DiskWork, Host as _, Padlock, TaskProgress, VM_ENCRYPTION_POLICY, VmOperation, Wipe};
    use cadenas_hypervisor::{Hypervisor, memory::MemoryHypervisor};
    use cadenas_keys::{Kdk, KeyId, ProviderId};

    use super::*;
    use crate::{LocalHost, stamp::tests::settle};

    impl LocalHost {
        fn views(&self) -> Vec<Arc<View>> {
            let (_, known) = self.0.seen.entries(&self.0.inventory).expect("listed");
            known.iter().filter_map(|known| known.view(&self.0.keys).cloned()).collect()
        }
    }

    fn is_same(one: &[Arc<View>], other: &[Arc<View>]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    #[tokio::test]
    async fn a_home_that_nothing_changed_is_not_opened_again_and_one_that_left_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let libvirt = Arc::new(MemoryHypervisor::new());
        let host = LocalHost::open(&folder.path().join("data"), Arc::clone(&libvirt) as Arc<dyn Hypervisor>);
        let (host, vm) = (host.expect("opened"), VmId::random());
        let (provider, key) = (ProviderId::random(), KeyId::random());
        host.0.keys.insert(provider, key, Kdk::generate()).expect("the first");
        let xml = format!("<domain type='qemu'><name>web01</name><uuid>{vm}</uuid><os><type>hvm</type></os></domain>");
        libvirt.define(&xml, false).expect("defined");
        let encryption = VmOperation::Encrypt {
            policy: VM_ENCRYPTION_POLICY.to_owned(),
            provider,
            key,
            disks: Vec::new(),
            home: Some(folder.path().join("web01")),
            format: None,
            work: DiskWork::default(),
            wipe: Wipe::None,
        };
        host.run(vm, encryption, Arc::new(TaskProgress::default())).await.expect("encrypted");

        host.0.vms().expect("listed");
        assert!(host.views().is_empty(), "what changed a moment ago may change again unseen");
        settle();
        assert!(host.0.vms().is_ok_and(|vms| vms[0].padlock == Padlock::Encrypted));
        let seen = host.views();
        assert_eq!(seen.len(), 1);
        host.0.vms().expect("listed");
        assert!(is_same(&seen, &host.views()));
        host.0.keys.remove(provider, key);
        assert!(host.views().is_empty());
        assert!(host.0.vms().is_ok_and(|vms| vms[0].padlock == Padlock::Locked));
        assert!(!is_same(&seen, &host.views()));
        host.unregister(vm).await.expect("dropped");
        assert!(host.0.vms().is_ok_and(|vms| vms.is_empty()));
        let views = Arc::downgrade(&seen[0]);
        drop(seen);
        assert!(views.upgrade().is_none());
    }
}
