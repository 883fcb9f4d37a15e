//! What happens on the host by itself, told to whoever listens.

use std::sync::{Arc, Mutex, PoisonError};

use cadenas_api::HostEvent;
use cadenas_hypervisor::{DomainEvent, DomainEventKind, Hypervisor};
use cadenas_keys::VmId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The listeners.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<UnboundedSender<HostEvent>>>);

impl Events {
    /// A new listener, which hears everything from now on.
    pub(crate) fn listen(&self) -> UnboundedReceiver<HostEvent> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// Tells every listener that is still there.
    pub(crate) fn tell(&self, event: &HostEvent) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }
}

/// Passes libvirt's lifecycle events on, from a thread of its own, for as long as the hypervisor sends any.
pub(crate) fn forward(hypervisor: &dyn Hypervisor, events: Arc<Events>) {
    let received = hypervisor.events();
    std::thread::spawn(move || {
        for event in received {
            if let Some(event) = worth_telling(&event) {
                events.tell(&event);
            }
        }
    });
}

fn worth_telling(event: &DomainEvent) -> Option<HostEvent> {
    let (kind, what) = match event.kind {
        DomainEventKind::Started => ("vm.started", "started"),
        DomainEventKind::Stopped => ("vm.stopped", "stopped"),
        DomainEventKind::Crashed => ("vm.crashed", "crashed"),
        _ => return None,
    };
    let vm = Some(VmId::from(event.uuid));
    Some(HostEvent { kind, vm, message: format!("VM {} {what}", event.name) })
}
