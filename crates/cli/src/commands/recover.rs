//! `cadenas recover`: what opens a VM's disks, from its home and a backup file or its key alone.

use std::fmt::Write as _;

use cadenas_keys::Backup;
use cadenas_vmhome::{Recovery, RecoveryKey, recover};
use serde_json::json;

use super::{Ended, Result, backup::existing_secret};
use crate::{
    args::program::{Recover, RecoverWith},
    error::Failure,
    files,
    output::{Printer, human::harmless_lines, warn},
    password,
};

pub(crate) fn run(printer: &Printer, args: &Recover) -> Result {
    let recovery = recovered(args)?;
    let files: Vec<_> = recovery.files.iter().map(|file| json!({ "object": file.object, "path": file.path })).collect();
    printer.done(&json!({ "files": files, "problems": problems(&recovery) }), |_| text(&recovery))?;
    for problem in problems(&recovery) {
        warn(&problem);
    }
    Ok(if recovery.problems.is_empty() { Ended::Well } else { Ended::Badly })
}

fn recovered(args: &Recover) -> Result<Recovery> {
    let RecoverWith { backup, key } = &args.with;
    let from = |key: RecoveryKey<'_>| recover(&args.vm, key, &args.out).map_err(Box::new);
    if let Some(file) = key {
        return Ok(from(RecoveryKey::Kek(&password::vm_key(file)?))?);
    }
    let path = backup.as_ref().expect("the command line has one of the two");
    let p12 = files::read(path)?;
    let password = existing_secret(&args.password, path)?;
    let backup =
        Backup::from_p12(&p12, password.as_ref()).map_err(|source| Failure::Backup { path: path.clone(), source })?;
    Ok(from(RecoveryKey::Backup(&backup))?)
}

fn text(recovery: &Recovery) -> String {
    let mut text = "Recovered, readable only by you:".to_owned();
    for file in &recovery.files {
        write!(text, "\n  {}  {}", file.path.display(), file.object).expect("text grows");
    }
    text.push_str("\nThese files open the VM: delete them when you are done.");
    harmless_lines(&text)
}

/// Paths come from a descriptor; lines stay lines.
fn problems(recovery: &Recovery) -> Vec<String> {
    recovery.problems.iter().map(ToString::to_string).collect()
}
