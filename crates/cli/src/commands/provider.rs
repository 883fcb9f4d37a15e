//! `cadenas provider`

use std::io::{self, BufRead, IsTerminal, Write};

use cadenas_api::{
    CreateProvider, DeleteProvider, KeyVersion, KeyVersionState, Provider, ProviderState, RenameProvider,
};

use super::{Result, backup};
use crate::{
    args::provider::{Command, Rm},
    error::Failure,
    output::{
        Look,
        human::{age, time_and_age},
        table::Table,
    },
    session::Session,
};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    let client = &session.client;
    match command {
        Command::Create(args) => {
            let request = CreateProvider { name: args.name, tpm_required: args.tpm_required };
            session.change(client.create_provider(&request), created).await
        }
        Command::Ls => session.show(client.providers(), list).await,
        Command::Show(args) => session.show(client.provider(&args.provider), detail).await,
        Command::Rename(args) => {
            let renamed = |provider: &Provider| format!("{} is now {}", args.provider, provider.name);
            let request = RenameProvider { name: args.name };
            session.change(client.rename_provider(&args.provider, &request), renamed).await
        }
        Command::SetDefault(args) => session.change(client.set_default_provider(&args.provider), made_default).await,
        Command::Rotate(args) => session.change(client.rotate_provider(&args.provider), rotated).await,
        Command::Rm(args) => remove(session, args).await,
        Command::Backup(args) => backup::make(session, &args).await,
        Command::VerifyBackup(args) => backup::verify(session, &args).await,
        Command::Restore(args) => backup::restore(session, &args).await,
    }
}

async fn remove(session: &Session, args: Rm) -> Result {
    let Rm { provider, force, confirm } = args;
    let confirm = match confirm {
        None if force => Some(typed_again(&provider)?),
        given => given,
    };
    let removed = |provider: &Provider| format!("{} is removed", provider.name);
    session.change(session.client.delete_provider(&provider, &DeleteProvider { force, confirm }), removed).await
}

/// Asks for the name once more; the server compares it too.
fn typed_again(name: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Failure::NobodyToConfirm { name: name.to_owned() });
    }
    let mut prompt = io::stderr().lock();
    write!(prompt, "VMs that use it will be locked. Type the provider's name again to remove it: ")?;
    prompt.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    match typed.trim() {
        "" => Err(Failure::NotConfirmed),
        typed => Ok(typed.to_owned()),
    }
}

fn created(provider: &Provider) -> String {
    format!(
        "{0} is made ({1}). It encrypts nothing until it is backed up:\n  cadenas provider backup {0} --out {0}.p12",
        provider.name, provider.id
    )
}

fn made_default(provider: &Provider) -> String {
    format!("{} is the default key provider", provider.name)
}

fn rotated(provider: &Provider) -> String {
    format!(
        "{0} has a new key. It encrypts once it is backed up:\n  cadenas provider backup {0} --out {0}-{1}.p12",
        provider.name,
        provider.versions.len()
    )
}

fn list(providers: &Vec<Provider>, look: &Look) -> String {
    let mut table = if look.wide {
        Table::new(["PROVIDER", "STATE", "DEFAULT", "VMS", "KEY AGE", "BACKUP", "TPM", "ID", "KEY"])
    } else {
        Table::new(["PROVIDER", "STATE", "DEFAULT", "VMS", "KEY AGE", "BACKUP", "TPM"])
    };
    for provider in providers {
        let row = [
            provider.name.to_string(),
            state(provider.state).to_owned(),
            if provider.default { "*" } else { "" }.to_owned(),
            provider.vms.to_string(),
            provider.versions.first().map_or_else(dash, |newest| age(newest.created, look.now)),
            provider.versions.first().map_or_else(dash, |newest| backup(newest, look)),
            if provider.tpm_required { "required" } else { "-" }.to_owned(),
        ];
        let more = [provider.id.to_string(), provider.key.map_or_else(dash, |key| key.to_string())];
        table.row(row.into_iter().chain(more.into_iter().take(if look.wide { 2 } else { 0 })));
    }
    table.text()
}

pub(super) fn detail(provider: &Provider, look: &Look) -> String {
    let mut fields = vec![
        ("Provider", provider.name.to_string()),
        ("ID", provider.id.to_string()),
        ("Kind", "native".to_owned()),
        ("State", state(provider.state).to_owned()),
    ];
    fields.extend(provider.reason.iter().map(|reason| ("Reason", reason.clone())));
    fields.extend([
        ("Default", if provider.default { "yes" } else { "no" }.to_owned()),
        ("TPM", if provider.tpm_required { "required" } else { "not required" }.to_owned()),
        ("VMs", provider.vms.to_string()),
        ("Created", time_and_age(provider.created, look.now)),
    ]);
    let mut keys = Table::new(["KEY", "STATE", "AGE", "BACKUP", "FINGERPRINT"]);
    for version in &provider.versions {
        keys.row([
            version.id.to_string(),
            key_state(version.state).to_owned(),
            age(version.created, look.now),
            backup(version, look),
            version.fingerprint.to_string(),
        ]);
    }
    format!("{}\n\n{}", Table::fields(fields).text(), keys.text())
}

fn backup(version: &KeyVersion, look: &Look) -> String {
    match (version.backed_up, version.backup_has_password) {
        (None, _) => "none".to_owned(),
        (Some(when), Some(false)) => format!("{} ago, NO PASSWORD", age(when, look.now)),
        (Some(when), _) => format!("{} ago", age(when, look.now)),
    }
}

pub(super) fn state(state: ProviderState) -> &'static str {
    match state {
        ProviderState::NotBackedUp => "not-backed-up",
        ProviderState::Pushing => "pushing",
        ProviderState::Active => "active",
        ProviderState::Degraded => "degraded",
    }
}

fn key_state(state: KeyVersionState) -> &'static str {
    match state {
        KeyVersionState::NotBackedUp => "not-backed-up",
        KeyVersionState::Current => "current",
        KeyVersionState::Old => "old",
    }
}

fn dash() -> String {
    "-".to_owned()
}
