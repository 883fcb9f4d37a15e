//! No input may keep a parser busy, or make it take memory without end.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, Once},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Longer than any input may take, on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// How often the watcher looks.
const PERIOD: Duration = Duration::from_secs(1);

thread_local! {
    static AT_WORK: Arc<Mutex<Option<Instant>>> = watched();
}

/// Runs `check`; if it does not come back, the process ends and says so, because nothing else can stop it.
pub fn in_time<T>(check: impl FnOnce() -> T) -> T {
    let note = |since| AT_WORK.with(|at_work| *at_work.lock().expect("no panic holds the lock") = since);
    note(Some(Instant::now()));
    let result = check();
    note(None);
    result
}

/// Since when this thread is at work on an input, with a watcher that ends when the thread has ended: one for each input would take
/// most of the time.
fn watched() -> Arc<Mutex<Option<Instant>>> {
    let at_work = Arc::new(Mutex::new(None::<Instant>));
    let (watched, name) = (Arc::downgrade(&at_work), thread::current().name().unwrap_or("a harness").to_owned());
    thread::spawn(move || {
        while let Some(at_work) = watched.upgrade() {
            if at_work.lock().expect("no panic holds the lock").is_some_and(|since| since.elapsed() > LIMIT) {
                // The macro's text would end with the process in the test's captured output.
                let _ = writeln!(io::stderr(), "{name}: one input takes more than {LIMIT:?}: the parser hangs");
                std::process::abort();
            }
            drop(at_work);
            thread::sleep(PERIOD);
        }
    });
    at_work
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
