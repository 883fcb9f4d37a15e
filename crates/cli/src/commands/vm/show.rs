//! How VMs look.

use cadenas_api::{Disk, ObjectVerdict, Padlock, ProviderRef, Vm};

use crate::output::{
    Look,
    human::{age, size},
    table::Table,
};

pub(super) fn list(vms: &Vec<Vm>, look: &Look) -> String {
    let mut table = if look.wide {
        Table::new(["VM", "PADLOCK", "POWER", "PROVIDER", "POLICY", "DISKS", "SIZE", "ID", "KEY", "HOME"])
    } else {
        Table::new(["VM", "PADLOCK", "POWER", "PROVIDER", "POLICY", "DISKS", "SIZE"])
    };
    for vm in vms {
        let row = [
            vm.name.clone(),
            padlock_column(vm, look),
            vm.power.to_string(),
            providers(vm, provider_name),
            vm.policy.clone(),
            vm.disks.len().to_string(),
            total_size(vm),
        ];
        let more = [vm.id.to_string(), providers(vm, |provider| provider.key.to_string()), home(vm)];
        table.row(row.into_iter().chain(more.into_iter().take(if look.wide { 3 } else { 0 })));
    }
    table.text()
}

pub(super) fn detail(vm: &Vm, look: &Look) -> String {
    let mut fields = vec![
        ("VM", vm.name.clone()),
        ("ID", vm.id.to_string()),
        ("Power", vm.power.to_string()),
        ("Padlock", padlock_column(vm, look)),
        ("Policy", vm.policy.clone()),
    ];
    for provider in &vm.providers {
        let name = provider.name.as_deref().unwrap_or("unknown here");
        fields.push(("Provider", format!("{name} ({})", provider.id)));
        fields.push(("Key", format!("{}, fingerprint {}", provider.key, provider.fingerprint)));
    }
    for missing in &vm.missing_keys {
        fields.push(("Lacks", format!("key {} of provider {}", missing.key, missing.provider)));
    }
    fields.extend(vm.home.iter().map(|home| ("Home", home.display().to_string())));
    fields.extend(vm.task.map(|task| ("Task", task.to_string())));
    fields.extend(vm.problem.iter().map(|problem| ("Problem", problem.clone())));
    let fields = Table::fields(fields).text();
    if vm.disks.is_empty() { fields } else { format!("{fields}\n\n{}", disks(&vm.disks, look)) }
}

pub(super) fn verdicts(objects: &[ObjectVerdict]) -> String {
    let mut table = Table::new(["OBJECT", "ENCRYPTED", "PROVIDER", "KEY", "FOUND"]);
    for object in objects {
        let found = match &object.problem {
            Some(problem) => format!("PROBLEM: {problem} ({})", object.detail),
            None => object.detail.clone(),
        };
        table.row([
            object.object.clone(),
            yes_or_no(object.encrypted),
            object.key.as_ref().map_or_else(dash, provider_name_or_id),
            object.key.as_ref().map_or_else(dash, |provider| provider.key.to_string()),
            found,
        ]);
    }
    table.text()
}

/// The padlock in words.
pub(super) fn padlock(padlock: Padlock) -> &'static str {
    match padlock {
        Padlock::None => "not encrypted",
        Padlock::Encrypted => "encrypted",
        Padlock::Locked => "locked",
    }
}

fn padlock_column(vm: &Vm, look: &Look) -> String {
    let column = match (vm.padlock, look.symbols) {
        (Padlock::Encrypted, true) => "🔒 encrypted",
        (Padlock::Encrypted, false) => "encrypted",
        (Padlock::Locked, true) => "⚠  locked",
        (Padlock::Locked, false) => "locked",
        (Padlock::None, true) => "–",
        (Padlock::None, false) => "-",
    };
    column.to_owned()
}

fn disks(disks: &[Disk], look: &Look) -> String {
    let mut table = Table::new(["DISK", "SIZE", "FORMAT", "ENCRYPTED", "CIPHER", "KEY AGE", "SOURCE"]);
    for disk in disks {
        table.row([
            disk.target.clone(),
            disk.size.map_or_else(dash, size),
            disk.format.clone(),
            yes_or_no(disk.encrypted),
            disk.cipher.clone().unwrap_or_else(dash),
            disk.key_created.map_or_else(dash, |created| age(created, look.now)),
            disk.source.clone(),
        ]);
    }
    table.text()
}

/// What is known of the disks' sizes, together.
fn total_size(vm: &Vm) -> String {
    let known: Vec<u64> = vm.disks.iter().filter_map(|disk| disk.size).collect();
    if known.is_empty() { dash() } else { size(known.into_iter().fold(0, u64::saturating_add)) }
}

fn providers(vm: &Vm, shown: impl Fn(&ProviderRef) -> String) -> String {
    if vm.providers.is_empty() { dash() } else { vm.providers.iter().map(shown).collect::<Vec<_>>().join(",") }
}

/// Verdicts come from the host, which knows providers by their IDs.
fn provider_name_or_id(provider: &ProviderRef) -> String {
    provider.name.clone().unwrap_or_else(|| provider.id.to_string())
}

/// Its name, or the beginning of its ID where the server does not know it.
fn provider_name(provider: &ProviderRef) -> String {
    const ENOUGH: usize = 8;
    provider.name.clone().unwrap_or_else(|| format!("unknown:{}", &provider.id.to_string()[..ENOUGH]))
}

fn home(vm: &Vm) -> String {
    vm.home.as_ref().map_or_else(dash, |home| home.display().to_string())
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn dash() -> String {
    "-".to_owned()
}
