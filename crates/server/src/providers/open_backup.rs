//! Opening backup files, and what they prove.

use std::collections::BTreeMap;

use cadenas_api::{P12, Password, Problem, ProblemCode, chain};
use cadenas_keys::{Backup, BackupError, Fingerprint, KeyId, ProviderId};

use super::model::ProviderRecord;
use crate::core::off_thread;

/// What a backup file that opened holds, without its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) provider: ProviderId,
    pub(super) name: String,
    pub(super) tpm_required: bool,
    pub(super) exported_at: String,
    pub(super) keys: BTreeMap<KeyId, Fingerprint>,
    pub(super) has_password: bool,
}

impl Proved {
    fn new(backup: &Backup, has_password: bool) -> Self {
        Self {
            provider: backup.provider,
            name: backup.name.clone(),
            tpm_required: backup.tpm_required,
            exported_at: backup.exported_at.clone(),
            keys: backup.keys.iter().map(|key| (key.id, key.kdk.fingerprint())).collect(),
            has_password,
        }
    }

    /// Why the file is no backup of every version of `record`'s key, if it is not.
    pub(super) fn lacks(&self, record: &ProviderRecord) -> Result<Option<String>, Problem> {
        let native = record.as_native()?;
        if self.provider != record.id {
            let (file, ours) = (self.provider, record.id);
            return Ok(Some(format!(
                "the file is a backup of provider {file}, and {} is provider {ours}",
                record.name
            )));
        }
        Ok(native.versions.iter().rev().find_map(|version| match self.keys.get(&version.id) {
            Some(fingerprint) if *fingerprint == version.fingerprint => None,
            Some(_) => Some(format!("the file holds a different key under the ID {}", version.id)),
            None if version.id == native.newest().id => Some(format!(
                "the file lacks the present key {} of {}; it was made before that key",
                version.id, record.name
            )),
            None => Some(format!("the file lacks the key {} of {}", version.id, record.name)),
        }))
    }
}

/// Opens a file off the async threads: each key in it costs some hundred thousand rounds.
pub(super) async fn open(file: P12, password: Option<Password>) -> Result<(Backup, Proved), Problem> {
    off_thread(move || open_now(&file, password.as_ref())).await
}

/// As [`open`], on this thread.
pub(super) fn open_now(file: &P12, password: Option<&Password>) -> Result<(Backup, Proved), Problem> {
    let password = password.map(Password::secret).filter(|secret| !secret.is_empty());
    let backup = Backup::from_p12(&file.0, password).map_err(|error| refused(&error))?;
    let proved = Proved::new(&backup, password.is_some());
    Ok((backup, proved))
}

fn refused(error: &BackupError) -> Problem {
    let (code, next) = match error {
        BackupError::PasswordNeeded => (ProblemCode::PasswordNeeded, "Give the backup's password."),
        BackupError::NoPasswordNeeded => (ProblemCode::WrongPassword, "Try again without a password."),
        BackupError::WrongPassword | BackupError::UnusablePassword(_) => {
            (ProblemCode::WrongPassword, "Try the password again; if it is right, take another copy of the file.")
        }
        _ => (ProblemCode::BadBackup, "`cadenas provider verify-backup FILE` tells which files are good."),
    };
    Problem::new(code, chain(error)).next(next)
}
