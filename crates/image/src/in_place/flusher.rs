//! Flushes that several threads share.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{ImageError, Storage};

/// Flushes a medium for many threads: whoever asks while a flush runs shares the next one with all others that asked meanwhile.
///
/// After a flush has failed, all others fail too. The system tells of lost writes only once: a second flush that seems to succeed would
/// say nothing of the writes before the first.
pub(super) struct Flusher<'a> {
    storage: &'a dyn Storage,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    begun: u64,
    /// All flushes up to this number have succeeded.
    done: u64,
    running: bool,
    failed: Option<io::ErrorKind>,
}

impl<'a> Flusher<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Returns when everything that was written before is durable.
    pub(super) fn flush(&self) -> Result<(), ImageError> {
        let mut state = self.state();
        // One that runs already may have begun before the caller's write.
        let needed = state.begun + 1;
        while state.done < needed {
            if let Some(kind) = state.failed {
                return Err(ImageError::Sync { image: self.storage.name(), source: kind.into() });
            }
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state = self.flush_for_all(state)?;
            }
        }
        Ok(())
    }

    fn flush_for_all<'b>(&'b self, mut state: MutexGuard<'b, State>) -> Result<MutexGuard<'b, State>, ImageError> {
        state.begun += 1;
        state.running = true;
        let number = state.begun;
        drop(state);
        let flushed = self.storage.sync();
        let mut state = self.state();
        state.running = false;
        self.changed.notify_all();
        match flushed {
            Ok(()) => {
                state.done = number;
                Ok(state)
            }
            Err(source) => {
                state.failed = Some(source.kind());
                Err(ImageError::Sync { image: self.storage.name(), source })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
