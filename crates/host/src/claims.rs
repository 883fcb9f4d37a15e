//! One operation at a time for each VM, the start-up repair included.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use cadenas_keys::VmId;

/// The VMs that an operation holds.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashSet<VmId>>);

/// Holds a VM until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    claims: &'a Claims,
    vm: VmId,
}

impl Claims {
    /// Takes the VM, unless another operation holds it.
    pub(crate) fn claim(&self, vm: VmId) -> Option<Claim<'_>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `then_some`: a claim that is made must be dropped only by its holder.
        held.insert(vm).then(|| Claim { claims: self, vm })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_held_once_and_free_again_after() {
        let claims = Claims::default();
        let vm = VmId::random();
        let first = claims.claim(vm).expect("free");
        assert!(claims.claim(vm).is_none());
        assert!(claims.claim(VmId::random()).is_some());
        drop(first);
        assert!(claims.claim(vm).is_some());
    }
}
