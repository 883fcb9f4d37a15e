//! What re-encrypting many VMs would do: a function of what is known, without I/O.

use cadenas_api::{Padlock, PlannedStep, PlannedVm, RecryptPlan, Vm};
use cadenas_keys::ProviderId;

use crate::{
    kms::{self, Keks},
    providers::{Catalog, KindRecord, ProviderRecord},
};

/// A plan with the VMs that it is about.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) to: ProviderRecord,
    pub(crate) steps: Vec<(Vm, PlannedVm)>,
}

impl Plan {
    /// Whether any VM is to be re-encrypted.
    pub(crate) fn has_work(&self) -> bool {
        self.steps.iter().any(|(_, planned)| planned.step == PlannedStep::Recrypt)
    }

    /// Whether every VM is where it is to be.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.iter().all(|(_, planned)| planned.step == PlannedStep::AlreadySo)
    }

    /// As the API shows it.
    pub(crate) fn view(&self) -> RecryptPlan {
        let vms = self.steps.iter().map(|(_, planned)| planned.clone()).collect();
        RecryptPlan { to: self.to.id, to_name: self.to.name.to_string(), vms }
    }
}

/// What is to be done with each of `vms` that is wrapped under `from`, or under anything.
pub(super) fn plan(
    catalog: &Catalog,
    keks: &Keks,
    vms: Vec<Vm>,
    from: Option<ProviderId>,
    to: &ProviderRecord,
) -> Plan {
    let may_use = |vm: &Vm, from| !vm.keys_are_known() || vm.providers.iter().any(|used| used.id == from);
    let asked_for = |vm: &Vm| vm.padlock != Padlock::None && from.is_none_or(|from| may_use(vm, from));
    let mut steps: Vec<_> = vms.into_iter().filter(asked_for).map(|vm| (step(catalog, keks, &vm, to), vm)).collect();
    steps.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    Plan { to: to.clone(), steps: steps.into_iter().map(|(planned, vm)| (vm, planned)).collect() }
}

fn step(catalog: &Catalog, keks: &Keks, vm: &Vm, to: &ProviderRecord) -> PlannedVm {
    let reason = obstacle(catalog, vm);
    let step = match &reason {
        Some(_) => PlannedStep::Cannot,
        None if is_there(keks, vm, to) => PlannedStep::AlreadySo,
        None => PlannedStep::Recrypt,
    };
    PlannedVm { vm: vm.id, name: vm.name.clone(), step, reason }
}

/// Whether the VM is wrapped under the key that it would be wrapped under.
fn is_there(keks: &Keks, vm: &Vm, to: &ProviderRecord) -> bool {
    match &to.kind {
        KindRecord::Native(native) => {
            let current = native.current().map(|current| (to.id, current.id));
            vm.providers.iter().all(|used| Some((used.id, used.key)) == current)
        }
        KindRecord::Standard(_) => kms::present(to, vm, keks).is_some(),
    }
}

/// Why a VM cannot be re-encrypted now.
fn obstacle(catalog: &Catalog, vm: &Vm) -> Option<String> {
    if let Some(problem) = &vm.problem {
        return Some(problem.detail.clone());
    }
    let missing = catalog.out_of_reach(vm)?;
    Some(format!("it is locked: key {} of provider {} is missing", missing.key, missing.provider))
}

#[cfg(test)]
mod tests {
    use cadenas_api::{MissingKey, PowerState, Problem, ProblemCode, ProviderRef};
    use cadenas_keys::{Kdk, KeyId, VmId};
    use jiff::Timestamp;

    use super::*;
    use crate::providers::fixtures::{active, standard};

