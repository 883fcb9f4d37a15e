//! Whether a file is a good backup.

use std::sync::Arc;

use cadenas_api::{BackupReport, Problem, VerifyBackup};

use super::open_backup::open;
use crate::core::Core;

/// Opens a backup file and compares it with the provider that is known here. Changes nothing.
pub(crate) async fn verify_backup(core: &Arc<Core>, request: VerifyBackup) -> Result<BackupReport, Problem> {
    let (backup, proved) = open(request.p12, request.password).await?;
    let catalog = core.catalog().await?;
    let problem = match catalog.providers.get(&proved.provider) {
        Some(record) => proved.lacks(record)?,
        None => Some(
            "this server does not know the provider; `cadenas provider restore FILE` would bring it here".to_owned(),
        ),
    };
    Ok(BackupReport {
        provider: proved.provider,
        name: proved.name,
        keys: backup.keys.iter().map(|key| key.id).collect(),
        exported: proved.exported_at,
        has_password: proved.has_password,
        holds_present_key: problem.is_none(),
        problem,
    })
}
