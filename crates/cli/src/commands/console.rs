//! `cadenas console`

use std::io::{self, IsTerminal};

use cadenas_api::ConsoleLink;

use super::{Ended, Result};
use crate::{
    args::console::Console,
    browser::Browser,
    output::{Look, human::time},
    session::Session,
};

pub(crate) async fn run(session: &Session, args: &Console) -> Result {
    let link = session.client.open_console_link().await?;
    session.printer.show(&link, text)?;
    session.printer.remark(&format!("It works once, until {}. Whoever opens it acts as you.", time(link.expires)));
    if !args.no_browser && !session.printer.is_json() && io::stdout().is_terminal() {
        show_in_browser(session, &link);
    }
    Ok(Ended::Well)
}

fn text(link: &ConsoleLink, _look: &Look) -> String {
    link.url.0.clone()
}

/// The link is printed already, so a browser that cannot be started is no failure.
fn show_in_browser(session: &Session, link: &ConsoleLink) {
    let Some(browser) = Browser::of_this_desktop() else { return };
    match browser.open(&link.url.0) {
        Ok(()) => session.printer.remark("It was opened in your browser."),
        Err(error) => session.printer.remark(&format!("No browser could be opened: {error}")),
    }
}
