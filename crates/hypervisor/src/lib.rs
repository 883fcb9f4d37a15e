//! What Cadenas needs of libvirt, and no more, behind one trait.
//!
//! [`Hypervisor`] is the trait, [`Libvirt`] the real thing, [`memory::MemoryHypervisor`] its twin for tests. [`DomainXml`]
//! reads and changes the few parts of a domain's XML that encryption is about, and keeps every other byte.

mod error;
mod events;
#[expect(unsafe_code, reason = "the virt crate wraps neither domain events nor checkpoints")]
mod ffi;
mod libvirt;
pub mod memory;
mod model;
mod xml;

pub use error::HypervisorError;
pub use events::{DomainEvent, DomainEventKind};
pub use libvirt::Libvirt;
pub use model::{DiskSecret, DomainSummary, Outcome, PowerState, Versions};
pub use xml::{DeviceKind, DiskDevice, DiskSource, DomainXml, DomainXmlError};

use std::sync::mpsc::Receiver;

use uuid::Uuid;

/// A host's hypervisor. The calls block; asynchronous code wraps them.
///
/// A domain is named by its UUID, which is the VM's ID. The operations can be repeated: their [`Outcome`] says whether
/// they changed something.
pub trait Hypervisor: Send + Sync {
    /// Every domain, running or not, in no particular order.
    fn domains(&self) -> Result<Vec<DomainSummary>, HypervisorError>;

    /// One domain, if the hypervisor knows it.
    fn domain(&self, uuid: Uuid) -> Result<Option<DomainSummary>, HypervisorError>;

    /// The XML that the domain starts from next time, its passwords included: keep it out of logs.
    fn definition(&self, uuid: Uuid) -> Result<String, HypervisorError>;

    /// Makes the domain persistent with this definition; the same definition may be given again.
    fn define(&self, xml: &str, autostart: bool) -> Result<(), HypervisorError>;

    /// Removes the persistent definition. A running domain runs on, and is gone once it stops.
    fn undefine(&self, uuid: Uuid) -> Result<Outcome, HypervisorError>;

    /// How many snapshots and checkpoints the domain has.
    fn snapshots(&self, uuid: Uuid) -> Result<u32, HypervisorError>;

    /// Starts a domain of which no definition stays behind.
    ///
    /// The secrets live in the hypervisor's memory only, are readable by nobody, and are gone when this call returns,
    /// whatever it returns. With `paused` the guest executes nothing until [`Self::resume`].
    fn start_transient(&self, xml: &str, secrets: &[DiskSecret], paused: bool) -> Result<(), HypervisorError>;

    /// Lets a paused guest run.
    fn resume(&self, uuid: Uuid) -> Result<Outcome, HypervisorError>;

    /// Starts a persistent domain from its definition.
    fn start(&self, uuid: Uuid) -> Result<Outcome, HypervisorError>;

    /// Asks the guest to shut down. It may take its time, or ignore it. A domain that is not there is off.
    fn shutdown(&self, uuid: Uuid) -> Result<Outcome, HypervisorError>;

    /// Switches the domain off at once. A domain that is not there is off.
    fn destroy(&self, uuid: Uuid) -> Result<Outcome, HypervisorError>;

    /// What happens to domains from now on. Events are lost while the hypervisor is unreachable.
    fn events(&self) -> Receiver<DomainEvent>;

    /// The versions behind this connection.
    fn versions(&self) -> Result<Versions, HypervisorError>;

    /// The host's own name.
    fn host_name(&self) -> Result<String, HypervisorError>;
}
