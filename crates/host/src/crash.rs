//! Ending the process at a step of a transition, for tests of the repair. Only in builds with the feature `crash-points`.

use cadenas_vmhome::{Step, Steps};

/// Kills this process, as `kill -9` would, when the step is reached that the variable `CADENAS_CRASH_AT` names.
pub(crate) struct CrashPoint {
    at: Option<Step>,
}

impl CrashPoint {
    /// Reads the variable once.
    pub(crate) fn from_environment() -> Self {
        let label = std::env::var("CADENAS_CRASH_AT").ok();
        Self { at: label.map(|label| label.parse().expect("CADENAS_CRASH_AT names a step")) }
    }
}

impl Steps for CrashPoint {
    fn reached(&self, step: Step) {
        if self.at == Some(step) {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).expect("a process may kill itself");
        }
    }
}