    fn vm(name: &str, providers: &[(ProviderId, KeyId)]) -> Vm {
        let fingerprint = Kdk::generate().fingerprint();
        let used = |(id, key): &(ProviderId, KeyId)| ProviderRef {
            id: *id,
            name: None,
            key: *key,
            fingerprint,
            kms_key: None,
            created: None,
            state: None,
        };
        Vm {
            id: VmId::random(),
            name: name.to_owned(),
            power: PowerState::Running,
            padlock: if providers.is_empty() { Padlock::None } else { Padlock::Encrypted },
            policy: String::new(),
            providers: providers.iter().map(used).collect(),
            home: None,
            disks: vec![],
            missing_keys: vec![],
            task: None,
            template: false,
            due: None,
            problem: None,
        }
    }

    fn steps(plan: &Plan) -> Vec<(&str, PlannedStep)> {
        plan.steps.iter().map(|(_, planned)| (planned.name.as_str(), planned.step)).collect()
    }

    #[test]
    fn only_encrypted_vms_under_the_named_provider_are_asked_for() {
        let (to, other) = (active("to", Timestamp::now()), ProviderId::random());
        let key = to.as_native().expect("native").newest().id;
        let vms = vec![vm("plain", &[]), vm("there", &[(to.id, key)]), vm("far", &[(other, KeyId::random())])];
        let all = plan(&Catalog::default(), &Keks::new(), vms.clone(), None, &to);
        assert_eq!(steps(&all), [("far", PlannedStep::Recrypt), ("there", PlannedStep::AlreadySo)]);
        let some = plan(&Catalog::default(), &Keks::new(), vms, Some(other), &to);
        assert_eq!(steps(&some), [("far", PlannedStep::Recrypt)]);
    }

    #[test]
    fn a_vm_whose_keys_are_not_known_may_use_any_provider_and_cannot() {
        let to = active("to", Timestamp::now());
        let problem = Some(Problem::new(ProblemCode::HomeUnfit, "the home of VM away is gone"));
        let away = Vm { padlock: Padlock::Locked, problem, ..vm("away", &[]) };
        let plan = plan(&Catalog::default(), &Keks::new(), vec![away], Some(ProviderId::random()), &to);
        assert_eq!(steps(&plan), [("away", PlannedStep::Cannot)]);
    }

    #[test]
    fn a_vm_that_is_half_there_is_not_there() {
        let to = active("to", Timestamp::now());
        let key = to.as_native().expect("native").newest().id;
        let half = vm("half", &[(to.id, key), (ProviderId::random(), KeyId::random())]);
        let plan = plan(&Catalog::default(), &Keks::new(), vec![half], None, &to);
        assert!(plan.has_work());
    }

    #[test]
    fn a_locked_vm_cannot_unless_a_key_server_keeps_what_it_lacks() {
        let (to, cluster) = (active("to", Timestamp::now()), standard("cluster"));
        let mut catalog = Catalog::default();
        catalog.providers.insert(cluster.id, cluster.clone());
        let lacking = |provider| {
            let key = KeyId::random();
            let missing_keys = vec![MissingKey { provider, key, kms_key: None }];
            Vm { padlock: Padlock::Locked, missing_keys, ..vm("vm", &[(provider, key)]) }
        };
        let plan_of = |vm| plan(&catalog, &Keks::new(), vec![vm], None, &to);
        let locked = plan_of(lacking(ProviderId::random()));
        assert_eq!(steps(&locked), [("vm", PlannedStep::Cannot)]);
        assert!(locked.steps[0].1.reason.as_ref().is_some_and(|reason| reason.contains("is missing")));
        assert_eq!(steps(&plan_of(lacking(cluster.id))), [("vm", PlannedStep::Recrypt)]);
    }

    #[test]
    fn a_vm_with_a_problem_cannot() {
        let to = active("to", Timestamp::now());
        let problem = Some(Problem::new(ProblemCode::HomeUnfit, "the descriptor is damaged"));
        let broken = Vm { problem, ..vm("vm", &[(to.id, KeyId::random())]) };
        let plan = plan(&Catalog::default(), &Keks::new(), vec![broken], None, &to);
        assert_eq!(steps(&plan), [("vm", PlannedStep::Cannot)]);
        assert!(!plan.has_work());
    }
}
