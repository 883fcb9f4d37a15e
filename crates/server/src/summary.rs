//! How it stands at a glance: the VMs counted, and what needs attention.

use std::sync::Arc;

use cadenas_api::{
    Attention, AttentionKind, Feature, KeyVersionState, NamedProvider, NamedVm, Padlock, PowerState, Problem, Provider,
    ProviderState, Severity, Summary, Vm, VmCounts,
};

use crate::{core::Core, features, providers, vms};

/// How it stands.
pub(crate) async fn summary(core: &Arc<Core>) -> Result<Summary, Problem> {
    let vms = vms::list(core).await?;
    let providers = providers::list_with(core, Ok(&vms)).await?;
    let features = features::list(core).await?;
    Ok(Summary {
        host: core.host.name(),
        tpm_protected: core.seal.hardware_bound(),
        vms: count(&vms),
        attention: attention(&vms, &providers, &features),
    })
}

fn count(vms: &[Vm]) -> VmCounts {
    let those = |is: fn(&Vm) -> bool| vms.iter().filter(|vm| is(vm)).count() as u64;
    VmCounts {
        total: those(|_| true),
        encrypted: those(|vm| vm.padlock == Padlock::Encrypted),
        locked: those(|vm| vm.padlock == Padlock::Locked),
        plain: those(|vm| vm.padlock == Padlock::None),
        running: those(|vm| vm.power == PowerState::Running),
        due: those(|vm| vm.due.is_some()),
    }
}

/// What needs attention, the worst first.
fn attention(vms: &[Vm], providers: &[Provider], features: &[Feature]) -> Vec<Attention> {
    let mut found: Vec<Attention> = of_providers(providers).chain(of_vms(vms)).collect();
    if features.iter().any(|feature| !feature.enabled) {
        found.push(about(AttentionKind::FeatureDisabled, Severity::Info, 1));
    }
    found.sort_by_key(|one| one.severity);
    found
}

fn of_providers(providers: &[Provider]) -> impl Iterator<Item = Attention> {
    let no_default = match providers {
        [] => Some(about(AttentionKind::NoProvider, Severity::Warning, 1)),
        some if some.iter().all(|provider| !provider.default) => {
            Some(about(AttentionKind::NoDefaultProvider, Severity::Warning, 1))
        }
        _ => None,
    };
    no_default.into_iter().chain(providers.iter().flat_map(of_provider))
}

fn of_provider(provider: &Provider) -> Vec<Attention> {
    let named = || Some(NamedProvider { id: provider.id, name: provider.name.to_string() });
    let about = |kind, severity, count| Attention { provider: named(), ..about(kind, severity, count) };
    let mut found = Vec::new();
    if !provider.alarms.is_empty() {
        found.push(about(AttentionKind::KeyAlarm, Severity::Danger, provider.alarms.len() as u64));
    }
    match provider.state {
        ProviderState::NotTrusted => found.push(about(AttentionKind::ProviderNotTrusted, Severity::Warning, 1)),
        ProviderState::Degraded => found.push(about(AttentionKind::ProviderDegraded, Severity::Warning, 1)),
        _ => {}
    }
    if provider.versions.first().is_some_and(|newest| newest.state == KeyVersionState::NotBackedUp) {
        found.push(about(AttentionKind::ProviderNotBackedUp, Severity::Danger, 1));
    }
    found
}

fn of_vms(vms: &[Vm]) -> impl Iterator<Item = Attention> {
    let those = |is: fn(&Vm) -> bool| vms.iter().filter(move |vm| is(vm));
    let locked = of_those(AttentionKind::VmLocked, Severity::Danger, those(|vm| vm.padlock == Padlock::Locked));
    let broken = of_those(AttentionKind::VmProblem, Severity::Danger, those(|vm| vm.problem.is_some()));
    let due = of_those(AttentionKind::RecryptDue, Severity::Warning, those(|vm| vm.due.is_some()));
    [locked, broken, due].into_iter().flatten()
}

fn of_those<'a>(kind: AttentionKind, severity: Severity, mut vms: impl Iterator<Item = &'a Vm>) -> Option<Attention> {
    let first = vms.next()?;
    let count = 1 + vms.count() as u64;
    let vm = (count == 1).then(|| NamedVm { id: first.id, name: first.name.clone() });
    Some(Attention { vm, ..about(kind, severity, count) })
}

fn about(kind: AttentionKind, severity: Severity, count: u64) -> Attention {
    Attention { kind, severity, count, provider: None, vm: None }
}
