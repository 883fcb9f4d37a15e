//! How VMs look.

use std::iter;

use cadenas_api::{
    Disk, KmsKeyState, MissingKey, ObjectVerdict, Padlock, Problem, ProviderRef, RecryptDue, RecryptKind, Vm,
};
use jiff::Timestamp;

use crate::output::{
    Look,
    human::{age, shell_word, size},
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
    if vm.template {
        fields.push(("Template", "yes: it does not start".to_owned()));
    }
    fields.extend(vm.providers.iter().flat_map(|provider| key(provider, look)));
    fields.extend(oldest_data_key(vm).map(|created| ("DEK age", age(created, look.now))));
    fields.extend(vm.due.iter().map(|due| ("Due", due_command(vm, due))));
    fields.extend(vm.missing_keys.iter().map(|missing| ("Lacks", lacks(missing))));
    fields.extend(vm.home.iter().map(|home| ("Home", home.display().to_string())));
    fields.extend(vm.task.map(|task| ("Task", task.to_string())));
    fields.extend(vm.problem.iter().flat_map(problem));
    let fields = Table::fields(fields).text();
    if vm.disks.is_empty() { fields } else { format!("{fields}\n\n{}", disks(&vm.disks, look)) }
}

fn problem(problem: &Problem) -> Vec<(&'static str, String)> {
    let next = problem.next.iter().map(|next| ("Next", next.clone()));
    iter::once(("Problem", problem.detail.clone())).chain(next).collect()
}

/// The key that wraps the VM's data keys, as its provider knows it.
fn key(provider: &ProviderRef, look: &Look) -> Vec<(&'static str, String)> {
    let name = provider.name.as_deref().unwrap_or("unknown here");
    let kind = if provider.kms_key.is_some() { "standard" } else { "native" };
    let mut fields = vec![
        ("Provider", format!("{name} ({}), {kind}", provider.id)),
        ("Key", format!("{}, fingerprint {}", provider.key, provider.fingerprint)),
    ];
    fields.extend(provider.kms_key.as_ref().map(|id| ("KMS key", format!("{id}{}", bad_state(provider)))));
    fields.extend(provider.created.map(|created| ("KEK age", age(created, look.now))));
    fields
}

/// An active key needs no words.
fn bad_state(provider: &ProviderRef) -> String {
    match provider.state {
        None | Some(KmsKeyState::Active) => String::new(),
        Some(state) => format!(", {} in the key server", state.to_string().to_uppercase()),
    }
}

fn oldest_data_key(vm: &Vm) -> Option<Timestamp> {
    vm.disks.iter().filter_map(|disk| disk.key_created).min()
}

/// Why, and the command, which keeps the VM with its provider.
fn due_command(vm: &Vm, due: &RecryptDue) -> String {
    let deep = match due.kind {
        RecryptKind::Shallow => "",
        RecryptKind::Deep => " --deep",
    };
    let provider = match vm.providers.as_slice() {
        [ProviderRef { name: Some(name), .. }] => format!(" --provider {name}"),
        _ => String::new(),
    };
    format!("{}: `cadenas vm recrypt{deep} {}{provider}`", due.reason, shell_word(&vm.name))
}

fn lacks(missing: &MissingKey) -> String {
    let named = missing.kms_key.as_ref().map(|name| format!(", which its key server names {name}"));
    format!("key {} of provider {}{}", missing.key, missing.provider, named.unwrap_or_default())
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
pub(in crate::commands) fn padlock(padlock: Padlock) -> &'static str {
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
