//! The calls of libvirt that the virt crate does not wrap: lifecycle events and the number of checkpoints.

use std::{
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::Arc,
};

use uuid::Uuid;
use virt::{connect::Connect, domain::Domain, error::Error};
use virt_sys as sys;

use crate::events::{DomainEvent, DomainEventKind, Listeners};

/// A registration for lifecycle events of all domains of a connection; dropping it ends it.
#[derive(Debug)]
pub(crate) struct LifecycleEvents {
    connection: Connect,
    id: c_int,
}

impl LifecycleEvents {
    /// Tells `listeners` of every lifecycle event. libvirt's event loop must have been set up before the connection was.
    pub(crate) fn register(connection: &Connect, listeners: Arc<Listeners>) -> Result<Self, Error> {
        let opaque = Arc::into_raw(listeners).cast_mut().cast::<c_void>();
        // SAFETY: the connection is open. libvirt calls a lifecycle callback with the five arguments that
        // `on_lifecycle` takes (its VIR_DOMAIN_EVENT_CALLBACK macro is this cast). `opaque` is a counted reference that
        // stays ours until libvirt calls `free_listeners`, which it does once, after the last event.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                ptr::null_mut(),
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE.cast_signed(),
                Some(std::mem::transmute::<LifecycleCallback, GenericCallback>(on_lifecycle)),
                opaque,
                Some(free_listeners),
            )
        };
        if id < 0 {
            let error = Error::last_error();
            // SAFETY: the registration failed, so libvirt neither keeps nor frees `opaque`.
            unsafe { free_listeners(opaque) };
            return Err(error);
        }
        Ok(Self { connection: connection.clone(), id })
    }
}

impl Drop for LifecycleEvents {
    fn drop(&mut self) {
        // SAFETY: the connection is still held, and the ID is one that it gave us. On a broken connection libvirt
        // forgets the callback all the same, so its answer does not matter.
        unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), self.id) };
    }
}

/// How many checkpoints a domain has.
pub(crate) fn checkpoint_count(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: the domain is held; without an array to fill, libvirt only counts.
    let count = unsafe { sys::virDomainListAllCheckpoints(domain.as_ptr(), ptr::null_mut(), 0) };
    u32::try_from(count).map_err(|_| Error::last_error())
}

type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type GenericCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);

unsafe extern "C" fn on_lifecycle(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is the reference that `register` gave, alive until `free_listeners`.
    let listeners = unsafe { &*opaque.cast_const().cast::<Listeners>() };
    // SAFETY: libvirt lends the domain for the length of this call.
    if let Some((uuid, name)) = unsafe { identity(domain) } {
        listeners.tell(&DomainEvent { uuid, name, kind: kind_of(event) });
    }
    0
}

unsafe extern "C" fn free_listeners(opaque: *mut c_void) {
    // SAFETY: `opaque` came from `Arc::into_raw` in `register`, and this is called once for it.
    drop(unsafe { Arc::from_raw(opaque.cast_const().cast::<Listeners>()) });
}

/// # Safety
/// `domain` must be valid for the length of the call.
unsafe fn identity(domain: sys::virDomainPtr) -> Option<(Uuid, String)> {
    let mut uuid = [0_u8; 16];
    // SAFETY: the domain is valid, and the buffer has VIR_UUID_BUFLEN (16) bytes.
    if unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) } < 0 {
        return None;
    }
    // SAFETY: the domain is valid.
    let name = unsafe { sys::virDomainGetName(domain) };
    if name.is_null() {
        return None;
    }
    // SAFETY: libvirt returned a string that lives as long as the domain.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    Some((Uuid::from_bytes(uuid), name))
}

fn kind_of(event: c_int) -> DomainEventKind {
    match event.cast_unsigned() {
        sys::VIR_DOMAIN_EVENT_DEFINED => DomainEventKind::Defined,
        sys::VIR_DOMAIN_EVENT_UNDEFINED => DomainEventKind::Undefined,
        sys::VIR_DOMAIN_EVENT_STARTED => DomainEventKind::Started,
        sys::VIR_DOMAIN_EVENT_SUSPENDED => DomainEventKind::Suspended,
        sys::VIR_DOMAIN_EVENT_RESUMED => DomainEventKind::Resumed,
        sys::VIR_DOMAIN_EVENT_STOPPED => DomainEventKind::Stopped,
        sys::VIR_DOMAIN_EVENT_SHUTDOWN => DomainEventKind::Shutdown,
        sys::VIR_DOMAIN_EVENT_PMSUSPENDED => DomainEventKind::Sleeping,
        sys::VIR_DOMAIN_EVENT_CRASHED => DomainEventKind::Crashed,
        _ => DomainEventKind::Other,
    }
}
