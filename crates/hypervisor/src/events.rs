//! Lifecycle events and who listens to them.

use std::sync::{
    Mutex, PoisonError,
    mpsc::{self, Receiver, Sender},
};

use uuid::Uuid;

/// Something happened to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The domain.
    pub uuid: Uuid,
    /// Its name at that instant.
    pub name: String,
    /// What happened.
    pub kind: DomainEventKind,
}

/// What happened to a domain (libvirt's `virDomainEventType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainEventKind {
    /// A definition was added or changed.
    Defined,
    /// The definition was removed.
    Undefined,
    /// It was started.
    Started,
    /// The guest was paused.
    Suspended,
    /// The guest executes again.
    Resumed,
    /// No QEMU process any more.
    Stopped,
    /// The guest finished shutting down; `Stopped` follows.
    Shutdown,
    /// The guest put itself to sleep.
    Sleeping,
    /// The guest or QEMU crashed.
    Crashed,
    /// One that this version does not know.
    Other,
}

/// The listeners. One that went away is forgotten at the next event.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Vec<Sender<DomainEvent>>>);

impl Listeners {
    pub(crate) fn subscribe(&self) -> Receiver<DomainEvent> {
        let (sender, receiver) = mpsc::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    pub(crate) fn tell(&self, event: &DomainEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener.send(event.clone()).is_ok());
    }
}
