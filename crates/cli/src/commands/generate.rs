//! `cadenas completion` and `cadenas man`

use std::fs;

use clap::CommandFactory;

use super::{Ended, Result};
use crate::{
    args::{
        Cli,
        program::{Completion, Man},
    },
    files::FileError,
    output::print,
};

pub(crate) fn completion(args: &Completion) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cadenas", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Ended::Well)
}

pub(crate) fn man(args: &Man) -> Result {
    let failed = |source| FileError::Write { path: args.out.clone(), source };
    fs::create_dir_all(&args.out).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.out).map_err(failed)?;
    Ok(Ended::Well)
}
