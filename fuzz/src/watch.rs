//! No input may keep a parser busy, or make it take memory without end.

use std::{
    io::{self, Write},
    sync::{
        Once,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Longer than any input may take, on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `check`; if it does not come back, the process ends and says so, because nothing else can stop it.
pub fn in_time<T>(check: impl FnOnce() -> T) -> T {
    let (done, waiting) = channel::<()>();
    let name = thread::current().name().unwrap_or("a harness").to_owned();
    let watcher = thread::spawn(move || {
        if waiting.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            // The macro's text would end with the process in the test's captured output.
            let _ = writeln!(io::stderr(), "{name}: one input takes more than {LIMIT:?}: the parser hangs");
            std::process::abort();
        }
    });
    let result = check();
    drop(done);
    watcher.join().expect("the watcher does not panic");
    result
}

/// The most memory that harnesses which run at once may take for their data.
const MOST_BYTES: u64 = 1 << 30;

/// From now on an allocation beyond the bound ends the process and says so.
pub fn in_bounds() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limit = Rlimit { current: Some(MOST_BYTES), maximum: Some(MOST_BYTES) };
        setrlimit(Resource::Data, limit).expect("a limit can be lowered");
    });
}
