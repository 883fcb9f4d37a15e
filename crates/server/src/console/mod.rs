//! The web console's side of the server: who may come in, and where it listens. What it shows comes over the REST API.
//!
//! There is one administrator: whoever may use the socket asks there for a link, which works once and begins a session. A session
//! acts for the user who asked for its link, so accounts can take that place later without the rest noticing.

mod access;
mod listen;
mod token;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use cadenas_api::{Actor, ConsoleLink, Problem, ProblemCode, SecretUrl};
use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};

pub(crate) use access::Signed;
pub use listen::ConsoleError;
pub(crate) use listen::{ConsoleListener, listen};
pub(crate) use token::Token;

use access::Access;

/// How often it is looked whether a session has become too old.
const LOOK: Duration = Duration::from_secs(30);

/// How and where the web console is served.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// Where to listen. Other machines reach it only through TLS.
    pub address: SocketAddr,
    /// The certificate chain and private key (PEM) for TLS; absent: a self-signed one, which is kept in the data folder.
    pub certificate: Option<CertificateFiles>,
    /// What it consists of.
    pub files: Vec<ConsoleFile>,
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// A file of the web console.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleFile {
    /// Its path below the root: `index.html`, `assets/index-1a2b.js`.
    pub path: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// The same, compressed (RFC 1952).
    pub gzip: &'static [u8],
}

/// The console as the server's operations see it.
#[derive(Debug, Default)]
pub(crate) struct Console {
    /// The address that people open, once it listens.
    base: OnceLock<String>,
    access: Mutex<Access>,
    /// Told whenever somebody signs out.
    signed_out: watch::Sender<()>,
}

impl Console {
    /// From now on links can be made.
    pub(crate) fn listens_at(&self, base: String) {
        // A server listens once.
        let _ = self.base.set(base);
    }

    /// A link that lets its holder in as `actor`, once.
    pub(crate) fn open_link(&self, actor: &Actor) -> Result<ConsoleLink, Problem> {
        let base = self.base.get().ok_or_else(no_console)?;
        let (token, expires) = self.access().open_link(actor, Timestamp::now());
        Ok(ConsoleLink { url: SecretUrl(format!("{base}/#once={}", token.text())), expires })
    }

    /// Begins a session with a link's token: the session's own token and what it stands for.
    pub(crate) fn begin(&self, link: &str) -> Result<(Token, Signed), Problem> {
        self.access().begin(link, Timestamp::now()).ok_or_else(link_spent)
    }

    /// The session with this token; asking keeps it alive.
    pub(crate) fn find(&self, session: &str) -> Result<Signed, Problem> {
        self.access().find(session, Timestamp::now()).ok_or_else(not_signed_in)
    }

    /// Ends a session, if it is one.
    pub(crate) fn end(&self, session: &str) {
        self.access().end(session);
        self.signed_out.send_replace(());
    }

    /// Waits until a session is over: signed out, too old, or not used for too long.
    pub(crate) async fn until_over(&self, session: &str) {
        let mut signed_out = self.signed_out.subscribe();
        while self.access().lasts(session, Timestamp::now()) {
            // Its age alone wakes nobody.
            let _ = timeout(LOOK, signed_out.changed()).await;
        }
    }

    /// The maps are whole between any two statements, so a panic elsewhere does no harm.
    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_console() -> Problem {
    Problem::new(ProblemCode::NoConsole, "this server has no web console")
        .next("Start the server with `--console 127.0.0.1:7780`, or use the command line: `cadenas --help`.")
}

fn link_spent() -> Problem {
    Problem::new(ProblemCode::LinkSpent, "the link was used before, or is too old")
        .next("Run `cadenas console` on the host for a new one.")
}

pub(crate) fn not_signed_in() -> Problem {
    Problem::new(ProblemCode::NotSignedIn, "there is no session, or it has ended")
        .next("Run `cadenas console` on the host, and open the link that it prints.")
}
