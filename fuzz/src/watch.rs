//! No input may keep a parser busy.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// Longer than any input may take, on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `check`; if it does not come back, the process ends and says so, because nothing else can stop it.
pub fn in_time<T>(check: impl FnOnce() -> T) -> T {
    let (done, waiting) = channel::<()>();
    let name = thread::current().name().unwrap_or("a harness").to_owned();
    let watcher = thread::spawn(move || {
        if waiting.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name}: one input takes more than {LIMIT:?}: the parser hangs");
            std::process::abort();
        }
    });
    let result = check();
    drop(done);
    watcher.join().expect("the watcher does not panic");
    result
}
