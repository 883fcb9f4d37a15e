//! Backups in two steps: the file is made, and then proved from where it is kept.

use std::sync::Arc;

use cadenas_api::{
    Actor, BackupFile, BackupRequest, ConfirmBackup, P12, Password, Problem, ProblemCode, Provider, chain,
};
use cadenas_keys::{Backup, BackupKey, ProviderId, WriteBackupError};
use jiff::Timestamp;

use super::{
    model::{BackupProof, Catalog, ProviderRecord},
    open_backup::{Proved, open, open_now},
    push, show,
};
use crate::{
    core::{Core, off_thread},
    events::Draft,
    seal::Seal,
};

/// Makes a backup file of every version of a provider's key, and opens it again before it goes out. It proves nothing yet.
pub(crate) async fn backup(
    core: &Arc<Core>,
    provider: &str,
    request: BackupRequest,
    by: &Actor,
) -> Result<BackupFile, Problem> {
    let record = core.catalog().await?.find(provider)?.clone();
    record.as_native()?;
    let password = wanted_password(request)?;
    let draft = exported(&record, password.is_some()).by(by);
    let seal = Arc::clone(&core.seal);
    let p12 = off_thread(move || write(&*seal, &record, password.as_ref())).await?;
    // Whoever took a copy of the keys must be in the log before the copy is out.
    core.commit(cadenas_store::Txn::new(), vec![draft]).await.map(|_| BackupFile { p12 })
}

/// Takes a file as it was read back from where it is kept. If it opens and holds every version of the key, the provider may
/// encrypt with the newest from now on.
pub(crate) async fn confirm_backup(
    core: &Arc<Core>,
    provider: &str,
    request: ConfirmBackup,
    by: &Actor,
) -> Result<Provider, Problem> {
    let id = core.catalog().await?.find(provider)?.id;
    let (_, proved) = open(request.p12, request.password).await?;
    let now = Timestamp::now();
    core.change_catalog(|catalog| Ok(((), catalog.confirm_backup(id, &proved, now, by)?))).await?;
    push::give_keys(core, id).await?;
    // A key that was rotated waited for this.
    core.rotate_now.notify_one();
    show(core, &id.to_string()).await
}

impl Catalog {
    /// Marks every version as backed up, if the file holds them all.
    pub(super) fn confirm_backup(
        &mut self,
        id: ProviderId,
        proved: &Proved,
        now: Timestamp,
        by: &Actor,
    ) -> Result<Vec<Draft>, Problem> {
        let record = self.provider_mut(id)?;
        if let Some(lack) = proved.lacks(record)? {
            return Err(Problem::new(ProblemCode::BackupMismatch, lack)
                .next(format!("Make a new backup: `cadenas provider backup {} --out FILE.p12`.", record.name)));
        }
        for version in &mut record.as_native_mut()?.versions {
            version.backup = Some(BackupProof { at: now, has_password: proved.has_password });
        }
        let without = if proved.has_password { "" } else { " without a password" };
        let message = format!("Key provider {} was backed up{without}; the file was read back and opens.", record.name);
        Ok(vec![Draft::new("provider.backed-up", message).provider(id).by(by)])
    }
}

fn wanted_password(request: BackupRequest) -> Result<Option<Password>, Problem> {
    let needed = |detail: &str| {
        Err(Problem::new(ProblemCode::PasswordNeeded, detail)
            .next("Give a password, or say `--no-password` to make a file that anyone who has it can open."))
    };
    match (request.password, request.no_password) {
        (Some(_), true) => {
            let detail = "a password was given together with \"no password\"";
            Err(Problem::new(ProblemCode::BadRequest, detail).next("Give one of the two."))
        }
        (Some(password), false) if password.secret().is_empty() => needed("the backup's password is empty"),
        (Some(password), false) => Ok(Some(password)),
        (None, true) => Ok(None),
        (None, false) => needed("no password was given for the backup"),
    }
}

fn write(seal: &dyn Seal, record: &ProviderRecord, password: Option<&Password>) -> Result<P12, Problem> {
    let backup = to_backup(seal, record)?;
    let p12 = P12(backup.to_p12(password.map(Password::secret)).map_err(|error| not_written(&error))?);
    let (_, proved) = open_now(&p12, password)?;
    match proved.lacks(record)? {
        None => Ok(p12),
        Some(lack) => Err(Problem::new(ProblemCode::Internal, format!("the new backup is not good: {lack}"))),
    }
}

fn to_backup(seal: &dyn Seal, record: &ProviderRecord) -> Result<Backup, Problem> {
    let native = record.as_native()?;
    let keys = native.versions.iter().map(|version| {
        let kdk = version.unseal(seal, record.id)?;
        Ok(BackupKey { id: version.id, created_at: version.created.to_string(), kdk })
    });
    Ok(Backup {
        provider: record.id,
        name: record.name.to_string(),
        tpm_required: native.tpm_required,
        exported_at: Timestamp::now().to_string(),
        // Once the file is proved its newest key is the current one.
        current: native.newest().id,
        keys: keys.collect::<Result<_, Problem>>()?,
    })
}

fn not_written(error: &WriteBackupError) -> Problem {
    match error {
        WriteBackupError::UnusablePassword(_) => {
            Problem::new(ProblemCode::BadRequest, chain(error)).next("Choose another password.")
        }
        _ => Problem::internal(error),
    }
}

fn exported(record: &ProviderRecord, has_password: bool) -> Draft {
    let with = if has_password { "with" } else { "without" };
    let message = format!("A backup file of key provider {} was made, {with} a password.", record.name);
    Draft::new("provider.exported", message).provider(record.id)
}
