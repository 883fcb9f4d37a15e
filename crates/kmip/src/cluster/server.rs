//! One server of a cluster: its open connections and its health.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    health::Health,
    session::{Session, Setup},
};
use crate::{Endpoint, KmipError, KmipErrorKind};

/// Connections that are kept for the next calls.
const MOST_IDLE: usize = 4;
/// How long a connection is kept without use. Firewalls forget those that are silent for some minutes.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    endpoint: Endpoint,
    idle: Mutex<Vec<Idle>>,
    health: Mutex<Health>,
}

/// An open connection that nobody uses.
struct Idle {
    session: Session,
    since: Instant,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, idle: Mutex::default(), health: Mutex::default() }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs `work` with this server and notes how it went; nothing if the server is left alone for now.
    pub(super) fn run<T>(
        &self,
        setup: &Arc<Setup>,
        work: &mut impl FnMut(&mut Session) -> Result<T, KmipError>,
    ) -> Option<Result<T, KmipError>> {
        let began = Instant::now();
        if !self.health().may_ask(began, setup.patience()) {
            return None;
        }
        let result = self.with_session(setup, work);
        match &result {
            Err(error) if !error.kind.is_server_verdict() => {
                self.health().failed(began, Instant::now(), error.clone(), &setup.timeouts);
            }
            _ => self.answered(),
        }
        Some(result)
    }

    /// The server works.
    pub(super) fn answered(&self) {
        self.health().answered();
    }

    /// How long the server is still left alone, and why; nothing if it is not.
    pub(super) fn trouble(&self) -> Option<(Duration, KmipError)> {
        self.health().trouble(Instant::now())
    }

    /// On a connection that is kept, or else on a new one. A kept one may have been closed since by the other side: that
    /// is no failure of the server, and is made good by a new one, once.
    fn with_session<T>(
        &self,
        setup: &Arc<Setup>,
        work: &mut impl FnMut(&mut Session) -> Result<T, KmipError>,
    ) -> Result<T, KmipError> {
        if let Some(session) = self.take_idle() {
            match self.with(session, work) {
                Err(KmipError { kind: KmipErrorKind::Closed, .. }) => self.idle().clear(),
                result => return result,
            }
        }
        self.with(Session::open(&self.endpoint, setup)?, work)
    }

    fn with<T>(
        &self,
        mut session: Session,
        work: &mut impl FnMut(&mut Session) -> Result<T, KmipError>,
    ) -> Result<T, KmipError> {
        let result = work(&mut session);
        if session.is_usable() {
            self.keep(session);
        }
        result
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.retain(|idle| now.duration_since(idle.since) < LONGEST_IDLE);
        idle.pop().map(|idle| idle.session)
    }

    fn keep(&self, session: Session) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(Idle { session, since: Instant::now() });
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
