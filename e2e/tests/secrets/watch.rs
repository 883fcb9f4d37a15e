//! Every command line and environment on the machine while something goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Short enough for most commands; those that matter wait for their password until they were seen.
const PERIOD: Duration = Duration::from_millis(5);
/// A process that has been looked at so often has become the program that it was to be.
const OFTEN: u32 = 100;

/// Looks at all processes, over and over, until it is dropped.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What stood in `/proc/PID/cmdline` and `/proc/PID/environ` of any process.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) command_lines: BTreeSet<Vec<u8>>,
    pub(crate) environments: BTreeSet<Vec<u8>>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (shared, asked) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut looks = BTreeMap::new();
            while !asked.load(Ordering::Relaxed) {
                shared.lock().expect("looking does not panic").look(&mut looks);
                thread::sleep(PERIOD);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What was seen up to now, those who have run for long once more included.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().expect("looking does not panic");
        seen.look(&mut BTreeMap::new());
        seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "looking does not panic");
    }
}

impl Seen {
    /// Whether there was a process with all these among its arguments.
    pub(crate) fn ran(&self, arguments: &[&str]) -> bool {
        self.command_lines.iter().any(|line| {
            let given: BTreeSet<&[u8]> = line.split(|&byte| byte == 0).collect();
            arguments.iter().all(|argument| given.contains(argument.as_bytes()))
        })
    }

    fn look(&mut self, looks: &mut BTreeMap<PathBuf, u32>) {
        for process in fs::read_dir("/proc").expect("Linux").filter_map(|entry| Some(entry.ok()?.path())) {
            let count = looks.entry(process.clone()).or_default();
            *count += 1;
            if *count > OFTEN {
                continue;
            }
            // What is no process, or has ended meanwhile, has nothing to read.
            self.command_lines.extend(fs::read(process.join("cmdline")));
            self.environments.extend(fs::read(process.join("environ")));
        }
    }
}
