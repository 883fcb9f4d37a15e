//! `cadenas recover`: what opens a VM's disks, from its home and a backup file alone.

use std::fmt::Write as _;

use cadenas_keys::Backup;
use cadenas_vmhome::{Recovery, recover};
use serde_json::json;

use super::{Ended, Result, backup::existing_secret};
use crate::{
    args::program::Recover,
    error::Failure,
    files,
    output::{Printer, human::harmless, warn},
};

pub(crate) fn run(printer: &Printer, args: &Recover) -> Result {
    let p12 = files::read(&args.backup)?;
    let password = existing_secret(&args.password, &args.backup)?;
    let backup = Backup::from_p12(&p12, password.as_ref())
        .map_err(|source| Failure::Backup { path: args.backup.clone(), source })?;
    let recovery = recover(&args.vm, &backup, &args.out).map_err(Box::new)?;
    let files: Vec<_> = recovery.files.iter().map(|file| json!({ "object": file.object, "path": file.path })).collect();
    printer.done(&json!({ "files": files, "problems": problems(&recovery) }), |_| text(&recovery))?;
    for problem in problems(&recovery) {
        warn(&problem);
    }
    Ok(if recovery.problems.is_empty() { Ended::Well } else { Ended::Badly })
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
fn harmless_lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

fn problems(recovery: &Recovery) -> Vec<String> {
    recovery.problems.iter().map(ToString::to_string).collect()
}
