//! `cadenas copy`

use cadenas_api::{CopyPath, KnownCopy, MissingKey};

use super::Result;
use crate::{
    args::copy::Command,
    files::absolute,
    output::{
        Look,
        human::{age, harmless},
        table::Table,
    },
    session::Session,
};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    let client = &session.client;
    match command {
        Command::Add(at) => {
            let request = CopyPath { path: absolute(&at.path)? };
            session.change(client.add_copy(&request), known).await
        }
        Command::Ls => session.show(client.copies(), list).await,
        Command::Rm(at) => {
            let request = CopyPath { path: absolute(&at.path)? };
            session.change(client.forget_copy(&request), forgotten).await
        }
    }
}

fn list(copies: &Vec<KnownCopy>, look: &Look) -> String {
    let mut table = Table::new(["COPY", "OF VM", "NEEDS KEY", "SEEN", "PROBLEM"]);
    for copy in copies {
        table.row([
            copy.path.display().to_string(),
            copy.name.clone(),
            copy.keys.iter().map(key).collect::<Vec<_>>().join(","),
            format!("{} ago", age(copy.seen, look.now)),
            copy.problem.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.text()
}

fn known(copy: &KnownCopy) -> String {
    let keys = copy.keys.iter().map(|needed| format!("{} of provider {}", key(needed), needed.provider));
    harmless(&format!(
        "{} is known as a copy of {}; it needs key {}",
        copy.path.display(),
        copy.name,
        keys.collect::<Vec<_>>().join(", ")
    ))
}

fn forgotten(copy: &KnownCopy) -> String {
    harmless(&format!("{} is not known any more; its files stay", copy.path.display()))
}

/// As its key server names it, if it has one.
fn key(needed: &MissingKey) -> String {
    needed.kms_key.as_ref().map_or_else(|| needed.key.to_string(), ToString::to_string)
}
