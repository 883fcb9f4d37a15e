//! The server is a program of its own, `cadenasd`, beside this one.
//!
//! It links libvirt, which takes about ten milliseconds to load: more than a whole shallow re-encryption may take. And
//! `cadenas disk` and `cadenas recover` must run on machines that have no libvirt.

use std::{
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use cadenas_api::Check;

use super::Result;
use crate::error::Failure;

const NAME: &str = "cadenasd";

/// Becomes the server, with the same arguments and the same process ID. Returns only if that failed.
pub(crate) fn replace_this_one() -> Result {
    let program = path();
    let source = Command::new(&program).args(env::args_os().skip(1)).exec();
    Err(Failure::NoServerProgram { program, source })
}

/// The checks of this host, as the server would make them.
pub(crate) fn examine() -> Result<Vec<Check>> {
    let program = path();
    let mut command = Command::new(&program);
    command.args(["doctor", "--output", "json"]).stderr(Stdio::inherit());
    match command.output() {
        Err(source) => Err(Failure::NoServerProgram { program, source }),
        Ok(output) => {
            serde_json::from_slice(&output.stdout).map_err(|source| Failure::ServerProgramFailed { program, source })
        }
    }
}

/// Beside this program; in a package it may be in `libexec`. Where this program is not known, the search path decides.
fn path() -> PathBuf {
    let Some(folder) = env::current_exe().ok().and_then(|this| Some(this.parent()?.to_owned())) else {
        return NAME.into();
    };
    let places = [folder.join(NAME), folder.join("../libexec/cadenas").join(NAME)];
    let [first, ..] = &places;
    places.iter().find(|place| place.is_file()).unwrap_or(first).clone()
}
