//! `cadenas provider backup`, `verify-backup` and `restore`

use std::path::Path;

use cadenas_api::{
    BackupReport, BackupRequest, ConfirmBackup, KeyVersion, KeyVersionState, P12, Password, Provider, ProviderKind,
    ProviderName, RestoreRequest, RestoreResult, Restored, VerifyBackup,
};
use cadenas_secret::SecretBytes;

use super::{Ended, Result, provider::state};
use crate::{
    args::{
        provider::{Backup, Restore, VerifyBackup as VerifyArgs},
        secret::PasswordArgs,
    },
    error::Failure,
    files::{self, FileError, Replace},
    output::{Look, human::harmless, table::Table},
    password::{self, Kind},
    session::Session,
};

/// Writes the file, reads it again and has the server prove it.
pub(crate) async fn make(session: &Session, args: &Backup) -> Result {
    let replace = if args.force { Replace::Yes } else { Replace::No };
    files::may_write(&args.out, replace)?;
    // Asked first: nobody should choose a password for a provider that is not there.
    let provider = session.client.provider(&args.provider).await?;
    if provider.kind == ProviderKind::Standard {
        return Err(Failure::NothingToBackUp { name: provider.name.to_string() });
    }
    let password = new_password(args, &provider)?;
    let no_password = password.is_none();
    let request = BackupRequest { password: password.as_ref().map(copy), no_password };
    let made = session.client.backup_provider(&args.provider, &request).await?;
    files::write_private(&args.out, &made.p12.0, replace)?;
    let provider = prove(session, &args.provider, &args.out, password)
        .await
        .map_err(|source| Failure::BackupNotProved { path: args.out.clone(), source: Box::new(source) })?;
    session.printer.done(&provider, |provider| proved(provider, &args.out))?;
    Ok(Ended::Well)
}

/// Exit status 1 when the file opens but does not hold the present key.
pub(crate) async fn verify(session: &Session, args: &VerifyArgs) -> Result {
    let p12 = read(&args.file)?;
    let password = existing_password(&args.password, &args.file)?;
    let report = session.client.verify_backup(&VerifyBackup { p12, password }).await?;
    session.printer.show(&report, verified)?;
    Ok(if report.holds_present_key { Ended::Well } else { Ended::Badly })
}

/// Brings a provider back from a file.
pub(crate) async fn restore(session: &Session, args: &Restore) -> Result {
    let name = args.name.as_deref().map(str::parse::<ProviderName>).transpose().map_err(Failure::BadName)?;
    let p12 = read(&args.file)?;
    let password = existing_password(&args.password, &args.file)?;
    let request = RestoreRequest { p12, password, name, dry_run: args.dry_run };
    session.change(session.client.restore_provider(&request), restored).await
}

async fn prove(session: &Session, provider: &str, path: &Path, password: Option<Password>) -> Result<Provider> {
    let p12 = read(path)?;
    Ok(session.client.confirm_backup(provider, &ConfirmBackup { p12, password }).await?)
}

fn read(path: &Path) -> Result<P12, FileError> {
    files::read(path).map(P12)
}

fn new_password(args: &Backup, provider: &Provider) -> Result<Option<Password>> {
    if args.password.no_password {
        return Ok(None);
    }
    let of = format!("the backup of {}", provider.name);
    Ok(Some(Password::new(password::new(Kind::Password, args.password.password_file.as_deref(), &of)?)))
}

pub(super) fn existing_secret(args: &PasswordArgs, file: &Path) -> Result<Option<SecretBytes>> {
    if args.no_password {
        return Ok(None);
    }
    let of = file.display().to_string();
    Ok(Some(password::existing(Kind::Password, args.password_file.as_deref(), &of)?))
}

fn existing_password(args: &PasswordArgs, file: &Path) -> Result<Option<Password>> {
    Ok(existing_secret(args, file)?.map(Password::new))
}

/// Secrets are not `Clone`: a copy is made on purpose.
fn copy(password: &Password) -> Password {
    let bytes = password.secret().expose();
    Password::new(SecretBytes::new_with(bytes.len(), |copy| copy.copy_from_slice(bytes)))
}

fn proved(provider: &Provider, path: &Path) -> String {
    let mut lines = vec![format!("{} holds the keys of {}, was read again and opens:", path.display(), provider.name)];
    for KeyVersion { id, fingerprint, state, .. } in &provider.versions {
        let current = if *state == KeyVersionState::Current { "  (current)" } else { "" };
        lines.push(format!("  key {id}  fingerprint {fingerprint}{current}"));
    }
    lines.push(format!("{} is {}. Keep the file away from this machine.", provider.name, state(provider.state)));
    lines.join("\n")
}

fn verified(report: &BackupReport, _look: &Look) -> String {
    let keys = report.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut fields = vec![
        ("Provider", format!("{} ({})", report.name, report.provider)),
        ("Keys", keys),
        ("Exported", report.exported.clone()),
        ("Password", if report.has_password { "yes" } else { "NO" }.to_owned()),
        ("Present key", if report.holds_present_key { "yes, the file is good" } else { "NO" }.to_owned()),
    ];
    fields.extend(report.problem.iter().map(|problem| ("Problem", problem.clone())));
    Table::fields(fields).text()
}

fn restored(result: &RestoreResult) -> String {
    let RestoreResult { provider, outcome, dry_run, unlocked } = result;
    let (name, id) = (&provider.name, provider.id);
    let done = match (outcome, dry_run) {
        (Restored::Created, false) => format!("{name} ({id}) is restored and {}", state(provider.state)),
        (Restored::Created, true) => format!("{name} ({id}) would be restored"),
        (Restored::KeysAdded, false) => format!("{name} ({id}) was here; the keys it lacked are restored"),
        (Restored::KeysAdded, true) => format!("{name} ({id}) is here; the keys it lacks would be restored"),
        (Restored::AlreadySo, _) => format!("{name} ({id}) is here with every key of the file; nothing to do"),
    };
    match unlocked.as_slice() {
        [] => done,
        unlocked => {
            let verb = if *dry_run { "Would unlock" } else { "Unlocked" };
            format!("{done}\n{verb}: {}", harmless(&unlocked.join(", ")))
        }
    }
}
