//! `cadenas report`

use std::collections::BTreeMap;

use cadenas_api::{KeyReport, Padlock, RecryptKind};

use super::{Ended, Result, provider::kind, vm::padlock};
use crate::{
    args::report::Command,
    output::{
        Look,
        csv::Csv,
        human::{count, days},
        table::Table,
    },
    session::Session,
};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    match command {
        Command::Keys => keys(session).await,
    }
}

async fn keys(session: &Session) -> Result {
    let report = session.client.key_report().await?;
    session.printer.show_or_csv(&report, table, csv)?;
    session.printer.remark(&summary(&report));
    Ok(Ended::Well)
}

fn table(report: &Vec<KeyReport>, look: &Look) -> String {
    let mut table = if look.wide {
        Table::new(["VM", "PADLOCK", "PROVIDER", "KIND", "KEK AGE", "DEK AGE", "DUE", "ID", "KEY", "KMS KEY"])
    } else {
        Table::new(["VM", "PADLOCK", "PROVIDER", "KIND", "KEK AGE", "DEK AGE", "DUE"])
    };
    for vm in report {
        let row = [
            vm.name.clone(),
            padlock(vm.padlock).to_owned(),
            vm.provider_name.clone().unwrap_or_else(|| vm.provider.to_string()),
            vm.kind.map_or("-", kind).to_owned(),
            vm.kek_age_seconds.map_or_else(dash, days),
            vm.dek_age_seconds.map_or_else(dash, days),
            due(vm),
        ];
        let kms_key = vm.kms_key.as_ref().map_or_else(dash, ToString::to_string);
        let more = [vm.vm.to_string(), vm.key.to_string(), kms_key];
        table.row(row.into_iter().chain(more.into_iter().take(if look.wide { 3 } else { 0 })));
    }
    table.text()
}

/// Every field of the API's report, under its name there. Ages are in seconds, moments in RFC 3339.
fn csv(report: &Vec<KeyReport>) -> String {
    let mut csv = Csv::new([
        "name",
        "vm",
        "padlock",
        "provider_name",
        "provider",
        "kind",
        "key",
        "kms_key",
        "kek_created",
        "kek_age_seconds",
        "dek_created",
        "dek_age_seconds",
        "due",
        "due_reason",
    ]);
    for vm in report {
        csv.record([
            vm.name.clone(),
            vm.vm.to_string(),
            padlock_code(vm.padlock).to_owned(),
            vm.provider_name.clone().unwrap_or_default(),
            vm.provider.to_string(),
            vm.kind.map_or("", kind).to_owned(),
            vm.key.to_string(),
            text(vm.kms_key.as_ref()),
            text(vm.kek_created),
            text(vm.kek_age_seconds),
            text(vm.dek_created),
            text(vm.dek_age_seconds),
            vm.due.as_ref().map_or("", |due| recrypt_kind(due.kind)).to_owned(),
            text(vm.due.as_ref().map(|due| &due.reason)),
        ]);
    }
    csv.text()
}

/// A VM between two keys has two lines, and counts once.
fn summary(report: &[KeyReport]) -> String {
    let vms: BTreeMap<_, _> = report.iter().map(|line| (line.vm, line)).collect();
    let due = |kind| vms.values().filter(|vm| vm.due.as_ref().is_some_and(|due| due.kind == kind)).count();
    format!(
        "{}: a shallow recrypt is due for {}, a deep one for {}",
        count(vms.len(), "encrypted VM"),
        due(RecryptKind::Shallow),
        due(RecryptKind::Deep)
    )
}

fn due(vm: &KeyReport) -> String {
    vm.due.as_ref().map_or_else(dash, |due| format!("{}: {}", recrypt_kind(due.kind), due.reason))
}

fn recrypt_kind(kind: RecryptKind) -> &'static str {
    match kind {
        RecryptKind::Shallow => "shallow",
        RecryptKind::Deep => "deep",
    }
}

/// As the API writes it.
fn padlock_code(padlock: Padlock) -> &'static str {
    match padlock {
        Padlock::None => "none",
        Padlock::Encrypted => "encrypted",
        Padlock::Locked => "locked",
    }
}

/// Nothing is an empty field.
fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn dash() -> String {
    "-".to_owned()
}
