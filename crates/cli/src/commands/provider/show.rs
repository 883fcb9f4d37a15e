//! How providers look.

use cadenas_api::{
    CertificateView, KeyAlarm, KeyVersion, KeyVersionState, KmsCluster, KmsKeyState, KmsTrust, Provider, ProviderKind,
    ProviderState, ProviderUser, Rotation, UserKind,
};

use super::certificate::{expiry, fingerprint, is_urgent};
use crate::output::{
    Look,
    human::{age, count, harmless, listed, time, time_and_age},
    table::Table,
};

/// So many names of VMs say enough.
const ENOUGH_NAMES: usize = 10;
/// So many rows are looked at; `-v` shows all.
const ENOUGH_ROWS: usize = 50;

pub(super) fn list(providers: &Vec<Provider>, look: &Look) -> String {
    let mut table = if look.wide {
        Table::new(["PROVIDER", "KIND", "STATE", "DEFAULT", "VMS", "KEY AGE", "BACKUP", "TPM", "ID", "KEY", "SERVERS"])
    } else {
        Table::new(["PROVIDER", "KIND", "STATE", "DEFAULT", "VMS", "KEY AGE", "BACKUP", "TPM"])
    };
    for provider in providers {
        table.row(row(provider, look));
    }
    let notices: Vec<String> = providers.iter().flat_map(|provider| notices(provider, look)).collect();
    sections([table.text(), notices.join("\n")])
}

pub(super) fn detail(provider: &Provider, look: &Look) -> String {
    let mut fields = vec![
        ("Provider", provider.name.to_string()),
        ("ID", provider.id.to_string()),
        ("Kind", kind(provider.kind).to_owned()),
        ("State", state(provider.state).to_owned()),
    ];
    fields.extend(provider.alarms.iter().map(|each| ("ALARM", alarm(each))));
    fields.extend(provider.reason.iter().map(|reason| ("Reason", reason.clone())));
    fields.extend([
        ("Default", if provider.default { "yes" } else { "no" }.to_owned()),
        ("TPM", if provider.tpm_required { "required" } else { "not required" }.to_owned()),
        ("VMs", provider.vms.to_string()),
        ("Rotation", provider.rotation.map_or_else(|| "when asked".to_owned(), |rotation| schedule(rotation, look))),
        ("Created", time_and_age(provider.created, look.now)),
    ]);
    fields.extend(provider.kms.iter().flat_map(|kms| key_servers(provider, kms, look)));
    sections([Table::fields(fields).text(), keys(&provider.versions, look), users(&provider.users, look)])
}

pub(in crate::commands) fn state(state: ProviderState) -> &'static str {
    match state {
        ProviderState::NotBackedUp => "not-backed-up",
        ProviderState::Pushing => "pushing",
        ProviderState::Active => "active",
        ProviderState::Degraded => "degraded",
        ProviderState::NotTrusted => "not-trusted",
    }
}

pub(in crate::commands) fn kind(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Native => "native",
        ProviderKind::Standard => "standard",
    }
}

/// `every 90 days, next 2026-05-01T00:00:00Z (in 12d)`
pub(super) fn schedule(rotation: Rotation, look: &Look) -> String {
    let days = usize::try_from(rotation.every_days).unwrap_or(usize::MAX);
    let left =
        if rotation.next <= look.now { "due".to_owned() } else { format!("in {}", age(look.now, rotation.next)) };
    format!("every {}, next {} ({left})", count(days, "day"), time(rotation.next))
}

fn row(provider: &Provider, look: &Look) -> Vec<String> {
    let newest = provider.versions.first();
    let mut row = vec![
        provider.name.to_string(),
        kind(provider.kind).to_owned(),
        state(provider.state).to_owned(),
        if provider.default { "*" } else { "" }.to_owned(),
        provider.vms.to_string(),
        newest.map_or_else(dash, |newest| age(newest.created, look.now)),
        newest.map_or_else(dash, |newest| backup(newest, look)),
        if provider.tpm_required { "required" } else { "-" }.to_owned(),
    ];
    if look.wide {
        let key = provider.key.map_or_else(dash, |key| key.to_string());
        let servers = provider.kms.as_ref().map_or_else(dash, |kms| kms.servers.join(","));
        row.extend([provider.id.to_string(), key, servers]);
    }
    row
}

/// What somebody should act on, one line each.
fn notices(provider: &Provider, look: &Look) -> Vec<String> {
    let alarms = provider.alarms.iter().map(|each| format!("ALARM: {}: {}", provider.name, alarm(each)));
    let identity = provider.kms.as_ref().and_then(|kms| kms.identity.as_ref());
    let urgent = identity.filter(|identity| is_urgent(identity, look));
    let expires = urgent.map(|identity| format!("WARNING: {}: its identity {}", provider.name, expiry(identity, look)));
    alarms.chain(expires).map(|line| harmless(&line)).collect()
}

