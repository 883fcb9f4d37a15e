//! What a transition needs of the hypervisor.

use std::error::Error;

use cadenas_keys::VmId;

/// Puts a VM's plain definition into the hypervisor and takes it out. Both calls can be repeated.
pub trait Definition: Send + Sync {
    /// Defines the domain as `xml` says; a definition that is there already is replaced.
    fn define(&self, vm: VmId, xml: &str, autostart: bool) -> Result<(), DefinitionError>;

    /// Forgets the domain's definition; none there is fine.
    fn undefine(&self, vm: VmId) -> Result<(), DefinitionError>;
}

/// The hypervisor did not do it: it cannot be reached, or it refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DefinitionError(Box<dyn Error + Send + Sync>);

impl DefinitionError {
    /// Carries the hypervisor's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }

    /// The hypervisor's own error.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }
}
