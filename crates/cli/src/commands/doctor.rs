//! `cadenas doctor`

use cadenas_api::{Check, ClientError, Verdict};

use super::{Ended, Result, server_program};
use crate::{
    output::{Look, table::Table, warn},
    session::Session,
};

pub(crate) async fn run(session: &Session) -> Result {
    let checks = match session.client.doctor().await {
        Err(ClientError::NoServer { socket, source }) => {
            warn(&format!("no server answers at {} ({source}); only this host is checked", socket.display()));
            server_program::examine()?
        }
        answer => answer?,
    };
    session.printer.show(&checks, text)?;
    let fails = checks.iter().any(|check| check.verdict == Verdict::Failure);
    Ok(if fails { Ended::Badly } else { Ended::Well })
}

fn text(checks: &Vec<Check>, _look: &Look) -> String {
    let mut table = Table::new(["CHECK", "VERDICT", "FOUND"]);
    for check in checks {
        table.row([check.name.clone(), verdict(check.verdict).to_owned(), check.found.clone()]);
        if let Some(mend) = &check.mend {
            table.row([String::new(), String::new(), format!("-> {mend}")]);
        }
    }
    table.text()
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failure => "FAILURE",
    }
}