/// A key that must not be used any more, who uses it, and the way out.
fn alarm(alarm: &KeyAlarm) -> String {
    let key = alarm.kms_key.as_ref().map_or_else(|| alarm.key.to_string(), ToString::to_string);
    let state = match alarm.state {
        None => "marked as compromised".to_owned(),
        Some(state) => format!("{state} in the key server"),
    };
    let way_out = match alarm.state {
        None | Some(KmsKeyState::Compromised | KmsKeyState::DestroyedCompromised) => "`cadenas vm recrypt --deep`",
        Some(KmsKeyState::Destroyed | KmsKeyState::Missing) => "`cadenas vm recrypt` while a host still holds the key",
        Some(KmsKeyState::PreActive | KmsKeyState::Active | KmsKeyState::Deactivated) => "`cadenas vm recrypt`",
    };
    match alarm.vms.as_slice() {
        [] => format!("key {key} is {state}"),
        vms => format!("key {key} is {state} and wraps the keys of {}: {way_out}", listed(vms, ENOUGH_NAMES)),
    }
}

fn key_servers<'a>(provider: &'a Provider, kms: &'a KmsCluster, look: &'a Look) -> Vec<(&'a str, String)> {
    let identity = kms.identity.as_ref().map_or_else(
        || format!("none yet: `cadenas provider identity {}`", provider.name),
        |identity| format!("{}, {}", identity.subject, expiry(identity, look)),
    );
    let mut fields: Vec<_> = kms.servers.iter().map(|server| ("Key server", server.clone())).collect();
    fields.extend(trust(provider, kms.trust.as_ref(), look).into_iter().map(|trust| ("Trust", trust)));
    fields.push(("Identity", identity));
    if kms.csr_pending {
        let next = format!("`cadenas provider identity {} --signed FILE`", provider.name);
        fields.push(("Request", format!("waits to be signed: {next}")));
    }
    fields.push(("User", kms.user.clone().unwrap_or_else(|| "none".to_owned())));
    fields
}

fn trust(provider: &Provider, trust: Option<&KmsTrust>, look: &Look) -> Vec<String> {
    match trust {
        None => vec![format!("none yet: `cadenas provider trust {}`", provider.name)],
        Some(KmsTrust::Pinned(pins)) => pins.iter().map(|pin| format!("SHA-256 {}", fingerprint(*pin))).collect(),
        Some(KmsTrust::Authorities(authorities)) => {
            let shown = |authority: &CertificateView| {
                format!("what {} signs; that authority {}", authority.subject, expiry(authority, look))
            };
            authorities.iter().map(shown).collect()
        }
    }
}

/// A standard provider has no versions: its keys belong to VMs.
fn keys(versions: &[KeyVersion], look: &Look) -> String {
    if versions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["KEY", "STATE", "AGE", "BACKUP", "FINGERPRINT"]);
    for version in versions {
        table.row([
            version.id.to_string(),
            key_state(version.state).to_owned(),
            age(version.created, look.now),
            backup(version, look),
            version.fingerprint.to_string(),
        ]);
    }
    table.text()
}

/// What would be locked without the provider.
fn users(users: &[ProviderUser], look: &Look) -> String {
    if users.is_empty() {
        return String::new();
    }
    let most = if look.wide { users.len() } else { ENOUGH_ROWS };
    let mut table = Table::new(["NEEDED BY", "NAME", "KEY", "PATH"]);
    for user in users.iter().take(most) {
        let keys: Vec<String> = user.keys.iter().map(ToString::to_string).collect();
        let path = user.path.clone().unwrap_or_else(dash);
        table.row([user_kind(user.kind).to_owned(), user.name.clone(), keys.join(","), path]);
    }
    match users.len().saturating_sub(most) {
        0 => table.text(),
        more => format!("{}\n... and {more} more; -v shows all", table.text()),
    }
}

fn user_kind(kind: UserKind) -> &'static str {
    match kind {
        UserKind::Vm => "vm",
        UserKind::Template => "template",
        UserKind::Copy => "copy",
    }
}

fn backup(version: &KeyVersion, look: &Look) -> String {
    match (version.backed_up, version.backup_has_password) {
        (None, _) => "none".to_owned(),
        (Some(when), Some(false)) => format!("{} ago, NO PASSWORD", age(when, look.now)),
        (Some(when), _) => format!("{} ago", age(when, look.now)),
    }
}

fn key_state(state: KeyVersionState) -> &'static str {
    match state {
        KeyVersionState::NotBackedUp => "not-backed-up",
        KeyVersionState::Current => "current",
        KeyVersionState::Old => "old",
        KeyVersionState::Compromised => "COMPROMISED",
    }
}

/// Texts with an empty line between them; nothing of those that are empty.
fn sections<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn dash() -> String {
    "-".to_owned()
}
