//! `cadenas event`

use cadenas_api::{Event, EventQuery};

use super::{Ended, Result};
use crate::{
    args::event::{Command, Ls},
    output::{
        Look,
        human::{harmless, time},
        table::Table,
    },
    session::Session,
};

/// The server's own limit for one answer.
const PAGE: u64 = 1000;
/// How long one question waits for an event, in seconds; the server's maximum.
const PATIENCE: u64 = 60;

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    match command {
        Command::Ls(args) if args.follow => follow(session, args.after).await,
        Command::Ls(args) => list_all(session, &args).await,
    }
}

async fn list_all(session: &Session, args: &Ls) -> Result {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map(|event| event.sequence).or(args.after);
        let page = session.client.events(&EventQuery { after, limit: Some(PAGE), ..EventQuery::default() }).await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    session.printer.show(&events, list)?;
    Ok(Ended::Well)
}

/// Goes on until Ctrl-C, the end of the server, or a closed pipe.
async fn follow(session: &Session, mut after: Option<u64>) -> Result {
    loop {
        let query = EventQuery { after, limit: Some(PAGE), wait: Some(PATIENCE), newest_first: None };
        for event in session.client.events(&query).await? {
            session.printer.line(&event, line)?;
            after = Some(event.sequence);
        }
    }
}

fn list(events: &Vec<Event>, look: &Look) -> String {
    let mut table = Table::new(["NUMBER", "TIME", "KIND", "BY", "MESSAGE"]);
    for event in events {
        table.row([event.sequence.to_string(), time(event.at), event.kind.clone(), by(event), event.message.clone()]);
        if look.wide {
            table.row(["", "", "", ""].map(str::to_owned).into_iter().chain([about(event)]));
        }
    }
    table.text()
}

fn line(event: &Event, look: &Look) -> String {
    let about = if look.wide { format!("  {}", about(event)) } else { String::new() };
    let (number, time, kind, by) = (event.sequence, time(event.at), &event.kind, by(event));
    harmless(&format!("{number:<6}   {time}   {kind:<20}   {by:<8}   {}{about}", event.message))
}

/// The IDs that the event concerns.
fn about(event: &Event) -> String {
    let provider = event.provider.map(|id| format!("provider {id}"));
    let vm = event.vm.map(|id| format!("vm {id}"));
    let task = event.task.map(|id| format!("task {id}"));
    [provider, vm, task].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn by(event: &Event) -> String {
    event.by.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}
