//! Keeping the process itself from leaking.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps and tracing by other users (prctl(2), `PR_SET_DUMPABLE`; getrlimit(2), `RLIMIT_CORE`).
///
/// Called first thing by every program that will hold a secret.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
