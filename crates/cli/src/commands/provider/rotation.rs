//! `cadenas provider rotate`, `set-rotation` and `mark-compromised`

use cadenas_api::{CompromiseReport, Provider, ProviderKind, SetRotation};

use super::show::schedule;
use crate::{
    args::rotation::{MarkCompromised, SetRotation as Args},
    commands::Result,
    output::{
        Look,
        human::{harmless, shell_word},
        table::Table,
    },
    session::Session,
};

pub(super) async fn rotate(session: &Session, provider: &str) -> Result {
    session.change(session.client.rotate_provider(provider), rotated).await
}

pub(super) async fn set(session: &Session, args: Args) -> Result {
    let request = SetRotation { every_days: args.schedule.every_days };
    let sentence = |provider: &Provider| scheduled(provider, session.printer.look());
    session.change(session.client.set_rotation(&args.provider, &request), sentence).await
}

pub(super) async fn mark_compromised(session: &Session, args: &MarkCompromised) -> Result {
    session.show(session.client.mark_compromised(&args.key.to_string()), exposed).await
}

fn rotated(provider: &Provider) -> String {
    let name = &provider.name;
    match provider.kind {
        ProviderKind::Native => format!(
            "{name} has a new key. It encrypts once it is backed up, and the VMs of {name} are then moved to it:\n  cadenas provider backup {name} --out {name}-{}.p12",
            provider.versions.len()
        ),
        ProviderKind::Standard => format!(
            "The VMs of {name} get new keys from its key servers, in the background. See how far that is:\n  \
             cadenas report keys"
        ),
    }
}

fn scheduled(provider: &Provider, look: &Look) -> String {
    let name = &provider.name;
    match (provider.rotation, provider.kind) {
        (None, _) => format!("{name} is rotated only when asked"),
        (Some(rotation), ProviderKind::Standard) => format!("{name} is rotated {}", schedule(rotation, look)),
        (Some(rotation), ProviderKind::Native) => {
            format!("{name} is rotated {}; each new key encrypts once it is backed up", schedule(rotation, look))
        }
    }
}

/// Which VMs are to be encrypted anew, with the command for each.
fn exposed(report: &CompromiseReport, _look: &Look) -> String {
    let provider = report.provider_name.clone().unwrap_or_else(|| report.provider.to_string());
    let marked = format!("Key {} of {provider} is marked as compromised: it encrypts nothing any more.", report.key);
    let marked = harmless(&marked);
    if report.vms.is_empty() {
        return format!("{marked}\nNo VM has data keys that it opens.");
    }
    let mut table = Table::new(["VM", "WRAPPED BY IT", "RUN"]);
    for vm in &report.vms {
        let still = if vm.still { "now" } else { "before" };
        let command = format!("cadenas vm recrypt --deep {}", shell_word(&vm.name));
        table.row([vm.name.clone(), still.to_owned(), command]);
    }
    format!(
        "{marked}\nWhoever has it and a copy of these VMs can read them, until each has new data keys under another\n\
         key. A VM must be off for that:\n\n{}",
        table.text()
    )
}
