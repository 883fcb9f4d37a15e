//! What can go wrong between us and the hypervisor.

use uuid::Uuid;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call to the hypervisor failed.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// No connection could be made, or it broke during the call; the next call tries again.
    #[error(
        "cannot reach libvirt at {uri}; check that its daemon runs (systemctl status libvirtd virtqemud), then try again"
    )]
    Unreachable {
        /// The connection's URI.
        uri: String,
        /// libvirt's own words.
        #[source]
        source: Cause,
    },
    /// The hypervisor knows no domain with this UUID.
    #[error("cannot {operation} domain {uuid}: libvirt knows no such domain; `virsh list --all` shows those it knows")]
    NoSuchDomain {
        /// What was asked for, as a verb.
        operation: &'static str,
        /// The UUID that was asked for.
        uuid: Uuid,
    },
    /// The hypervisor refused or failed.
    #[error("libvirt could not {operation} {domain}")]
    Failed {
        /// What was asked for, as a verb.
        operation: &'static str,
        /// The domain's name or UUID, or what else it was about.
        domain: String,
        /// libvirt's own words.
        #[source]
        source: Cause,
    },
    /// The thread that carries libvirt's events could not be started.
    #[error("cannot start libvirt's event loop")]
    EventLoop {
        /// The cause.
        #[source]
        source: Cause,
    },
}

impl HypervisorError {
    /// Whether a later call may work although nothing is changed in the request.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
