//! One connection for all calls, made anew when it broke.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc::Receiver},
    thread,
    time::Duration,
};

use uuid::Uuid;
use virt::{
    connect::Connect,
    error::{Error, ErrorDomain, ErrorNumber, clear_error_callback},
    event::{event_register_default_impl, event_run_default_impl},
};

use crate::{DomainEvent, HypervisorError, events::Listeners, ffi::LifecycleEvents};

/// A daemon that does not answer for this long, times [`KEEP_ALIVE_COUNT`], is taken for dead.
const KEEP_ALIVE_SECONDS: i32 = 5;
const KEEP_ALIVE_COUNT: u32 = 5;

pub(super) struct Connection {
    uri: String,
    open: Mutex<Option<Open>>,
    listeners: Arc<Listeners>,
}

/// What a call is about, for its error.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Domain(Uuid),
    Name(&'a str),
    Other(&'static str),
}

struct Open {
    connect: Connect,
    /// `None` for a driver without events, as libvirt's own test driver over some transports.
    _events: Option<LifecycleEvents>,
}

impl Connection {
    pub(super) fn new(uri: &str) -> Result<Self, HypervisorError> {
        start_event_loop()?;
        Ok(Self { uri: uri.to_owned(), open: Mutex::new(None), listeners: Arc::default() })
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn subscribe(&self) -> Receiver<DomainEvent> {
        // Events flow once there is a connection; if there can be none now, the next call makes it.
        if let Err(error) = self.connect() {
            tracing::debug!(uri = self.uri, %error, "no events until libvirt can be reached");
        }
        self.listeners.subscribe()
    }

    /// Runs a call that can be repeated: once more on a new connection if the one at hand turns out to be broken.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        subject: Subject<'_>,
        call: impl Fn(&Connect) -> Result<T, Error>,
    ) -> Result<T, HypervisorError> {
        match self.call_once(operation, subject, &call) {
            Err(error) if error.is_unreachable() => self.call_once(operation, subject, &call),
            other => other,
        }
    }

    /// Runs a call that must not be made twice.
    pub(super) fn call_once<T>(
        &self,
        operation: &'static str,
        subject: Subject<'_>,
        call: impl Fn(&Connect) -> Result<T, Error>,
    ) -> Result<T, HypervisorError> {
        let connect = self.connect()?;
        call(&connect).map_err(|error| {
            if is_broken(&connect, &error) {
                self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
                return self.unreachable(error);
            }
            match subject {
                Subject::Domain(uuid) if error.code().is(ErrorNumber::NoDomain) => {
                    HypervisorError::NoSuchDomain { operation, uuid }
                }
                _ => HypervisorError::Failed { operation, domain: subject.to_string(), source: Box::new(error) },
            }
        })
    }

    fn connect(&self) -> Result<Connect, HypervisorError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alive) = open.as_ref().filter(|open| open.connect.is_alive().unwrap_or(false)) {
            return Ok(alive.connect.clone());
        }
        *open = None;
        let connect = Connect::open(Some(&self.uri)).map_err(|error| self.unreachable(error))?;
        // Drivers within this process have nothing to keep alive and refuse.
        let _ = connect.set_keep_alive(KEEP_ALIVE_SECONDS, KEEP_ALIVE_COUNT);
        let events = LifecycleEvents::register(&connect, Arc::clone(&self.listeners))
            .inspect_err(|error| tracing::warn!(uri = self.uri, %error, "libvirt gives no events"))
            .ok();
        *open = Some(Open { connect: connect.clone(), _events: events });
        Ok(connect)
    }

    fn unreachable(&self, error: Error) -> HypervisorError {
        HypervisorError::Unreachable { uri: self.uri.clone(), source: Box::new(error) }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(uuid) => write!(f, "domain {uuid}"),
            Self::Name(name) => write!(f, "domain {name}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Whether the error is the connection's, not the call's.
fn is_broken(connect: &Connect, error: &Error) -> bool {
    error.domain().is(ErrorDomain::Rpc) || !connect.is_alive().unwrap_or(false)
}

/// libvirt notices a broken connection, and delivers events, through an event loop that must run before the first
/// connection is made: one thread for the life of the process.
fn start_event_loop() -> Result<(), HypervisorError> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        clear_error_callback();
        event_register_default_impl().map_err(|error| error.to_string())?;
        let spawned = thread::Builder::new().name("libvirt-events".to_owned()).spawn(run_event_loop);
        spawned.map(drop).map_err(|error| error.to_string())
    });
    started.clone().map_err(|source| HypervisorError::EventLoop { source: source.into() })
}

fn run_event_loop() {
    loop {
        if let Err(error) = event_run_default_impl() {
            tracing::warn!(%error, "libvirt's event loop failed for a moment");
            thread::sleep(Duration::from_millis(100));
        }
    }
}
